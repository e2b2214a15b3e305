"""A required callback that leaves a frame undone fails its run; one that is slow and goes on is waited for."""

import re
import threading
import time

import pytest
from growing import TWELVE, play

from beamstream.callbacks import chain_run, work
from beamstream.callbacks.derive import Derive
from beamstream.errors import ProcessorFailed


class Stuck:
    """Take the first five frames, and no more before it is released."""

    def __init__(self, released: threading.Event) -> None:
        self._released, self._taken = released, 0

    def apply(self, image, meta):
        self._taken += 1
        if self._taken > 5:
            self._released.wait(60)
        return image


@pytest.fixture
def released():
    event = threading.Event()
    yield event
    event.set()


class Fails:
    """Fail at every fourth frame."""

    def apply(self, image, meta):
        if image[0, 0] % 4 == 0:
            raise ProcessorFailed("not this one")
        return image


def stop_of(docs, uid):
    (stop,) = [doc for doc in docs.of("stop") if doc["run_start"] == uid]
    return stop


def test_frames_undone_fail_the_run_of_a_required_callback(chain, docs, tmp_path, released, monkeypatch, caplog):
    monkeypatch.setattr(chain_run, "PATIENCE", 2.0)
    monkeypatch.setattr(chain_run, "_LAST", 0.5)
    chain.add(Derive("stuck", lambda: Stuck(released), required=True))
    stop = stop_of(docs, play(chain, tmp_path, TWELVE))
    done = 12 - docs.account["stuck_undone"]
    assert 0 < done <= 5
    assert stop["exit_status"] == "fail"
    assert re.fullmatch(rf"stuck: nothing done for [\d.]+ s; {done} of 12 frames done; it does not end", stop["reason"])
    assert docs.account["stuck_error"] in stop["reason"]
    assert stop["reason"] in caplog.text


def test_frames_undone_of_an_optional_callback_are_reported_and_the_run_succeeds(
    chain, docs, tmp_path, released, monkeypatch, caplog
):
    monkeypatch.setattr(chain_run, "PATIENCE", 2.0)
    monkeypatch.setattr(chain_run, "_LAST", 0.5)
    chain.add(Derive("stuck", lambda: Stuck(released)))
    stop = stop_of(docs, play(chain, tmp_path, TWELVE))
    assert stop["exit_status"] == "success"
    assert docs.account["stuck_undone"] >= 7
    assert "of 12 frames done; it does not end" in docs.account["stuck_error"]
    assert "stuck: nothing done for " in caplog.text


def test_a_required_callback_that_is_cut_short_fails_the_run(chain, docs, tmp_path, released, monkeypatch):
    monkeypatch.setattr(chain_run, "_HURRY", 0.2)
    monkeypatch.setattr(chain_run, "_LAST", 0.5)
    chain.add(Derive("stuck", lambda: Stuck(released), required=True))
    stop = stop_of(docs, play(chain, tmp_path, TWELVE, between=lambda: chain.run(docs.of("start")[0]["uid"]).hurry()))
    assert stop["exit_status"] == "fail"
    assert re.match(r"stuck: cut short; \d of 12 frames done", stop["reason"])


def test_frames_that_a_required_callback_fails_at_fail_the_run(chain, docs, tmp_path):
    chain.add(Derive("fails", Fails, required=True))
    stop = stop_of(docs, play(chain, tmp_path, TWELVE))
    assert (stop["exit_status"], stop["reason"]) == (
        "fail",
        "fails: 0 of 12 frames undone, 3 failed; they are recorded",
    )
    assert len(docs.rows("cam_fails_image")) == 9


def test_a_slow_callback_makes_progress_with_each_frame_and_is_waited_for(chain, docs, tmp_path, monkeypatch):
    """A batch takes longer than a callback may stand still; a frame does not."""
    monkeypatch.setattr(chain_run, "PATIENCE", 2.0)
    monkeypatch.setattr(work, "_TAKE", 0.05)
    seen = []

    class Slow:
        def apply(self, image, meta):
            seen.append(chain.run(docs.of("start")[0]["uid"]).progress)
            time.sleep(0.2)
            return image

    chain.add(Derive("slow", Slow, required=True))
    stop = stop_of(docs, play(chain, tmp_path, TWELVE))
    assert (stop["exit_status"], docs.account["slow_undone"], docs.account["slow_error"]) == ("success", 0, "")
    assert [done for done, _ in seen] == list(range(12))
    assert len(docs.rows("cam_slow_image")) == 12


def test_frames_of_a_fast_callback_come_in_batches_that_grow(chain, docs, tmp_path):
    sizes = []

    class Sized(Derive):
        def begin(self, start, emit):
            made = super().begin(start, emit)
            take = made.take

            def sized(source, frames):
                sizes.append(len(frames))
                take(source, frames)

            made.take = sized
            return made

    class Same:
        def apply(self, image, meta):
            return image

    chain.add(Sized("same", Same))
    play(chain, tmp_path, TWELVE * 20, batch=240)
    assert sum(sizes) == 240 == len(docs.rows("cam_same_image"))
    assert sizes[0] == 1
    assert max(sizes) > 1
