"""Ctrl-C pauses a plan; in one that is being stopped the second ends the wait for the disk."""

import os
import signal
import threading
import time

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky.utils import Msg, RunEngineInterrupted
from ophyd import Component as Cpt
from ophyd import Device
from run_engines import run_engine

from beamstream.config import load
from beamstream.errors import SinkError
from beamstream.frames import Frame, Geometry
from beamstream.instrument.during import DuringPlan
from beamstream.instrument.engine import make_run_engine
from beamstream.instrument.interrupts import Interrupts
from beamstream.recording import Recording
from beamstream.ring import Ring
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.window import Window
from devices.ledger import LedgerDevice
from plans.ledger import ledger_wrapper

GEOMETRY = Geometry((16, 16), "<u2")


class StuckDisk(Hdf5Sink):
    """A file on a disk that takes nothing until it is allowed to."""

    allowed = threading.Event()

    def _append(self, frames) -> None:
        assert self.allowed.wait(60)
        super()._append(frames)


class Recorder(Device):
    """A detector of which only the account is of interest here."""

    ledger = Cpt(LedgerDevice, kind="omitted")


@pytest.fixture
def recorder(tmp_path):
    """A detector with forty frames that wait for a disk which stands still."""
    ring = Ring("interrupts", slots=64)
    recording = Recording("cam", ring, StuckDisk(tmp_path / "stuck.h5", GEOMETRY), GEOMETRY)
    recording.arm(Window(None, lambda error: None, 60.0))
    for i in range(40):
        image, now = np.zeros(GEOMETRY.shape, "<u2"), time.time()
        recording.frame(Frame(image, GEOMETRY, i, now, now, "test"), 0)
    device = Recorder("", name="cam")
    device.ledger.recording, device.ledger.account = recording, recording.ledger
    yield device
    StuckDisk.allowed.set()
    recording.close()
    ring.close()


@pytest.fixture
def engine():
    with run_engine(context_managers=[Interrupts], during_task=DuringPlan()) as engine:
        engine.preprocessors.append(ledger_wrapper)
        yield engine


def _ctrl_c(times: int) -> None:
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(0.2)  # less than 0.1 s apart they count as one


@pytest.mark.timeout(60)
def test_two_ctrl_c_pause_and_two_more_end_the_wait_for_the_disk(engine, recorder, wait_for):
    @bpp.stage_decorator([recorder])
    @bpp.run_decorator()
    def plan():
        yield from bps.trigger(recorder)
        yield from bps.checkpoint()
        yield from bps.sleep(60)

    def pause() -> None:
        wait_for(lambda: engine.state == "running")
        _ctrl_c(2)

    def end_the_wait() -> None:
        wait_for(lambda: any(t.name == "cam_ledger-disk" for t in threading.enumerate()), timeout=20)
        _ctrl_c(2)
        StuckDisk.allowed.set()  # what the disk was at

    pausing = threading.Thread(target=pause)
    pausing.start()
    with pytest.raises(RunEngineInterrupted):
        engine(plan())
    pausing.join()
    ending = threading.Thread(target=end_the_wait)
    ending.start()
    with pytest.raises(SinkError, match=r"cut short; .* accepted frames are not written"):
        engine.stop()
    ending.join()
    account = recorder.ledger.account
    assert (account.received, account.recorded + account.lost) == (40, 40)
    assert account.lost > 0
    assert engine.state == "idle"


def test_a_session_goes_back_to_checkpoints_also_after_a_flight_was_halted(tmp_path):
    file = tmp_path / "beamstream.toml"
    file.write_text('[archive]\ndirectory = "archive"\nstart = "no"\n')
    engine, chain = make_run_engine(load(file), watched=False)
    engine.context_managers = []

    def flight():
        yield Msg("rewindable", None, False)
        yield from bps.pause()

    with pytest.raises(RunEngineInterrupted):
        engine(flight())
    engine.halt()
    assert not engine.rewindable
    engine(bps.null())
    assert engine.rewindable
    chain._journal.close()
