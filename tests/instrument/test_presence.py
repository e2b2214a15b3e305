"""A session's runs, as others see them while they go on; and runs that never notice."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky.plans import count
from bluesky.utils import MsgGenerator
from run_engines import run_engine

from beamstream.callbacks.chain import Chain
from beamstream.frames import Geometry
from beamstream.instrument.presence import Presence
from beamstream.sim.beamline import Beamline, CameraSpec
from beamstream.sim.process import SimProcess
from beamstream.watching.presence import present
from devices.pva_detector import PvaDetector
from plans.record import record

CAMERA = CameraSpec("PRS:A", Geometry((32, 48), "<u2"), period=0.02)


@pytest.fixture(scope="module")
def beamline() -> Iterator[SimProcess]:
    with SimProcess(Beamline((CAMERA,), ())) as process:
        yield process


@pytest.fixture
def cam(beamline, tmp_path) -> Iterator[PvaDetector]:
    detector = PvaDetector(CAMERA.image, name="cam", control="PRS:A:cam1:", directory=tmp_path / "rec")
    yield detector
    detector.destroy()


@pytest.fixture
def engine() -> Iterator[RunEngine]:
    with run_engine({"sample": "A7"}) as engine:
        yield engine


@pytest.fixture
def archive(engine, cam, tmp_path) -> Iterator[Path]:
    """An archive with a session that is present in it."""
    chain = Chain()
    engine.subscribe(chain)
    presence = Presence(engine, chain, {"cam": cam}, tmp_path / "archive")
    yield tmp_path / "archive"
    presence.close()
    assert present(tmp_path / "archive") == []


def seen(archive: Path) -> dict[str, Any]:
    """Return what somebody else sees of the only session."""
    return next(iter(present(archive)), {"state": None, "run": None})


def noting(plan: MsgGenerator[Any], note: Callable[[Any], None]) -> MsgGenerator[Any]:
    """Run a plan, and have a note taken after each of its messages."""
    answer = None
    while True:
        try:
            message = plan.send(answer)
        except StopIteration:
            return
        answer = yield message
        note(message)


def test_a_run_is_seen_with_its_plan_its_progress_and_the_account_of_its_detector(engine, cam, archive, wait_for):
    wait_for(lambda: seen(archive)["state"] == "idle", what="the session to be seen")
    runs = []

    def note(_message: Any) -> None:
        said = seen(archive)
        if said["run"] and said["run"]["done"] >= 5:
            runs.append(said["run"])
            assert said["state"] == "running"

    engine(noting(record([cam], num=60, flush_period=0.1), note))
    run = runs[-1]
    assert (run["plan"], run["scan_id"], run["title"], run["unit"]) == ("record", 1, "A7", "frames")
    assert 5 <= runs[0]["done"] <= run["done"] <= run["total"] == 60
    about = run["detectors"]["cam"]
    assert about["received"] >= about["recorded"] == run["done"]
    assert about["lost"] == 0
    assert about["rate"] > 5
    assert about["file"] == str(cam.path)
    wait_for(lambda: (seen(archive)["state"], seen(archive)["run"]) == ("idle", None), what="the end to be seen")


def test_points_of_a_step_scan_are_counted(engine, cam, archive, wait_for):
    points = []

    def note(message: Any) -> None:
        if message.command == "save":
            wait_for(lambda: (seen(archive)["run"] or {}).get("done") == len(points) + 1, what="the point to be seen")
            run = seen(archive)["run"]
            points.append((run["done"], run["total"], run["unit"], run["detectors"]["cam"]["recorded"]))

    engine(noting(count([cam], num=3), note))
    assert points == [(1, 3, "points", 1), (2, 3, "points", 2), (3, 3, "points", 3)]


def test_an_archive_that_cannot_be_written_costs_the_run_nothing_and_is_said_once(
    engine, cam, archive, caplog, wait_for
):
    wait_for(lambda: seen(archive)["state"] == "idle", what="the session to be seen")
    shutil.rmtree(archive)
    archive.write_text("a file in its place")
    engine(record([cam], num=5))
    wait_for(lambda: "others do not see" in caplog.text, what="the word")
    engine(record([cam], num=5))
    assert cam.ledger.account.recorded == 5
    assert caplog.text.count("others do not see") == 1


def test_callbacks_tell_how_far_they_are(engine, cam, tmp_path, wait_for):
    from beamstream.callbacks.live_stats import LiveStats

    chain = Chain()
    chain.add(LiveStats())
    engine.subscribe(chain)
    presence = Presence(engine, chain, {"cam": cam}, tmp_path / "archive")
    told = []

    def note(_message: Any) -> None:
        run = seen(tmp_path / "archive")["run"]
        told.extend(run["callbacks"] if run else [])

    engine(noting(record([cam], num=60, flush_period=0.1), note))
    presence.close()
    last = told[-1]
    assert (last["name"], last["ok"]) == ("live_stats", True)
    done, _, announced, _ = last["words"].split()
    assert 0 <= int(done) <= int(announced) <= 60
