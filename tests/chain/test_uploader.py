"""RheedUploader and ReadingsUploader in whole runs: a simulated camera, a real ingest, the real client."""

import json
import logging
import threading

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import h5py
import numpy as np
import psutil
import pytest
import zarr
from bluesky.utils import RunEngineInterrupted
from ophyd import Signal
from zarr.core.sync import cleanup_resources

from beamstream.callbacks.readings import ReadingsUploader
from beamstream.callbacks.uploader import RheedUploader
from beamstream.frames import ColorMode, Geometry
from beamstream.ingest.process import IngestProcess
from beamstream.rheed.job import job_directories
from beamstream.rheed.starting import is_running
from beamstream.sim.beamline import CameraSpec
from plans.record import monitor, record

GREY = CameraSpec("CHAIN:G", Geometry((48, 64), "|u1"), period=0.02)
DEEP = CameraSpec("CHAIN:D", Geometry((48, 64), "<u2"), period=0.02)
RGB = CameraSpec("CHAIN:C", Geometry((48, 3, 64), "|u1", ColorMode.RGB2), period=0.02)


@pytest.fixture(scope="module")
def cameras():
    return (GREY, DEEP, RGB)


@pytest.fixture
def ingest(home):
    with IngestProcess(home) as running:
        yield running


@pytest.fixture
def add(chain, home):
    """Add a callback that uploads; its workers end with the test."""
    added = []

    def add(kind=RheedUploader, *args, **options):
        added.append(chain.add(kind(home, *args, **options)))
        return added[-1]

    yield add
    for callback in added:
        callback.close()
    for job in jobs(home):
        if is_running(job):
            psutil.Process(json.loads(job.lock.read_text())["pid"]).kill()
    cleanup_resources()


def jobs(home):
    return list(job_directories(home / "uploads"))


def done(home, wait_for):
    """Return the only upload, when it is over."""
    (job,) = jobs(home)
    wait_for(lambda: job.state.phase in ("done", "failed"), timeout=40, what=f"{job.state} to be over")
    assert job.state.phase == "done", job.state
    return job


def stored(ingest, job):
    group = ingest.stream(job.state.data_id)
    return np.asarray(zarr.open_array(group, mode="r")[: job.total])


def test_a_run_is_uploaded_while_it_is_recorded_bit_by_bit(engine, make, docs, add, ingest, home, wait_for):
    cam = make("CHAIN:G")
    add(detectors=["cam"], tags=("first",))
    engine(record([cam], num=210, md={"sample": "wafer 7"}))
    account = docs.account
    assert docs.stop["exit_status"] == "success"
    assert account["rheed_uploader_uploaded"] >= 100, "the first chunk, of 2 s, while the run went on"
    assert account["rheed_uploader_uploaded"] + account["rheed_uploader_backlog"] == 210
    assert (account["rheed_uploader_failed"], account["rheed_uploader_error"]) == (0, "")

    job = done(home, wait_for)
    assert (job.state.chunk_size, job.state.uploaded, job.total) == (100, 210, 210)
    assert np.array_equal(stored(ingest, job), docs.images("cam_image"))
    said = job.job
    assert (said.fps, said.stream_name, said.physical_sample) == (50.0, "wafer 7 1", "wafer 7")
    assert said.tags == (f"run:{docs.of('start')[0]['uid']}", "8bit:as-is", "first")
    with h5py.File(docs.path("cam_image"), swmr=True) as file:
        times = file["entry/data/timestamp"][:]
    (kept,) = (a for name, a in zarr.open_group(ingest.stream(job.state.data_id).parent, mode="r").arrays()
               if name == "timestamp")  # fmt: skip
    assert np.abs(np.asarray(kept[:210])[::100] - times[::100]).max() < 0.0011, "capture times, in ms"

    starts = [json.loads(path.read_text().splitlines()[0])["doc"] for path in (home / "journal").rglob("*.jsonl")]
    (made,) = (start for start in starts if start["plan_name"] == "ingest")
    assert made["recorded_run"] == docs.of("start")[0]["uid"], "what was uploaded is in the archive, and says of what"


def test_an_aborted_run_is_uploaded_with_every_frame_on_disk(engine, make, docs, add, ingest, home, wait_for, later):
    cam = make("CHAIN:G")
    add(rotations_per_min=12.0)
    later(lambda: cam.get_index() > 30, lambda: engine.abort("enough"))
    with pytest.raises(RunEngineInterrupted):
        engine(monitor([cam]))
    assert docs.stop["exit_status"] == "abort"
    job = done(home, wait_for)
    with h5py.File(docs.path("cam_image"), swmr=True) as file:
        images = file["entry/data/data"][:]
    assert job.total == len(images) > 30
    assert job.job.rotations_per_min == 12.0
    assert np.array_equal(stored(ingest, job), images)


def test_without_a_service_the_run_is_recorded_and_it_is_said_once(engine, make, docs, add, home, caplog):
    cam, deep = make("CHAIN:G"), make("CHAIN:D", name="deep")
    add()
    with caplog.at_level(logging.WARNING):
        engine(record([cam, deep], num=5))
    assert docs.stop["exit_status"] == "success"
    assert docs.account["rheed_uploader_failed"] == 2
    assert "no ingest runs for" in docs.account["rheed_uploader_error"]
    assert "beamstream serve --ingest" in docs.account["rheed_uploader_error"]
    assert sum("not uploaded" in r.message for r in caplog.records) == 1
    assert jobs(home) == []


def test_a_job_that_cannot_be_written_is_said_and_the_run_is_recorded(engine, make, docs, add, home):
    (home / "uploads").write_text("in the way")
    add(endpoint="http://127.0.0.1:9")
    engine(record([make("CHAIN:G")], num=5))
    assert docs.stop["exit_status"] == "success"
    assert len(docs.images("cam_image")) == 5
    assert docs.account["rheed_uploader_failed"] == 1
    assert "cannot be made" in docs.account["rheed_uploader_error"]


def test_what_cannot_be_uploaded_is_said_and_the_rest_is_uploaded(engine, make, docs, add, ingest, home, wait_for):
    cam, deep, rgb = make("CHAIN:G"), make("CHAIN:D", name="deep"), make("CHAIN:C", name="rgb")
    add(fps=5.0)
    engine(record([rgb, deep, cam], num=12))
    assert docs.stop["exit_status"] == "success"
    assert docs.account["rheed_uploader_failed"] == 2, "colours, and 16 bit without a rule"
    assert "RHEED is rows and columns of grey" in docs.account["rheed_uploader_error"]
    job = done(home, wait_for)
    assert (job.job.name, job.state.uploaded, job.state.chunk_size) == ("cam", 12, 10)
    assert np.array_equal(stored(ingest, job), docs.images("cam_image"))


def test_sixteen_bits_are_mapped_by_the_rule_that_was_said(engine, make, docs, add, ingest, home, wait_for):
    add(rule="window:100:3000", fps=5.0)
    engine(record([make("CHAIN:D", name="deep")], num=12))
    job = done(home, wait_for)
    raw = docs.images("deep_image").astype(float)
    expected = np.rint(np.clip((raw - 100) / 2900, 0, 1) * 255).astype(np.uint8)
    assert np.array_equal(stored(ingest, job), expected)


def test_the_session_does_not_wait_for_a_service_that_is_away(engine, make, docs, add, home, wait_for):
    uploader = add(endpoint="http://127.0.0.1:9")  # nobody listens
    engine(record([make("CHAIN:G")], num=12))
    (job,) = jobs(home)
    wait_for(lambda: job.total == 12, what="the end to be said")
    assert job.state.phase != "done"
    wait_for(lambda: uploader.status()[0]["phase"] in ("offline", "refused"), timeout=30, what="words about it")
    assert uploader.status()[0]["backlog"] == 12
    assert "0 of 12 frames" in repr(uploader)


@pytest.mark.parametrize("md", [{"purpose": "reference"}, {"upload": False}])
def test_runs_that_take_darks_or_say_so_are_not_uploaded(home, md):
    assert RheedUploader(home).begin({"uid": "x", **md}, lambda *_: None) is None
    assert ReadingsUploader(home, ["x"]).begin({"uid": "x", **md}, lambda *_: None) is None


def test_chunks_below_two_seconds_are_refused_in_words(home):
    with pytest.raises(ValueError, match=r"chunks of 1\.5 s asked for, the service wants 2 s or more"):
        RheedUploader(home, chunk_seconds=1.5)


class Thermometer(Signal):
    """A number with a unit."""

    def describe(self):
        keys = super().describe()
        keys[self.name]["units"] = "K"
        return keys


def test_readings_of_events_and_of_monitors_are_lines_on_disk_and_arrive(engine, docs, add, ingest, home, wait_for):
    heater, gauge = Thermometer(name="heater", value=300.0), Signal(name="gauge", value=1e-9)
    other = Signal(name="other", value=1)
    add(ReadingsUploader, ["heater", "gau*"])

    @bpp.run_decorator(md={"sample": "wafer 7"})
    def plan():
        yield from bps.monitor(gauge, name="gauge_monitor")
        for step in range(20):
            yield from bps.mv(heater, 300.0 + step)
            yield from bps.trigger_and_read([heater, other])
        for step in range(5):
            gauge.put(step * 1e-9)
        heater.put(float("nan"))
        yield from bps.trigger_and_read([heater, other])
        yield from bps.unmonitor(gauge)

    engine(plan())
    assert docs.stop["exit_status"] == "success"
    (job,) = jobs(home)
    wait_for(lambda: job.total is not None, what="the end to be said")
    lines = [json.loads(line) for line in (job.path / "readings.jsonl").read_text().splitlines()]
    assert [line["value"] for line in lines if line["channel"] == "heater"] == [300.0 + step for step in range(20)]
    assert {(line["channel"], line["units"]) for line in lines} == {("heater", "K"), ("gauge", "")}
    told = len(docs.events("gauge_monitor"))
    assert job.total == len(lines) == 20 + told
    assert docs.account["readings_uploader_failed"] == 0
    job = done(home, wait_for)
    assert job.state.uploaded == len(lines)


def test_nothing_of_it_waits_in_the_threads_of_the_run(home):
    uploader = RheedUploader(home, endpoint="http://127.0.0.1:9")
    work = uploader.begin({"uid": "0" * 36}, lambda *_: None)
    assert work is not None
    work.finish()
    assert work.wait(0.0), "no file, nothing to wait for"
    assert not [t for t in threading.enumerate() if "rheed_uploader" in t.name]
