"""Pausing, stopping, aborting and leaving: what was recorded stays, the camera is free, Python ends well."""

import subprocess
import sys
import threading
from collections.abc import Callable

import h5py
import pytest
from bluesky.utils import RunEngineInterrupted
from ophyd import EpicsSignalRO

from plans.record import monitor, record


def _when(condition: Callable[[], bool], act: Callable[[], object]) -> threading.Thread:
    """Do something as soon as a condition holds, from another thread, as Ctrl-C does."""

    def watch() -> None:
        for _ in range(2000):
            if condition():
                act()
                return
            threading.Event().wait(0.005)

    thread = threading.Thread(target=watch, name="interrupter")
    thread.start()
    return thread


def _ids(detector) -> list[int]:
    with h5py.File(detector.path) as file:
        return file["entry/data/unique_id"][:].tolist()


def test_pause_lets_frames_pass_and_resume_completes_the_flight(engine, docs, make):
    free = make("DEV:F", control=False)
    thread = _when(lambda: free.get_index() > 20, engine.request_pause)
    with pytest.raises(RunEngineInterrupted):
        engine(record([free], num=100, flush_period=0.05))
    thread.join()
    paused_at = free.get_index()
    assert paused_at < 100
    engine.resume()
    assert docs.stop["exit_status"] == "success"
    assert docs.stop["num_events"]["free" if "free" in docs.stop["num_events"] else "primary"] == 100
    ids = _ids(free)
    assert len(ids) == 100
    assert docs.ledger["cam_ledger_recorded"] == 100


def test_stop_ends_an_open_ended_recording_with_success_and_all_documents(engine, docs, cam):
    thread = _when(lambda: cam.get_index() > 20, engine.request_pause)
    with pytest.raises(RunEngineInterrupted):
        engine(monitor([cam], flush_period=0.05))
    thread.join()
    engine.stop()
    ids = _ids(cam)
    assert docs.stop["exit_status"] == "success"
    assert docs.stop["num_events"]["primary"] == len(ids) == docs.ledger["cam_ledger_recorded"]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


@pytest.mark.parametrize("how", ["abort", "halt"])
def test_abort_and_halt_keep_the_frames_and_free_the_camera(engine, docs, cam, how):
    thread = _when(lambda: cam.get_index() > 20, engine.request_pause)
    with pytest.raises(RunEngineInterrupted):
        engine(record([cam], num=1000, flush_period=0.05))
    thread.join()
    getattr(engine, how)()
    assert docs.stop["exit_status"] == "abort"
    ids = _ids(cam)
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    if how == "abort":
        assert docs.stop["num_events"]["primary"] == len(ids)
    acquire = EpicsSignalRO("DEV:A:cam1:Acquire_RBV", name="acquire")
    acquire.wait_for_connection(timeout=5)
    assert acquire.get(as_string=False) == 0
    acquire.destroy()


@pytest.mark.leaks_by_intention  # the beamline's process is another one afterwards
def test_a_server_restart_in_the_middle_is_survived_and_marked(engine, docs, make, beamline, caplog):
    free = make("DEV:F", control=False, timeout=20.0)
    thread = _when(lambda: free.get_index() > 50, beamline.restart)
    engine(record([free], num=300, flush_period=0.1))
    thread.join()
    assert docs.stop["exit_status"] == "success"
    assert docs.ledger["cam_ledger_recorded"] == 300
    assert docs.ledger["cam_ledger_restarts"] >= 1
    assert "the server went away" in caplog.text


_SESSION = """
import sys
from bluesky import RunEngine
from devices.pva_detector import PvaDetector
from plans.record import record
cam = PvaDetector("DEV:F:Pva1:Image", name="cam", directory=sys.argv[1], ring_memory=2**23)
RE = RunEngine({})
if sys.argv[2] == "after":
    RE(record([cam], num=20))
elif sys.argv[2] == "staged":
    cam.stage(); cam.kickoff()
elif sys.argv[2] == "exit":
    cam.stage(); cam.kickoff(); sys.exit(0)
print("end", flush=True)
"""


@pytest.mark.parametrize("when", ["after", "staged", "exit"])
@pytest.mark.parametrize("attempt", range(2))
def test_python_ends_with_status_zero_whatever_it_was_doing(beamline, tmp_path, when, attempt):
    done = subprocess.run(
        [sys.executable, "-c", _SESSION, str(tmp_path), when], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "FATAL" not in done.stderr
    (path,) = tmp_path.rglob("*.h5")
    with h5py.File(path) as file:
        assert file["entry"].attrs["complete"] == 1
