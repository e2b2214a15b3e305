"""RheedStream: what is pushed is on disk, and all of it arrives at a real ingest through the real client."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from itertools import pairwise

import h5py
import numpy as np
import psutil
import pytest
import zarr
from zarr.core.sync import cleanup_resources

from beamstream.errors import GeometryChanged, UploadError
from beamstream.ingest.process import IngestProcess
from beamstream.rheed import starting
from beamstream.rheed.job import job_directories
from beamstream.rheed.starting import is_running
from beamstream.rheed.stream import RheedStream

FPS = 20.0
SHAPE = (24, 32)


def frames(n, start=0, dtype=np.uint8):
    """Return frames of which each knows its number."""
    rows = np.arange(start + 1, start + n + 1).reshape(-1, 1, 1)
    return ((rows + np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE)) % (np.iinfo(dtype).max + 1)).astype(dtype)


def arrived(ingest, data_id, n):
    """Return what the ingest has of a stream."""
    array = zarr.open_array(ingest.stream(data_id), mode="r")
    return np.asarray(array[:n])


@pytest.fixture(autouse=True)
def no_threads_of_zarr():
    """End the threads that zarr-python keeps for its reads."""
    yield
    cleanup_resources()


@pytest.fixture(scope="module")
def ingest(tmp_path_factory):
    with IngestProcess(tmp_path_factory.mktemp("archive")) as running:
        yield running


@pytest.fixture
def make(ingest):
    """Make streams to the ingest; their workers end with the test."""
    made = []

    def make(**options):
        made.append(RheedStream(**({"fps": FPS, "directory": ingest.layout.directory} | options)))
        return made[-1]

    yield make
    for stream in made:
        stream.close()
    for worker in list(starting._children):  # also one that has only begun, and holds no lock yet
        worker.kill()
        worker.wait()


def test_what_is_pushed_is_at_the_service_bit_by_bit_when_finalize_returns(make, ingest):
    with make(physical_sample="wafer 7", rotations_per_min=12.0) as stream:
        for start in range(0, 95, 5):
            assert stream.push(frames(5, start)) == start + 5
        assert stream.push(frames(1, 95)[0]) == 96
        counts = stream.finalize(timeout=60)
    assert counts["closed"], counts
    assert (counts["pushed"], counts["uploaded"], counts["pending"]) == (96, 96, 0)
    assert np.array_equal(arrived(ingest, counts["data_id"], 96), frames(96))
    assert stream.status["phase"] == "done"


def test_sixteen_bits_become_eight_by_the_rule_that_was_said(make, ingest):
    wide = frames(50, dtype=np.uint16) * 5
    with make(rule="shift:8") as stream:
        stream.push(wide)
        counts = stream.finalize(timeout=60)
    assert np.array_equal(arrived(ingest, counts["data_id"], 50), (wide >> 8).astype(np.uint8))


def test_an_iterator_is_played_at_the_capture_rate(make):
    with make(fps=100.0, chunk_size=200) as stream:
        began = time.monotonic()
        assert stream.run(frames(10, start) for start in range(0, 60, 10)) == 60
        took = time.monotonic() - began
    assert took > 0.49  # the first at once, each of the others 0.1 s after the one before
    assert np.allclose(np.diff(times_of(stream)), 0.01, atol=1e-4)


def test_an_iterator_that_is_not_paced_keeps_the_times_of_the_capture(make):
    with make(fps=10.0) as stream:
        began = time.monotonic()
        stream.run((frames(10, start) for start in range(0, 50, 10)), pace=False)
        assert time.monotonic() - began < 4.0  # of 5
    assert np.allclose(np.diff(times_of(stream)), 0.1, atol=1e-4)


def test_frames_that_are_pushed_without_a_time_have_just_ended(make):
    with make() as stream:
        before = time.time()
        stream.push(frames(10))
        stream.push(frames(10, 10))
        stream.push(frames(10, 20), capture_start=before + 100.0)
    times = times_of(stream)
    assert abs(times[0] - (before - 10 / FPS)) < 2.0
    assert all(a < b for a, b in pairwise(times))
    assert times[20] == before + 100.0


def times_of(stream):
    (path,) = (stream.directory / "recordings").rglob(f"*{stream.uid[:8]}.h5")
    with h5py.File(path, "r", swmr=True) as file:
        return file["entry/data/timestamp"][:]


def test_frames_that_do_not_fit_are_refused_and_those_before_go_on(make, ingest):
    with make() as stream:
        stream.push(frames(45))
        with pytest.raises(GeometryChanged, match="12 × 32 uint8 pushed, those before are 24 × 32 uint8"):
            stream.push(frames(5)[:, :12])
        with pytest.raises(GeometryChanged, match="uint16 pushed"):
            stream.push(frames(5).astype(np.uint16))
        with pytest.raises(TypeError, match="float64 pushed; give an array of uint8 or uint16"):
            stream.push(frames(5).astype(float))
        with pytest.raises(TypeError, match="list pushed"):
            stream.push([[1]])  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="shape"):
            stream.push(frames(5)[0, 0])
        stream.push(frames(5, 45))
        counts = stream.finalize(timeout=60)
    assert np.array_equal(arrived(ingest, counts["data_id"], 50), frames(50))
    with pytest.raises(ValueError, match="it has ended"):
        stream.push(frames(1))


def test_options_that_cannot_be_are_said_before_anything_begins(tmp_path, ingest):
    there = {"directory": ingest.layout.directory}
    with pytest.raises(ValueError, match=r"chunks of 199 frames.*1\.99 s.*use chunk_size = 200"):
        RheedStream(fps=100.0, chunk_size=199, **there)
    with pytest.raises(ValueError, match="0 frames/s"):
        RheedStream(fps=0, **there)
    with pytest.raises(ValueError, match="rule 'shift'"):
        RheedStream(fps=1.0, rule="shift", **there)
    with pytest.raises(ValueError, match="write http://host:port"):
        RheedStream(fps=1.0, endpoint="somewhere", **there)
    with pytest.raises(ValueError, match="azimuth 110 given with 5 rotations/min"):
        RheedStream(fps=1.0, azimuth="110", rotations_per_min=5.0, **there)
    with pytest.raises(UploadError, match="no ingest runs for"):
        RheedStream(fps=1.0, directory=tmp_path)


def test_a_rule_that_does_not_fit_the_pixels_is_said_at_the_first_push_and_nothing_is_left(make, ingest):
    before = set(ingest.layout.directory.rglob("*.h5"))
    with make() as stream, pytest.raises(UploadError, match="rule as-is asked for, pixels are uint16; give shift:8"):
        stream.push(frames(1, dtype=np.uint16))
    assert set(ingest.layout.directory.rglob("*.h5")) == before


def test_without_a_service_pushing_goes_on_and_the_status_says_what_is_in_the_way(tmp_path, wait_for, ingest):
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text("letmein")
    endpoint = "http://127.0.0.1:9"  # discard: nobody listens
    with RheedStream(fps=FPS, directory=tmp_path, endpoint=endpoint, key_file=key) as stream:
        stream.push(frames(45))
        wait_for(lambda: stream.status["phase"] == "offline", timeout=30, what="the worker to find nobody")
        assert stream.push(frames(5, 45)) == 50
        counts = stream.finalize(timeout=0.5)
    assert not counts["closed"]
    assert (counts["uploaded"], counts["pending"]) == (0, 50)
    assert "127.0.0.1:9" in counts["words"]
    end_worker(tmp_path, wait_for)


def test_a_key_that_is_given_is_in_no_file_and_in_no_command_line(tmp_path, ingest, wait_for):
    secret = ingest.key
    with RheedStream(fps=FPS, directory=tmp_path, endpoint=ingest.url, key=secret) as stream:
        stream.push(frames(50))
        wait_for(lambda: stream.status["data_id"], timeout=30, what="the stream to be opened")
        (job,) = job_directories(tmp_path / "uploads")
        worker = psutil.Process(json.loads(job.lock.read_text())["pid"])
        lines = [process.cmdline() for process in (worker, *worker.children(recursive=True))]
        assert stream.finalize(timeout=60)["closed"]
    assert not any(secret in word for line in lines for word in line)
    texts = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert texts
    assert not any(secret.encode() in text for text in texts)
    assert secret not in repr(stream.__dict__.get("_options"))


def end_worker(directory, wait_for):
    for job in job_directories(directory / "uploads"):
        if is_running(job):
            psutil.Process(json.loads(job.lock.read_text())["pid"]).terminate()
            wait_for(lambda job=job: not is_running(job), timeout=20, what="the worker to end")


KILLED = """
import sys, numpy as np
sys.path.insert(0, {here!r})
from test_stream import FPS, frames
from beamstream.rheed.stream import RheedStream

stream = RheedStream(fps=FPS, directory={directory!r})
pushed = 0
while True:
    pushed = stream.push(frames(7, pushed))
    print(pushed, flush=True)
"""


def test_kill_9_in_the_middle_loses_nothing_that_push_returned_for(tmp_path, wait_for):
    with IngestProcess(tmp_path) as ingest:
        script = textwrap.dedent(KILLED).format(here=os.path.dirname(__file__), directory=str(tmp_path))  # noqa: PTH120
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            said = 0
            while said < 140:
                said = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.read().split("\n")
            said = max([said, *(int(line) for line in rest[:-1])])  # what it had printed
        (job,) = job_directories(tmp_path / "uploads")
        wait_for(lambda: job.state.phase == "done", timeout=60, what="the worker to finish by itself")
        assert job.state.uploaded >= said
        assert np.array_equal(arrived(ingest, job.state.data_id, said), frames(said))


def test_a_worker_that_is_killed_is_started_again_while_the_stream_lives(make, ingest, wait_for):
    with make() as stream:
        stream.push(frames(45))
        wait_for(lambda: stream.status["uploaded"] == 40, timeout=30, what="the first chunk")
        (job,) = (
            j for j in job_directories(ingest.layout.directory / "uploads") if j.path.name == stream.status["upload"]
        )
        psutil.Process(json.loads(job.lock.read_text())["pid"]).kill()
        stream.push(frames(55, 45))
        counts = stream.finalize(timeout=60)
    assert counts["closed"], counts
    assert np.array_equal(arrived(ingest, counts["data_id"], 100), frames(100))
