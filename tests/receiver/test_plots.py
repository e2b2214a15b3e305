"""Pictures: files that appear, and what happens where they cannot."""

import logging
import os
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image

from beamstream.errors import SinkError
from beamstream.receiver.drawing import Options
from beamstream.receiver.plots import Plots
from beamstream.ring import Ring
from beamstream.sim.spectra_process import SpectraSim
from beamstream.sim.spectrometer import SpectrometerSpec

FACTS = {"title": "t", "what": "w", "account": "a", "note": "n", "bad": False, "average": 4}


def spectrum(number: int):
    import numpy as np

    from beamstream.frames import Frame, Geometry

    values = np.random.default_rng(number).uniform(1, 2, (1, 24)).astype(np.float32)
    attributes = {"last_block_time": 1e9 + number, "delay": 0.0, "time_tag": 0}
    return Frame(values, Geometry(values.shape, "<f4"), number, 1e9, 1e9, attributes=attributes)


@pytest.fixture
def asked() -> list[float]:
    """When the pictures were asked for."""
    return []


@pytest.fixture
def plots(tmp_path, asked):
    """Draw the spectra of a ring every 50 ms."""
    ring = Ring("plotted", slots=20)
    ring.put(spectrum(0))
    directory = tmp_path / "figs"

    def facts() -> dict:
        asked.append(time.time())
        return dict(FACTS)

    drawing = Plots("plotted", Options("plotted", str(directory), 20, 0, True, 10.0, 0.1), 0.05, facts)
    yield drawing, ring, directory
    drawing.close()
    ring.close()


def test_a_picture_is_a_png_file_of_1800_by_1500_pixels_named_after_the_time(plots, wait_for):
    drawing, _, directory = plots
    wait_for(lambda: drawing.drawn >= 2, timeout=20, what="pictures")
    path = Path(drawing.last_path)
    assert path.parent == directory
    written = time.mktime(time.strptime(path.name, "spectrum_%Y%m%d_%H%M%S.png")) - time.timezone
    assert written == pytest.approx(drawing.last_time, abs=3)
    with Image.open(path) as image:
        assert image.size == (1800, 1500)
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
        image.load()


def test_only_whole_files_are_seen(plots, wait_for):
    drawing, _, directory = plots
    wait_for(directory.exists, timeout=20, what="the directory")
    seen = set()
    while drawing.drawn < 3:
        for path in directory.glob("spectrum_*"):
            seen.add(path.name)
            with Image.open(path) as image:
                image.load()
    assert seen
    drawing.close()
    assert {path.name for path in directory.iterdir()} == seen | {Path(drawing.last_path).name}, "nothing half done"


def test_a_directory_that_fails_later_is_counted_said_once_and_forgiven(plots, wait_for, caplog):
    caplog.set_level(logging.INFO)
    drawing, _, directory = plots
    wait_for(lambda: drawing.drawn, timeout=20, what="a picture")
    directory.rename(directory.with_name("moved"))
    directory.write_text("in the way")
    wait_for(lambda: drawing.failed >= 3, timeout=20, what="failures")
    assert str(directory) in drawing.error
    assert sum("no picture" in record.getMessage() for record in caplog.records) == 1
    directory.unlink()
    drawn = drawing.drawn
    wait_for(lambda: drawing.drawn > drawn, timeout=20, what="pictures again")
    assert drawing.error is None
    assert "pictures are written again" in caplog.text


def test_a_process_that_was_killed_is_replaced(plots, wait_for):
    drawing, _, _ = plots
    wait_for(lambda: drawing.drawn, timeout=20, what="a picture")
    first = drawing.pid
    os.kill(first, 9)
    drawn = drawing.drawn
    wait_for(lambda: drawing.drawn > drawn, timeout=20, what="pictures again")
    assert drawing.pid != first
    assert drawing.failed == 1


def test_a_ring_with_nothing_in_it_is_no_error_and_no_picture(plots, asked, wait_for):
    drawing, ring, _ = plots
    wait_for(lambda: drawing.drawn, timeout=20, what="a picture")
    ring.close()
    so_far = len(asked)
    wait_for(lambda: len(asked) > so_far + 2, what="the picture under way")
    drawn, so_far = drawing.drawn, len(asked)
    wait_for(lambda: len(asked) > so_far + 3, what="questions")
    assert (drawing.drawn, drawing.failed) == (drawn, 0)


def test_the_receiver_draws_what_it_has_and_then_nothing_but_that_it_is_silent(
    receive, wait_for, tmp_path, monkeypatch
):
    monkeypatch.setattr("beamstream.receiver.arrivals._LEAST_SILENT", 0.5)
    with SpectraSim(SpectrometerSpec(rate=50, shape=(1, 96, 4))) as sim:
        receiver = receive(sim, plot_interval=1)
        receiver.start()
        assert receiver.get_buffer_status()["plot_running"]
        wait_for(lambda: receiver.get_buffer_status()["plots_drawn"] >= 1, timeout=20, what="a picture")
        said = receiver.get_buffer_status()
        assert Path(said["last_plot"]).parent == tmp_path / "figs"
        assert said["last_plot_time"] == pytest.approx(time.time(), abs=5)
        assert said["memory"]["plots"] > 10e6
        assert psutil.Process(receiver.plots.pid).nice() == 10 + psutil.Process().nice()
        sim.kill()
        wait_for(lambda: receiver.account.silent, what="silence")
        wait_for(lambda: receiver._facts() is None, what="the picture that says so")
        assert not receiver.source.connected
    receiver.stop()
    assert not receiver.get_buffer_status()["plot_running"]
    assert receiver.get_buffer_status()["plots_drawn"] >= 2


@pytest.mark.parametrize("place", ["file/figs", "file", "/proc/figs"])
def test_pictures_that_cannot_be_written_are_an_error_at_the_start(place, receive, tmp_path):
    (tmp_path / "file").write_text("")
    receiver = receive(9798, plot_interval=10, plot_dir=tmp_path / place)
    with pytest.raises(SinkError, match=r"choose another directory \(plot_dir\)"):
        receiver.start()
    assert not receiver.running
