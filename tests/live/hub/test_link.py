"""How quality follows what a link takes, with links that are formulas and time that is counted."""

import math
import statistics
import time
from collections.abc import Callable

import pytest

from beamstream.live.image_link import Link
from beamstream.live.image_pixels import Quality
from beamstream.live.image_wish import Region

REGION = Region(0, 0, 1024, 1024)
DEFLATED = {False: 0.8, True: 0.6}


class Run:
    """Frames of 1024² uint16, one after the other, over a link that takes ``seconds(nbytes)``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.link = Link()
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def frames(self, number: int, seconds: Callable[[int], float]) -> list[tuple[Quality, float]]:
        sent = []
        for _ in range(number):
            quality = self.link.choose(REGION, 1, 2, 1)
            nbytes = math.ceil(1024 / quality.factor) ** 2 * (1 if quality.eight_bit else 2)
            if quality.deflate:
                before, nbytes = nbytes, round(nbytes * DEFLATED[quality.eight_bit])
                self.link.deflated(quality.eight_bit, before, nbytes)
            took = seconds(nbytes)
            self.now += took + 0.005
            self.link.acknowledged(nbytes, took)
            sent.append((quality, took))
        return sent


@pytest.fixture
def run(monkeypatch) -> Run:
    return Run(monkeypatch)


def test_a_fast_link_soon_gets_every_pixel(run):
    sent = run.frames(20, lambda nbytes: 0.002 + nbytes / 500e6)
    assert [quality for quality, _ in sent[5:]] == [Quality(1, False, False)] * 15
    assert not run.link.limited


@pytest.mark.parametrize("way", [0.005, 0.02, 0.06])
def test_ten_megabits_a_second_carry_five_frames_of_less(run, way):
    sent = run.frames(300, lambda nbytes: way + nbytes / 1.25e6)[5:]
    assert statistics.fmean(took for _, took in sent) < 0.2  # five a second
    assert max(took for _, took in sent) < 0.4
    assert statistics.median(quality.factor for quality, _ in sent) <= 4
    assert all(quality.deflate for quality, _ in sent)
    assert run.link.limited


def test_a_link_that_becomes_fast_again_is_noticed(run):
    run.frames(100, lambda nbytes: 0.02 + nbytes / 1.25e6)
    sent = run.frames(2000, lambda nbytes: 0.002 + nbytes / 500e6)
    assert sent[-1][0] == Quality(1, False, False)


def test_a_machine_with_much_to_do_gets_no_worse_pictures_for_it(run):
    """0.3 s for every frame, whatever its size: fewer bytes would help nobody."""
    sent = run.frames(400, lambda nbytes: 0.3 + nbytes / 500e6)
    assert sent[-1][0].factor == 1
    assert not sent[-1][0].deflate


def test_one_hiccup_is_forgotten_within_seconds(run):
    run.frames(20, lambda nbytes: 0.005)
    run.frames(1, lambda nbytes: 1.5)
    sent = run.frames(400, lambda nbytes: 0.005)
    assert sent[-1][0] == Quality(1, False, False)
    worse = [quality for quality, _ in sent if quality != Quality(1, False, False)]
    assert len(worse) * 0.01 < 3.0
