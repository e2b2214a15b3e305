"""The live plot of a growth: every frame counts, and nothing that happens to it touches the run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from growing import SPOT, Documents, frames_of, oscillating, play
from PIL import Image

from beamstream.callbacks.chain import Chain
from beamstream.callbacks.intensity import Intensity
from beamstream.callbacks.live_growth import LiveGrowth
from beamstream.callbacks.strip import Strip

FILM = frames_of(oscillating(0.5), np.arange(0, 24, 1 / 20))


@pytest.fixture
def docs() -> Documents:
    return Documents()


@pytest.fixture(scope="module")
def drawing(tmp_path_factory) -> Iterator[tuple[LiveGrowth, Path]]:
    """Share one process among tests that do it no harm: each start takes a second."""
    pictures = tmp_path_factory.mktemp("pictures")
    live = LiveGrowth(directory=pictures, period=0.05, window=10)
    assert live.wait_ready()
    yield live, pictures
    live.close()


def pixels(path: Path) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_every_frame_is_in_the_picture_of_a_run(drawing, docs, tmp_path):
    live, pictures = drawing
    play(Chain(callbacks=[docs, Intensity({"spot": SPOT}), live]), tmp_path, FILM)
    assert live.wait_drawn(30)
    assert live.drawn == len(FILM)
    assert docs.account["live_growth_errors"] == 0
    start = docs.of("start")[0]
    picture = pixels(pictures / f"00001_{start['uid'][:8]}_cam_growth.png")
    assert picture.shape[0] < picture.shape[1]
    green = (picture == (0x63, 0xD2, 0x97)).all(axis=2)
    assert green.sum() > 100  # a rate was found


def test_the_picture_follows_the_run(drawing, docs, tmp_path, wait_for):
    live, pictures = drawing
    path = pictures / "cam_growth_live.png"
    path.unlink(missing_ok=True)
    batches = iter(range(100))

    def until_it_is_seen() -> None:
        if next(batches) == 3:
            wait_for(path.exists, timeout=30, what="a picture while the run goes on")

    play(Chain(callbacks=[docs, Intensity({"spot": SPOT}), live]), tmp_path, FILM, between=until_it_is_seen)
    assert live.wait_drawn(30)
    assert live.drawn == len(FILM)


def test_a_strip_is_drawn_below(drawing, docs, tmp_path):
    live, pictures = drawing
    strip = Strip((10, 0, 6, 40), angles=(0, 90), tolerance=20, rotations_per_min=30)
    play(Chain(callbacks=[docs, Intensity({"spot": SPOT}), strip, live]), tmp_path, FILM)
    assert live.wait_drawn(30)
    start = docs.of("start")[0]
    picture = pixels(pictures / f"00001_{start['uid'][:8]}_cam_growth.png")
    assert picture.shape[0] > 900
    assert docs.account["live_growth_errors"] == 0


def test_without_intensities_nothing_is_drawn_and_nothing_fails(drawing, docs, tmp_path):
    live, _ = drawing
    play(Chain(callbacks=[docs, live]), tmp_path, FILM[:20])
    assert live.wait_drawn(30)
    assert (live.drawn, docs.account["live_growth_errors"], docs.account["live_growth_dropped"]) == (0, 0, 0)


def test_other_detectors_are_not_drawn(docs, tmp_path):
    live = LiveGrowth(["other"], directory=tmp_path / "pictures")
    try:
        play(Chain(callbacks=[docs, Intensity({"spot": SPOT}), live]), tmp_path, FILM[:20])
        assert live.wait_drawn(60)
        assert live.drawn == 0
    finally:
        live.close()


def test_a_process_that_is_killed_leaves_the_run_alone(docs, tmp_path, caplog):
    live = LiveGrowth(directory=tmp_path / "pictures", period=0.05)
    try:
        assert live.wait_ready()
        kill = iter([lambda: psutil.Process(live.pid).kill()])
        play(
            Chain(callbacks=[docs, Intensity({"spot": SPOT}), live]),
            tmp_path,
            FILM,
            between=lambda: next(kill, lambda: None)(),
        )
        assert len(docs.rows("cam_spot_intensity")) == len(FILM)
        assert docs.of("stop")[-1]["exit_status"] == "success"
        assert "the process that draws ended" in caplog.text
        play(Chain(callbacks=[docs, Intensity({"spot": SPOT}), live]), tmp_path, FILM[:100])
        assert live.wait_drawn(60)
        assert live.drawn == 100
    finally:
        live.close()


@pytest.mark.parametrize("options", [{"window": 0}, {"window": 20, "history": 10}, {"percentile": (9, 1)}])
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match="live_growth: "):
        LiveGrowth(**options)
