"""What an upload is told, where it goes, how far it is: without a service."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from beamstream.errors import UploadError
from beamstream.rheed.destination import destination_for, ingest_of
from beamstream.rheed.job import Job, JobDirectory, Owner, State
from beamstream.rheed.key import read_key
from beamstream.rheed.options import ATOMSCALE, Destination, Recorded, UploadOptions
from beamstream.rheed.report import status_of, statuses
from beamstream.rheed.starting import find_job, put_job, unfinished

START = {"uid": "0123456789abcdef", "scan_id": 17, "sample": {"name": "wafer 7"}, "recipe": "GaAs"}
TO = Destination("http://127.0.0.1:9", "/somewhere/key")
CAMERA = {
    "cam_cam_acquire_period": 0.02,
    "cam_cam_acquire_time": 0.04,
    "cam_rotations_per_min": 12.0,
    "cam_direction": "[110]",
}


def recorded(**more):
    what = {"start": START, "detector": "cam", "path": Path("/data/a.h5"), "dataset": "/d", "dtype": "|u1"}
    return Recorded(**({**what, "configuration": {}} | more))


def test_rate_and_rotation_come_from_the_configuration_of_the_detector():
    job = UploadOptions(chunk_seconds=3.0).job(recorded(configuration=CAMERA), TO)
    assert (job.fps, job.chunk_size) == (25.0, 75), "the longer of exposure and period"
    assert (job.rotations_per_min, job.azimuth) == (12.0, None), "what rotates has no azimuth"
    assert (job.endpoint, job.key_file) == ("http://127.0.0.1:9", "/somewhere/key")
    still = UploadOptions().job(recorded(configuration=CAMERA | {"cam_rotations_per_min": 0.0}), TO)
    assert (still.rotations_per_min, still.azimuth) == (0.0, "[110]")


def test_what_is_said_goes_before_the_configuration():
    job = UploadOptions(fps=10.0, rotations_per_min=0.0, azimuth="100").job(recorded(configuration=CAMERA), TO)
    assert (job.fps, job.chunk_size, job.rotations_per_min, job.azimuth) == (10.0, 20, 0.0, "100")


def test_a_camera_that_says_nothing_is_measured_by_the_worker():
    job = UploadOptions(chunk_seconds=4.0).job(recorded(), TO)
    assert (job.fps, job.chunk_size, job.chunk_seconds) == (None, None, 4.0)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{sample} {scan_id}", "wafer 7 17"),
        ("{recipe}: {detector}", "GaAs: cam"),
        ("{operator} {scan_id}", "17"),
        ("{operator}", "cam 01234567"),
        ("{{as it is}}", "{as it is}"),
    ],
)
def test_names_are_made_of_the_metadata_of_the_run(template, name):
    assert UploadOptions(stream_name=template).job(recorded(), TO).stream_name == name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"chunk_seconds": 1.9}, "the service wants 2 s or more"),
        ({"chunk_seconds": float("nan")}, "the service wants 2 s or more"),
        ({"fps": 0.0}, "use a number above 0"),
        ({"rotations_per_min": -1.0}, "use 0 for a sample that stands still"),
        ({"verbosity": 5}, "use 0 to 4"),
        ({"endpoint": "ftp://there"}, "write http://host:port"),
        ({"endpoint": "http://me:secret@there"}, "holds a password"),
        ({"stream_name": "{scan_id.real}"}, "in braces stands metadata"),
        ({"stream_name": "{"}, "in braces stands metadata"),
    ],
)
def test_options_that_cannot_be_say_what_can(options, words):
    with pytest.raises(ValueError, match=words) as caught:
        UploadOptions(**options)
    assert "secret" not in str(caught.value)


def test_the_cloud_is_asked_for_by_name_and_never_by_default(tmp_path):
    assert destination_for(UploadOptions(endpoint="atomscale"), tmp_path).endpoint == ATOMSCALE
    with pytest.raises(UploadError, match="no endpoint asked for, and no ingest runs"):
        destination_for(UploadOptions(), tmp_path)
    later = destination_for(UploadOptions(), tmp_path, "http://127.0.0.1:8711")
    assert later == Destination("http://127.0.0.1:8711", str(tmp_path / "ingest_key"))


def test_an_ingest_that_died_and_left_its_address_behind_is_none(tmp_path):
    (tmp_path / "ingest").mkdir()
    (tmp_path / "ingest" / "server.json").write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": os.getpid()}))
    (tmp_path / "ingest" / "lock").touch()
    assert ingest_of(tmp_path) is None


def test_a_key_is_read_from_a_file_that_nobody_else_can_read(tmp_path, monkeypatch):
    monkeypatch.delenv("BEAMSTREAM_UPLOAD_KEY", raising=False)
    with pytest.raises(UploadError, match="BEAMSTREAM_UPLOAD_KEY"):
        read_key(None)
    monkeypatch.setenv("BEAMSTREAM_UPLOAD_KEY", "of-the-environment")
    assert read_key(None) == "of-the-environment"
    file = tmp_path / "key"
    with pytest.raises(UploadError, match=r"cannot be read.*correct key_file"):
        read_key(file)
    file.write_text("of-the-file\n")
    file.chmod(0o644)
    with pytest.raises(UploadError, match="mode 644") as caught:
        read_key(file)
    assert "of-the-file" not in str(caught.value)
    file.chmod(0o600)
    assert read_key(file) == "of-the-file", "named for one service"
    file.write_text("two words")
    with pytest.raises(UploadError, match="holds no key") as caught:
        read_key(file)
    assert "two words" not in str(caught.value)


def test_the_same_frames_to_the_same_service_are_one_upload(tmp_path):
    job = Job("rheed", "0123456789", "cam", "/data/a.h5", "http://127.0.0.1:9", "first")
    put = put_job(tmp_path, job)
    assert put.path.name == "01234567-cam"
    assert find_job(tmp_path, replace(job, stream_name="second", rule="shift:4")).path == put.path  # type: ignore[union-attr]
    assert find_job(tmp_path, replace(job, endpoint="http://127.0.0.1:10")) is None
    assert put_job(tmp_path, replace(job, endpoint="http://127.0.0.1:10")).path.name == "01234567-cam-2"


def test_how_far_an_upload_is_in_numbers_and_words(tmp_path):
    job = put_job(tmp_path, Job("rheed", "0123456789", "cam", "/data/a.h5", "http://x", "a", owner=Owner.this()))
    assert status_of(job)["words"] == "waits for frames"
    job.lock.touch()  # a worker was there
    job.save(State("uploading", "id", fps=50.0, chunk_size=100, confirmed=1, frames=150, uploaded=100))
    status = status_of(job)
    assert (status["backlog"], status["backlog_seconds"], status["complete"]) == (50, 1.0, False)
    assert status["words"].startswith("no worker is at it (beamstream uploads --resume)")
    assert [j.path for j in unfinished(tmp_path)] == [job.path]
    job.end(160)
    assert (status_of(job)["frames"], status_of(job)["complete"]) == (160, True)
    job.save(State("failed", error="upload: no disk"))
    assert status_of(job)["words"] == "upload: no disk"
    assert list(unfinished(tmp_path)) == [], "only a person can help"


def test_a_damaged_upload_is_shown_and_breaks_nothing(tmp_path):
    good = put_job(tmp_path, Job("rheed", "0123456789", "cam", "/data/a.h5", "http://x", "a"))
    bad = JobDirectory(tmp_path / "bad")
    bad.path.mkdir()
    (bad.path / "job.json").write_text("{")
    found = {status["upload"]: status for status in statuses(tmp_path)}
    assert found["bad"]["phase"] == "failed"
    assert "can be read" in found["bad"]["words"]
    assert [job.path for job in unfinished(tmp_path)] == [good.path]
