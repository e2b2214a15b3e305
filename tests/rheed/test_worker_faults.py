"""The worker while network, service and disk fail: everything arrives, once each, and words say what is in the way."""

import random
import subprocess
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

from beamstream.rheed.job import Owner


def test_a_storm_of_refusals_failures_and_cuts_costs_no_frame(film, upload, stored, faults):
    film, lock = film(190), threading.Lock()
    storms = {
        "/tags/": ["cut", 403],
        "/rheed/stream/": [401, 500],
        "upload_urls": random.Random(5).choices([None, 401, 403, 404, 409, 500, 503, "cut"], k=30),
        "/upload/": [None, 500, 403, "cut"],
    }

    def answer(method: str, path: str) -> object:
        with lock:
            storm = next((storm for part, storm in storms.items() if part in path), [])
            return storm.pop(0) if storm else None

    faults.answer = answer
    job = upload(film, total=190, endpoint=faults.url, tags=("storm",), physical_sample="wafer").start()
    assert job.wait(60) == 0, job.log
    assert np.array_equal(stored(job), film.images())
    said = [what for _, method, path, what in faults.asked if method == "POST" and "upload_urls" in path]
    assert job.state.refusals >= sum(what in (401, 403, 404, 409) for what in said) > 0
    begun = [what for _, _, path, what in faults.asked if path == "/rheed/stream/"]
    assert begun.count(200) == 1


def test_it_starts_without_the_service_and_catches_up(film, upload, stored, faults, wait_for):
    film = film(30)
    faults.go()
    job = upload(film, endpoint=faults.url, owner=Owner.this()).start()
    wait_for(lambda: job.state.phase == "offline", timeout=20, what="it to say that there is no service")
    assert "is not to be reached" in job.state.error
    film.grow(30)
    faults.come()
    wait_for(lambda: job.state.uploaded == 60, timeout=20, what="what was recorded meanwhile to arrive")
    assert job.state.error == ""
    faults.go()
    film.grow(255)
    wait_for(lambda: job.state.frames == 315 and job.state.phase == "offline", timeout=20, what="the next absence")
    faults.come()
    film.close()
    job.directory.end(315)
    assert job.wait() == 0
    assert np.array_equal(stored(job), film.images())


def test_chunks_that_vanish_from_the_spool_are_pushed_again(film, upload, stored, faults, wait_for):
    film = film(20)
    job = upload(film, endpoint=faults.url, owner=Owner.this(), fps=10.0).start()
    wait_for(lambda: job.state.uploaded == 20, timeout=20, what="the first chunk to arrive")
    faults.go()
    film.grow(280)
    entries = job.directory.spool / job.state.data_id
    wait_for(lambda: len(list(entries.glob("*.json"))) == 15, timeout=20, what="the spool to be full")
    newest = sorted(entries.glob("*.zarr"))[-4:]
    for path in newest:
        path.unlink()
    film.close()
    job.directory.end(300)
    faults.come()
    assert job.wait() == 0, job.log
    assert np.array_equal(stored(job), film.images())


def test_a_file_that_stays_in_the_spool_does_not_hold_an_upload_up(film, upload, stored, faults, wait_for):
    film = film(20)
    job = upload(film, endpoint=faults.url, owner=Owner.this(), fps=10.0).start()
    wait_for(lambda: job.state.uploaded == 20, timeout=20, what="the first chunk to arrive")
    faults.go()
    film.grow(25)
    entries = job.directory.spool / job.state.data_id
    wait_for(lambda: any(entries.glob("*-c1.zarr")), timeout=20, what="the second chunk to be in the spool")
    (entries / "stays-c1.zarr").touch()  # as one that the disk did not delete
    film.close()
    job.directory.end(45)
    faults.come()
    assert job.wait(90) == 0, job.log
    assert np.array_equal(stored(job), film.images())


def test_a_key_that_is_mended_goes_on_at_once_and_is_nowhere_to_be_read(
    film, upload, stored, ingest, tmp_path, wait_for
):
    film, key = film(45), tmp_path / "key"
    job = upload(film, total=45, key="").start("--key-file", str(key))

    def said(words: str) -> None:
        wait_for(lambda: (job.state.phase, words in job.state.error) == ("refused", True), timeout=20, what=words)

    said(f"the key {key} cannot be read")
    key.write_text(ingest.key)
    key.chmod(0o644)
    said(f"the key {key} has mode 644")
    assert job.state.refusals == 0
    key.chmod(0o600)
    key.write_text("another")
    said("correct the key, in BEAMSTREAM_UPLOAD_KEY or in the file")
    assert job.state.refusals > 0
    key.write_text(ingest.key)
    assert job.wait() == 0
    assert np.array_equal(stored(job), film.images())
    for path in job.directory.path.iterdir():
        assert ingest.key not in path.read_text()


def test_without_any_key_words_name_the_variable(film, upload, wait_for):
    job = upload(film(45), total=45, key="").start()
    wait_for(lambda: job.state.phase == "refused", timeout=20, what="the refusal")
    assert "BEAMSTREAM_UPLOAD_KEY" in job.state.error


def test_a_slow_service_is_waited_for(film, upload, stored, faults, wait_for):
    film = film(45)
    faults.answer = lambda method, path: 4.0 if "upload_urls" in path or "gateway" in path else None
    job = upload(film, total=45, endpoint=faults.url).start()
    wait_for(lambda: "has not answered for" in job.state.error, timeout=20, what="it to say that it waits")
    assert job.wait() == 0
    assert np.array_equal(stored(job), film.images())
    assert faults.count("upload_urls") == 3  # nothing was asked twice


def test_a_full_disk_is_said_and_waited_for(film, upload, stored, tmp_path, wait_for):
    film = film(45)
    disk = tmp_path / "disk"
    disk.mkdir()
    _mount(disk, "size=1m")
    try:
        job = upload(film, owner=Owner.this(), where=disk).start()
        wait_for(lambda: "lacks" in job.state.error, timeout=20, what="it to say that the disk is full")
        (disk / "rest").write_bytes(bytes(900_000))
        subprocess.run(["dd", "if=/dev/zero", f"of={disk / 'more'}", "bs=4k"], capture_output=True)
        assert psutil.disk_usage(str(disk)).free == 0
        _mount(disk, "remount,size=100m")
        wait_for(lambda: job.state.uploaded == 40, timeout=20, what="the upload to go on")
        (disk / "more").unlink()
        (disk / "rest").unlink()
        film.close()
        job.directory.end(45)
        assert job.wait() == 0
        assert np.array_equal(stored(job), film.images())
        job.kill()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _mount(disk: Path, options: str) -> None:
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a full disk cannot be made: {done.stderr.strip()}")
