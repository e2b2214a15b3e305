"""The beamline as a process: Channel Access control, the motor, and how it ends."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from beamstream.errors import NotConnected
from beamstream.frames import Geometry
from beamstream.sim.beamline import Beamline, CameraSpec, MotorSpec
from beamstream.sim.pattern import read_unique_id
from beamstream.sim.process import SimProcess

SMALL = Beamline(
    cameras=(
        CameraSpec("SIM:CAM", Geometry((64, 96), "<u2"), period=0.005),
        CameraSpec("SIM:FREE", Geometry((32, 32), "|u1"), period=0.01, free_running=True, clock_offset=-60),
    )
)
ONE = Beamline(cameras=(CameraSpec("SIM:CAM", Geometry((16, 16), "<u2")),), motors=())


@pytest.fixture(scope="module")
def beamline():
    with SimProcess(SMALL) as process:
        yield process


@pytest.fixture(scope="module")
def control(beamline):
    """Return a function that gives the PV of this name, connected."""
    from caproto.threading.client import Context

    context = Context()

    def pv(name):
        (pv,) = context.get_pvs(name)
        pv.wait_for_connection(timeout=10)
        return pv

    yield pv
    context.disconnect()


@pytest.fixture
def camera(control):
    """The camera's PVs by their last name, without faults and idle."""

    class Camera:
        def __getitem__(self, name):
            room = "cam1" if name[:4] in CAM else "sim1"
            return control(f"SIM:CAM:{room}:{name}")

        def put(self, **values):
            for name, value in values.items():
                self[name].write(value, wait=True, timeout=5)

        def get(self, name):
            return self[name].read(timeout=5).data[0]

    camera = Camera()
    camera.put(Acquire=0, ClearFaults=1, ArrayCounter=0, AcquirePeriod=0.005, AcquireTime=0.001)
    return camera


CAM = {"Acqu", "NumI", "Imag", "Arra", "Dete", "Colo", "Size", "Data", "Manu", "Mode"}


def test_the_camera_introduces_itself(camera):
    told = {n: camera.get(n) for n in ("SizeX_RBV", "SizeY_RBV", "ArraySizeX_RBV", "ArraySizeZ_RBV")}
    assert told == {"SizeX_RBV": 96, "SizeY_RBV": 64, "ArraySizeX_RBV": 96, "ArraySizeZ_RBV": 0}
    assert camera.get("Model_RBV") == b"SimCamera"
    assert camera.get("DataType_RBV") == 3  # UInt16
    assert camera.get("ColorMode_RBV") == 0


def test_an_acquisition_by_channel_access_makes_the_frames_asked_for(camera, monitor, wait_for):
    watch = monitor("SIM:CAM:Pva1:Image")
    camera.put(ImageMode=1, NumImages=40, Acquire=1)
    wait_for(lambda: camera.get("Acquire") == 0, what="Acquire to return to 0")
    assert camera.get("DetectorState_RBV") == camera.get("Acquire_RBV") == 0
    assert camera.get("ArrayCounter_RBV") == camera.get("ArrayCounter") == 40
    wait_for(lambda: len(watch.updates) == 40, what="40 frames")
    assert watch.ids == [read_unique_id(u.image) for u in watch.updates] == list(range(1, 41))


@pytest.fixture(scope="module")
def acquire_seen(control):
    """The values that a subscription to Acquire brought so far."""
    seen = []

    def on_change(_, response):  # by name: caproto keeps only a weak reference
        seen.append(int(response.data[0]))

    subscription = control("SIM:CAM:cam1:Acquire").subscribe(data_type="native")
    token = subscription.add_callback(on_change)
    deadline = time.monotonic() + 10
    while not seen and time.monotonic() < deadline:
        time.sleep(0.005)
    yield seen
    subscription.remove_callback(token)
    subscription.clear()


def test_acquire_goes_to_1_and_back_to_0_once(camera, acquire_seen, wait_for):
    camera.put(ImageMode=1, NumImages=3, Acquire=1)
    wait_for(lambda: acquire_seen[-2:] == [1, 0], what="the end, and with it of what the fixture's puts posted")
    for _ in range(30):
        acquire_seen.clear()
        camera.put(Acquire=1)
        wait_for(lambda: acquire_seen and acquire_seen[-1] == 0, what="the end")
        assert acquire_seen == [1, 0]


def test_puts_are_over_within_milliseconds_while_frames_go_out(camera):
    camera.put(ImageMode=2, Acquire=1)
    took = []
    for number in range(1, 51):
        start = time.monotonic()
        camera.put(NumImages=number)
        took.append(time.monotonic() - start)
    assert camera.get("Acquire") == 1
    camera.put(Acquire=0)
    assert np.median(took) < 0.02
    assert camera.get("NumImages_RBV") == 50


def test_a_continuous_acquisition_goes_on_until_it_is_stopped(camera, wait_for):
    camera.put(ImageMode=2, Acquire=1)
    wait_for(lambda: camera.get("ArrayCounter_RBV") > 50, what="frames")
    assert camera.get("DetectorState_RBV") == 1
    camera.put(Acquire=0)
    wait_for(lambda: camera.get("DetectorState_RBV") == 0, what="Idle")


def test_wrong_settings_are_refused_and_change_nothing(camera):
    names = ("NumImages", "AcquirePeriod", "ChangeDtype", "ChangeDtypeAt")
    camera.put(NumImages=7)
    before = [camera.get(name) for name in names]
    camera.put(NumImages=0, AcquirePeriod=-1.0, ChangeDtype=b"<c8")
    assert [camera.get(name) for name in names] == before


@pytest.mark.parametrize(
    ("faults", "ids"),
    [
        ({"SkipEvery": 3}, [1, 2, 4, 5]),
        ({"SkipIds": [2, 5]}, [1, 3, 4, 6]),
        ({"RepeatEvery": 5}, [1, 2, 3, 4, 5, 5, 6]),
        ({"RestartAt": 4}, [1, 2, 3, 4, 0, 1]),
        ({"SilentAfter": 4}, [1, 2, 3, 4]),
        ({"Piecewise": 1}, [i for i in range(1, 7) for _ in range(3)]),
    ],
)
def test_faults_are_programmed_by_channel_access(camera, monitor, wait_for, faults, ids):
    watch = monitor("SIM:CAM:Pva1:Image")
    camera.put(ImageMode=1, NumImages=6, **faults)
    camera.put(Acquire=1)
    wait_for(lambda: len(watch.updates) >= len(ids), what=f"{len(ids)} updates")
    camera.put(Acquire=0)
    assert watch.ids == ids


def test_changes_of_geometry_are_programmed_by_channel_access(camera, monitor, wait_for):
    watch = monitor("SIM:CAM:Pva1:Image")
    camera.put(ImageMode=1, NumImages=6, ChangeRows=20, ChangeCols=30, ChangeShapeAt=2)
    camera.put(ChangeDtype=b"<f8", ChangeDtypeAt=3, MalformedAt=5, Malformed=4, Acquire=1)
    wait_for(lambda: len(watch.updates) == 6, what="6 frames")
    assert [u.image.shape for u in watch.updates[:5]] == [(64, 96)] * 2 + [(20, 30)] * 3
    assert [u.pixels.dtype.str for u in watch.updates] == ["<u2"] * 3 + ["<f8"] * 3
    assert watch.updates[5].sizes == ()


def test_clearing_the_faults_sets_their_pvs_back(camera):
    camera.put(SkipEvery=2, SilentAfter=1, Piecewise=1, Malformed=3)
    camera.put(ClearFaults=1)
    assert [camera.get(n) for n in ("SkipEvery", "SilentAfter", "Piecewise", "Malformed")] == [0, -1, 0, 1]


def test_a_free_running_camera_with_another_clock_runs_beside(beamline, monitor, wait_for):
    watch = monitor("SIM:FREE:Pva1:Image")
    wait_for(lambda: len(watch.updates) > 10, what="frames")
    assert watch.updates[0].timestamp - time.time() == pytest.approx(-60, abs=5)
    assert np.all(np.diff(watch.ids) == 1)


def test_a_pv_that_is_no_image_answers(beamline):
    import pvaccess as pva

    channel = pva.Channel("SIM:CAM:Pva1:Scalar")
    channel.setTimeout(5.0)
    pv = channel.get("field()")
    assert (pv["value"], "uniqueId" in pv.getStructureDict()) == (42.0, False)


@pytest.fixture(scope="module")
def motor(beamline):
    from ophyd import EpicsMotor

    motor = EpicsMotor("SIM:MTR1", name="motor")
    motor.wait_for_connection(timeout=10)
    yield motor
    motor.destroy()


def test_the_motor_moves_under_ophyd(motor):
    target = motor.position + 1.0
    start = time.monotonic()
    motor.move(target, wait=True, timeout=10)
    assert time.monotonic() - start < 2.0
    assert motor.position == pytest.approx(target)
    assert motor.describe()["motor"]["units"] == "mm"
    assert motor.motor_egu.get() == "mm"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_cleanly_while_it_acquires(number, wait_for):
    running = Beamline(cameras=(CameraSpec(free_running=True, period=0.005),), motors=(MotorSpec(),))
    with SimProcess(running) as process:
        os.kill(process.pid, number)
        wait_for(lambda: not process.running, what="its end")
        assert process.stop() == 0
        assert process.error_output() == ""


def test_stop_ends_it_even_while_it_is_suspended():
    with SimProcess(ONE) as process:
        process.suspend()
        assert process.stop() == 0
        assert not process.running


def test_a_restarted_beamline_has_the_same_names_and_starts_counting_anew(beamline, monitor, wait_for):
    beamline.stop()  # its ports are needed
    with SimProcess(Beamline((CameraSpec("SIM:AGAIN", Geometry((16, 16), "<u2"), 0.005, True),))) as process:
        watch = monitor("SIM:AGAIN:Pva1:Image")
        wait_for(lambda: len(watch.updates) > 20, what="frames")
        first, seen = process.pid, len(watch.updates)
        process.restart()
        assert process.pid != first
        wait_for(lambda: len(watch.updates) > seen + 20, timeout=20, what="frames of the new process")
        # up to then they may be the last of the old one
        wait_for(lambda: np.any(np.diff(watch.ids) != 1), timeout=20, what="a count that starts anew")
        process.suspend()
        assert psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
        process.resume()
        seen = len(watch.updates)
        wait_for(lambda: len(watch.updates) > seen, what="a frame after SIGCONT")


@pytest.mark.parametrize("suspended", [False, True])
def test_it_dies_with_its_parent(suspended, wait_for):
    program = (
        "import sys, time\n"
        "from beamstream.sim.beamline import Beamline, CameraSpec\n"
        "from beamstream.sim.process import SimProcess\n"
        "p = SimProcess(Beamline((CameraSpec(free_running=True),))).start()\n"
        f"{'p.suspend()' if suspended else ''}\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(100)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, what="the child to end")


def test_a_beamline_that_cannot_start_says_why():
    broken = Beamline(cameras=(CameraSpec("SIM:BAD", Geometry((2, 2), "<u2")),))
    with pytest.raises(NotConnected, match="42 values"):
        SimProcess(broken).__enter__()


def test_a_description_survives_json():
    assert Beamline.from_dict(SMALL.to_dict()) == SMALL
