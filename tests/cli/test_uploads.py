"""`beamstream upload` and `beamstream uploads`, and a recording that is killed while it is uploaded."""

import json
import re
import shutil
import signal

import h5py
import numpy as np
import psutil
import pytest
import zarr
from cli_commands import configuration, started
from zarr.core.sync import cleanup_resources

from beamstream.callbacks.chain import Chain
from beamstream.cli.serve import take_up_uploads
from beamstream.cli.uploading import put_jobs
from beamstream.config import load
from beamstream.errors import BeamstreamError
from beamstream.ingest.process import IngestProcess
from beamstream.instrument.callbacks import add_callbacks
from beamstream.rheed.job import job_directories
from beamstream.rheed.starting import is_running, start_worker
from beamstream.sinks.hdf5 import frames_kept

RULE = "window:0:65535"
UPLOADER = '[callbacks.rheed_uploader]\nrule = "window:0:65535"\nrotations_per_min = 6.0\nfps = 50.0\n'


@pytest.fixture
def archive(tmp_path):
    """The archive's directory; workers end with the test."""
    yield tmp_path / "archive"
    for job in jobs(tmp_path / "archive"):
        end_worker(job)
    cleanup_resources()


@pytest.fixture
def ingest(archive):
    with IngestProcess(archive) as running:
        yield running


@pytest.fixture(scope="module")
def original(beamline, tmp_path_factory):
    """Record a run of 30 frames; return the archive."""
    home = tmp_path_factory.mktemp("recorded")
    with started(home, "record", "camera", "-n", "30", "--json") as command:
        assert command.process.wait(60) == 0, command.err
    return home / "archive"


@pytest.fixture
def recorded(original, archive):
    """Put that run into the archive of this test; return its uid."""
    shutil.copytree(original / "journal", archive / "journal")
    (journal,) = (archive / "journal").rglob("*.jsonl")
    return journal.stem


def jobs(archive):
    return list(job_directories(archive / "uploads"))


def end_worker(job):
    if is_running(job):
        psutil.Process(json.loads(job.lock.read_text())["pid"]).kill()


def port_of(url):
    return int(url.rpartition(":")[2])


def as_recorded(job):
    """Return what the service must have of an upload."""
    with h5py.File(job.job.path, "r", swmr=True) as file:
        raw = file["entry/data/data"][: job.total or frames_kept(job.job.path)].astype(float)
    return np.rint(raw / 65535 * 255).astype(np.uint8)


def stored(ingest, job):
    return np.asarray(zarr.open_array(ingest.stream(job.state.data_id), mode="r")[: job.state.uploaded])


def test_a_recorded_run_is_uploaded_followed_shown_and_not_uploaded_twice(beamstream, recorded, archive, ingest):
    done = beamstream("upload", "-1", "--rule", RULE, "--rpm", 6, "--name", "{detector} {scan_id}", "--json")
    assert done.status == 0, done.err
    (said,) = done.json
    assert (said["phase"], said["uploaded"], said["backlog"], said["run"]) == ("done", 30, 0, recorded)
    (job,) = jobs(archive)
    assert (job.job.stream_name, job.job.rotations_per_min, job.job.fps) == ("camera 1", 6.0, 200.0)
    assert np.array_equal(stored(ingest, job), as_recorded(job))

    again = beamstream("upload", recorded[:8], "--rule", RULE, "--json")
    assert again.json[0]["data_id"] == said["data_id"]
    table = beamstream("uploads").out
    assert re.search(rf"{recorded[:8]} +camera +camera 1 +done +30 +30 +0 +0\.0 +\d", table), table
    assert beamstream("uploads", "--json").json == again.json
    assert ingest.key not in table + done.out + done.err + job.log.read_text()


def test_what_cannot_be_uploaded_is_said_before_anything_is_written(beamstream, recorded, archive, tmp_path):
    beamstream("upload", "-1", "--rule", RULE).failed_with("no ingest runs for", "beamstream serve --ingest")
    config = load(configuration(tmp_path))
    away = {"endpoint": "http://127.0.0.1:9"}
    for said, words in (
        (away, "pixels are uint16; give shift:8 or window:LOW:HIGH"),
        (away | {"rule": RULE, "chunk_seconds": 1.0}, "chunks of 1 s asked for, the service wants 2 s or more"),
        (away | {"rule": RULE, "detectors": ["cam"]}, "has no grey images"),
        (away | {"rule": RULE, "stream": "corrected"}, "has no grey images in HDF5 of stream 'corrected'"),
        ({"endpoint": "here"}, "write http://host:port"),
    ):
        with pytest.raises(BeamstreamError, match=re.escape(words)):
            put_jobs(config, "-1", said)
    with pytest.raises(BeamstreamError, match="there is none in"):
        put_jobs(config, "0000", away)
    assert jobs(archive) == []
    assert "no upload in" in beamstream("uploads").out


def test_a_run_without_an_end_is_left_to_its_session(recorded, archive, tmp_path):
    (journal,) = (archive / "journal").rglob("*.jsonl")
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(BeamstreamError, match=r"has no end.*beamstream recover"):
        put_jobs(load(configuration(tmp_path)), "-1", {"endpoint": "http://127.0.0.1:9", "rule": RULE})


def test_ctrl_c_ends_the_following_and_not_the_upload(recorded, archive, tmp_path, wait_for):
    with IngestProcess(archive) as away:
        url, key = away.url, away.key_file
    with started(tmp_path, "upload", "-1", "--rule", RULE, "--to", url, "--key-file", key) as command:
        wait_for(lambda: "is not to be reached" in command.err, timeout=30, what="words about what is in the way")
        done = command.end(signal.SIGINT)
    assert done.status == 130
    assert "goes on by itself, 30 frames are left" in done.err
    (job,) = jobs(archive)
    assert is_running(job)
    with IngestProcess(archive, port_of(url)) as service:
        wait_for(lambda: job.state.phase == "done", timeout=40, what="the worker to finish by itself")
        assert np.array_equal(stored(service, job), as_recorded(job))


def test_an_upload_whose_worker_died_is_taken_up_again(beamstream, recorded, archive, tmp_path, wait_for):
    job, service = an_orphan(load(configuration(tmp_path)), wait_for)
    assert "no worker is at it (beamstream uploads --resume)" in beamstream("uploads").out
    with service:
        assert f"{job.path.name} is taken up" in beamstream("uploads", "--resume").err
        wait_for(lambda: job.state.phase == "done", timeout=40, what="the upload")
        assert np.array_equal(stored(service, job), as_recorded(job))


def test_a_wrong_key_is_said_and_a_mended_one_counts_at_once(beamstream, recorded, archive, ingest, tmp_path, wait_for):
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_text("wrong")
    beamstream("upload", "-1", "--rule", RULE, "--to", ingest.url, "--key-file", key, "--detach")
    (job,) = jobs(archive)
    wait_for(lambda: job.state.phase == "refused", timeout=30, what="a refusal")
    assert re.search(r"refused .* 401 ", beamstream("uploads").out)
    key.write_text(ingest.key)
    wait_for(lambda: job.state.phase == "done", timeout=40, what="the upload")
    assert np.array_equal(stored(ingest, job), as_recorded(job))


@pytest.mark.usefixtures("beamline")
def test_a_recording_that_is_killed_is_uploaded_to_its_last_frame(beamstream, archive, ingest, tmp_path, wait_for):
    file = configuration(tmp_path)
    file.write_text(file.read_text() + UPLOADER)
    with started(tmp_path, "record", "camera", "--seconds", 60) as session:
        wait_for(lambda: jobs(archive) and jobs(archive)[0].state.uploaded >= 100, timeout=40, what="a chunk")
        session.process.send_signal(signal.SIGKILL)
        session.process.wait(20)
    (job,) = jobs(archive)
    assert job.total is None
    wait_for(lambda: job.state.phase == "done", timeout=40, what="the worker to finish by itself")
    assert job.state.uploaded == frames_kept(job.job.path)  # the kill may have left further rows in some datasets
    assert beamstream("record", "free", "-n", 1).status == 0  # and takes away the ring of the killed one
    assert job.job.rotations_per_min == 6.0
    assert np.array_equal(stored(ingest, job), as_recorded(job))


def an_orphan(config, wait_for):
    """Return an upload whose worker was killed, and the service that it goes to, to be started."""
    archive = config.archive.directory
    with IngestProcess(archive) as service:
        (job,) = put_jobs(config, "-1", {"rule": RULE})
    start_worker(job)
    wait_for(lambda: job.state.phase == "offline", timeout=30, what="a worker that finds nobody")
    end_worker(job)
    wait_for(lambda: not is_running(job), what="its end")
    return job, IngestProcess(archive, port_of(service.url))


@pytest.mark.parametrize("who", ["the next session", "serve"])
def test_what_nobody_works_on_is_taken_up_by(who, recorded, archive, tmp_path, wait_for):
    file = configuration(tmp_path)
    file.write_text(file.read_text() + UPLOADER)
    config, chain = load(file), Chain()
    job, service = an_orphan(config, wait_for)
    with service:
        keeper = take_up_uploads(archive) if who == "serve" else add_callbacks(chain, config, watched=False)
        wait_for(lambda: job.state.phase == "done", timeout=40, what="the upload")
        assert np.array_equal(stored(service, job), as_recorded(job))
    for callback in [keeper, *chain.callbacks]:
        if hasattr(callback, "close"):
            callback.close()
