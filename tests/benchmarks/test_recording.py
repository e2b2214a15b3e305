"""What a recording costs, and whether it loses anything, at the rates that users ask for."""

import time

import pytest
from bluesky import RunEngine

from beamstream.frames import Geometry
from beamstream.sim.beamline import Beamline, CameraSpec
from beamstream.sim.process import SimProcess
from devices.pva_detector import PvaDetector
from plans.record import record

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize(("size", "fps", "seconds"), [(128, 500, 60), (1024, 100, 20), (2048, 50, 20), (2048, 100, 20)])
def test_a_recording_loses_nothing(size, fps, seconds, tmp_path):
    spec = CameraSpec("BENCH:CAM", Geometry((size, size), "<u2"), period=1 / fps)
    with SimProcess(Beamline((spec,), ())):
        cam = PvaDetector(spec.image, name="cam", control="BENCH:CAM:cam1:", directory=tmp_path)
        engine = RunEngine({})
        engine(record([cam], num=10))  # the ring is made, the modules are loaded
        cpu, begun = time.process_time(), time.monotonic()
        engine(record([cam], num=fps * seconds))
        cpu, elapsed = time.process_time() - cpu, time.monotonic() - begun
        account = cam.ledger.account
        cam.destroy()
    print(
        f"\n{size}² uint16 at {fps} fps for {elapsed:.1f} s: {account.recorded} recorded, {account.lost} lost, "
        f"{100 * cpu / elapsed:.0f} % of a core"
    )
    assert account.lost == 0
    assert account.recorded == fps * seconds
