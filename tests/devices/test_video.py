"""Films and webcams in real plans: step, fly, to the end, slow disks, pauses, damage."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import cv2
import numpy as np
import pytest
from bluesky.utils import FailedStatus, RunEngineInterrupted

sys.path.insert(0, str(Path(__file__).parents[1] / "sources" / "video"))  # for video_films

from video_films import BEGAN, film_of, noisy

from beamstream.errors import NotAnImage, NotConnected, SourceError
from beamstream.frames import Geometry
from beamstream.recorded import RecordedFrames
from beamstream.sinks.hdf5 import Hdf5Sink
from devices.video import VideoDetector, WebcamDetector
from plans.record import record

DEEP = Geometry((96, 128), "<u2")
FRAMES = noisy(DEEP, 120, top=4095, step=0.01)
PER_RING = 8  # frames


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return film_of(tmp_path_factory.mktemp("films") / "growth.mkv", FRAMES)


@pytest.fixture
def make(tmp_path) -> Iterator[Callable[..., Any]]:
    """Make devices; they are destroyed afterwards."""
    made: list[Any] = []

    def make(kind: type, place: Any, **kwargs: Any) -> Any:
        options = {"directory": tmp_path, "timeout": 5.0, "ring_memory": PER_RING * DEEP.nbytes, "name": "film"}
        made.append(kind(place, **(options | kwargs)))
        return made[-1]

    yield make
    for device in made:
        device.destroy()


def expect(device: VideoDetector, number: int) -> None:
    """Check that the recorded file has just the first frames of the film, bit by bit, with their times."""
    account = device.ledger.account
    assert (account.recorded, account.lost, account.discarded) == (number, 0, 0)
    assert device.path is not None
    with RecordedFrames(device.path) as recorded:
        assert len(recorded) == number
        found = [(f.unique_id, f.timestamp, f.image.copy()) for batch in recorded.read(0, number) for f in batch]
    for row, (unique_id, timestamp, image) in enumerate(found):
        assert (unique_id, timestamp) == (row, FRAMES[row].timestamp)
        assert np.array_equal(image, FRAMES[row].image)


def test_a_film_is_recorded_to_its_end(film, make, engine, docs):
    device = make(VideoDetector, film, speed=0)
    engine(record([device]))
    expect(device, len(FRAMES))
    assert docs.stop["exit_status"] == "success"
    assert docs.stop["num_events"]["primary"] == len(FRAMES)
    assert docs.ledger["film_ledger_lost"] == 0
    (descriptor,) = [d for d in docs.of("descriptor") if d["name"] == "primary"]
    assert descriptor["data_keys"]["film_image"]["shape"] == [96, 128]
    assert descriptor["data_keys"]["film_image"]["source"] == film.as_uri()
    configuration = descriptor["configuration"]["film"]["data"]
    assert (configuration["film_clock"], configuration["film_grey"]) == ("film", "error")


def test_a_number_of_frames_is_the_first_ones(film, make, engine):
    device = make(VideoDetector, film, speed=0)
    engine(record([device], num=17))
    expect(device, 17)
    engine(record([device], num=len(FRAMES)))  # it begins anew
    expect(device, len(FRAMES))


def test_a_film_that_is_shorter_than_asked_ends_the_run_and_says_so(film, make, engine, docs, caplog):
    device = make(VideoDetector, film, speed=0)
    engine(record([device], num=1000))
    expect(device, len(FRAMES))
    assert docs.stop["exit_status"] == "success"
    assert "has ended after 120 frames; 1000 were asked for" in caplog.text


def test_a_time_is_a_part_of_the_film(film, make, engine):
    device = make(VideoDetector, film, speed=0.1)  # 10 frames a second
    engine(record([device], seconds=0.5))
    number = device.ledger.account.recorded
    assert 1 <= number < len(FRAMES)
    expect(device, number)


def test_a_trigger_takes_the_next_frame_however_long_one_thinks(film, make, engine, docs):
    device = make(VideoDetector, film)  # at its own pace: it stands still between triggers
    engine(bp.count([device], num=5, delay=0.05))
    expect(device, 5)
    means = [d["data"]["film_stats_mean"] for d in docs.of("event") if "film_stats_mean" in d["data"]]
    assert means == pytest.approx([frame.image.mean() for frame in FRAMES[:5]])


def test_a_trigger_behind_the_end_fails_with_words(tmp_path, make, engine, docs):
    device = make(VideoDetector, film_of(tmp_path / "short.mkv", FRAMES[:3]))
    with pytest.raises(FailedStatus, match=r"has ended after 3 frames, and was asked for more; stage it again"):
        engine(bp.count([device], num=5))
    expect(device, 3)
    assert docs.stop["exit_status"] == "fail"


def test_bluesky_flies_it_without_our_plans(film, make, engine, docs):
    import bluesky.plan_stubs as bps
    import bluesky.preprocessors as bpp

    device = make(VideoDetector, film, speed=0)

    @bpp.stage_decorator([device])
    @bpp.run_decorator()
    def fly():
        yield from bps.declare_stream(device, name="primary", collect=True)
        yield from bps.kickoff(device, wait=True)
        yield from bps.collect_while_completing([device], [device], flush_period=0.1, stream_name="primary")

    engine(fly())
    expect(device, len(FRAMES))
    assert docs.stop["exit_status"] == "success"


class SlowSink(Hdf5Sink):
    """A disk that is much slower than the film."""

    def write(self, frames):
        time.sleep(0.02)
        return super().write(frames)


def test_a_film_as_fast_as_possible_waits_for_a_slow_disk(film, make, engine, monkeypatch):
    monkeypatch.setattr("devices.stream_detector.Hdf5Sink", SlowSink)
    device = make(VideoDetector, film, speed=0)
    engine(record([device]))
    assert device.ring.statistics().capacity == PER_RING
    expect(device, len(FRAMES))


def test_a_pause_lets_the_film_stand_still(film, make, engine, wait_for):
    device = make(VideoDetector, film, speed=0.5)

    def interrupt():
        wait_for(lambda: device.ledger.account.recorded > 5, timeout=20)
        engine.request_pause(defer=False)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(RunEngineInterrupted):
        engine(record([device], flush_period=0.05))
    interrupter.join()
    before = device.ledger.account.received
    assert before < len(FRAMES)
    threading.Event().wait(0.2)  # ten frames of the film
    assert device.ledger.account.received == before
    device.speed.put(0.5)
    engine.resume()
    expect(device, len(FRAMES))


def test_a_long_silence_in_a_film_is_no_silence_of_the_detector(tmp_path, make, engine):
    frames = [*FRAMES[:2], replace(FRAMES[2], timestamp=BEGAN + 1.5)]
    device = make(VideoDetector, film_of(tmp_path / "slow.mkv", frames), timeout=0.5)
    engine(record([device]))
    assert device.ledger.account.recorded == 3


def test_a_damaged_film_fails_with_everything_before_on_disk(film, tmp_path, make, engine, docs):
    data = bytearray(film.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "damaged.mkv").write_bytes(data)
    device = make(VideoDetector, tmp_path / "damaged.mkv", speed=0)
    with pytest.raises(FailedStatus, match=r"frame \d+ is damaged \(its checksum is wrong\)") as failure:
        engine(record([device]))
    number = device.ledger.account.recorded
    assert f"frame {number} is damaged" in str(failure.value)
    assert abs(number - 60) <= 2
    expect(device, number)
    assert docs.stop["exit_status"] == "fail"


def test_what_cannot_be_played_is_told_before_the_run(tmp_path, make, engine, docs):
    device = make(VideoDetector, tmp_path / "missing.mkv")
    assert not device.connected
    with pytest.raises(NotConnected, match=r"film: the film .*missing\.mkv cannot be opened"):
        engine(record([device]))
    assert docs.of("start") == []


def test_neither_number_nor_time_is_for_films_only(make, engine, film, avi):
    detectors = [make(VideoDetector, film), make(WebcamDetector, avi, name="webcam", grey="luma")]
    with pytest.raises(ValueError, match="give one of them"):
        engine(record(detectors))


@pytest.fixture
def avi(tmp_path) -> str:
    writer = cv2.VideoWriter(str(tmp_path / "cam.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for number in range(60):
        writer.write(np.full((48, 64, 3), number * 4, "u1"))
    writer.release()
    return str(tmp_path / "cam.avi")


def test_a_webcam_is_recorded(avi, make, engine, docs, monkeypatch):
    paced(monkeypatch)
    webcam = make(WebcamDetector, avi, name="webcam", grey="luma")
    engine(record([webcam], num=20))
    assert docs.stop["exit_status"] == "success"
    assert (webcam.ledger.account.recorded, webcam.ledger.account.lost) == (20, 0)
    with RecordedFrames(webcam.path) as recorded:
        frames = [(f.unique_id, f.image.copy()) for batch in recorded.read(0, 20) for f in batch]
    first = frames[0][0]
    assert [number for number, _ in frames] == list(range(first, first + 20))
    for number, image in frames:
        assert np.abs(image.astype(int) - number * 4).max() <= 2


def test_a_webcam_that_is_pulled_out_fails_the_run(avi, make, engine, docs, monkeypatch):
    paced(monkeypatch)
    webcam = make(WebcamDetector, avi, name="webcam", grey="luma")
    with pytest.raises((FailedStatus, SourceError), match=r"gave 60 frames and no more; is it plugged in"):
        engine(record([webcam], num=100))
    assert docs.stop["exit_status"] == "fail"
    assert webcam.ledger.account.recorded > 20


def test_a_colour_webcam_wants_a_rule(avi, make, engine):
    webcam = make(WebcamDetector, avi, name="webcam")
    with pytest.raises(NotAnImage, match="have colours"):
        engine(record([webcam], num=1))
    webcam.grey.put("green")
    webcam.stage()
    webcam.unstage()


def paced(monkeypatch) -> None:
    """Let a file come as a camera's frames do: OpenCV reads it as fast as it can."""
    capture = cv2.VideoCapture

    class Paced:
        def __init__(self, place: Any) -> None:
            self._of = capture(place)

        def read(self) -> Any:
            time.sleep(0.01)
            return self._of.read()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._of, name)

    monkeypatch.setattr(cv2, "VideoCapture", Paced)
