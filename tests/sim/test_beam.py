"""A camera in a simulated beam, over real EPICS: shutter, sample and motor are seen in its frames."""

import numpy as np
import pytest
from caproto import ChannelType

from beamstream.frames import Geometry
from beamstream.ops.flatfield import FlatField
from beamstream.sim.beamline import Beamline, CameraSpec, MotorSpec
from beamstream.sim.camera import SimCamera
from beamstream.sim.process import SimProcess
from beamstream.sim.scene import Beam, BeamScene

GEOMETRY = Geometry((96, 128), "<u2")
EXPOSURE = 0.004
LINE = Beamline(
    (CameraSpec("BEAM:CAM", GEOMETRY, period=2 * EXPOSURE, scene="beam"),),
    (MotorSpec("BEAM:X", 60.0), MotorSpec("BEAM:Y")),
)


@pytest.fixture(scope="module")
def scene():
    return BeamScene(GEOMETRY)


class Instruments:
    """The camera and the motors as a client sees them; names are without ``BEAM:``."""

    def __init__(self, context, wait_for) -> None:
        self._context, self._wait_for = context, wait_for
        self._known = {}
        self.watch = None

    def _pv(self, name):
        if name not in self._known:
            (pv,) = self._context.get_pvs(f"BEAM:{name}")
            pv.wait_for_connection(timeout=10)
            self._known[name] = pv
        return self._known[name]

    def put(self, name, value):
        options = {"data_type": ChannelType.STRING} if isinstance(value, str) else {}
        self._pv(name).write(value, wait=True, timeout=5, **options)

    def get(self, name):
        return self._pv(name).read(timeout=5).data[0]

    def move(self, position):
        """Move the sample and wait until it is there."""
        self.put("X", position)
        there = "CAM:sim1:SamplePosition_RBV"
        self._wait_for(lambda: self.get(there) == position, what=f"the sample at {position} mm")

    def take(self, n):
        """Acquire n frames and return them."""
        seen = len(self.watch.updates)
        self.put("CAM:cam1:ImageMode", "Multiple")
        self.put("CAM:cam1:NumImages", n)
        self.put("CAM:cam1:Acquire", "Acquire")
        self._wait_for(lambda: len(self.watch.updates) == seen + n, what=f"{n} frames")
        self._wait_for(lambda: self.get("CAM:cam1:Acquire") == 0, what="the end of the acquisition")
        return self.watch.updates[seen:]


@pytest.fixture(scope="module")
def context():
    from caproto.threading.client import Context

    with SimProcess(LINE):
        context = Context()
        yield context
        context.disconnect()


@pytest.fixture
def beam(context, monitor, wait_for):
    """The instruments, idle: shutter open, sample in the middle."""
    instruments = Instruments(context, wait_for)
    instruments.watch = monitor("BEAM:CAM:Pva1:Image")
    instruments.put("CAM:sim1:Shutter", "Open")
    instruments.put("CAM:sim1:Sample", "In")
    instruments.put("CAM:cam1:AcquireTime", EXPOSURE)
    instruments.move(0.0)
    return instruments


def test_the_camera_posts_the_scene_bit_by_bit(beam, scene):
    updates = beam.take(20)
    assert all(np.array_equal(u.image, scene.image(u.unique_id, Beam(exposure=EXPOSURE))) for u in updates)


@pytest.mark.parametrize(
    ("name", "value", "seen"),
    [
        ("Shutter", "Closed", Beam(shutter_open=False, exposure=EXPOSURE)),
        ("Sample", "Out", Beam(sample_in=False, exposure=EXPOSURE)),
    ],
)
def test_shutter_and_sample_are_switched_by_channel_access(beam, scene, name, value, seen):
    beam.put(f"CAM:sim1:{name}", value)
    (update,) = beam.take(1)
    assert np.array_equal(update.image, scene.image(update.unique_id, seen))
    beam.put("CAM:sim1:ClearFaults", 1)
    assert beam.get(f"CAM:sim1:{name}") == 0  # it is no fault


@pytest.mark.parametrize("position", [-2.5, 0.75])
def test_the_sample_follows_the_first_motor_and_no_other(beam, scene, position):
    beam.put("Y", 1.5)
    beam.move(position)
    (update,) = beam.take(1)
    there = Beam(position=position, exposure=EXPOSURE)
    assert np.array_equal(update.image, scene.image(update.unique_id, there))


def test_the_sample_is_seen_on_its_way(beam, wait_for):
    watch = beam.watch
    beam.put("CAM:cam1:ImageMode", "Continuous")
    beam.put("CAM:cam1:Acquire", "Acquire")
    wait_for(lambda: watch.updates, what="frames")
    beam.move(6.0)
    seen = len(watch.updates)
    wait_for(lambda: len(watch.updates) > seen + 2, what="frames without the sample")
    beam.put("CAM:cam1:Acquire", "Done")
    brightness = [round(float(u.image.mean())) for u in watch.updates]
    assert brightness[0] < 0.9 * brightness[-1]
    assert len({b // 100 for b in brightness}) > 4  # more than there and gone


def test_the_exposure_time_changes_the_dark(beam, scene):
    beam.put("CAM:sim1:Shutter", "Closed")
    beam.put("CAM:cam1:AcquireTime", 0.3)
    (update,) = beam.take(1)
    assert update.image.mean() == pytest.approx(scene.dark(0.3).mean(), rel=0.001)
    assert scene.dark(0.3).mean() > 1.01 * scene.dark(EXPOSURE).mean()


def test_a_frame_corrected_with_darks_and_flats_is_the_transmission(beam, scene):
    n = 25
    beam.put("CAM:sim1:Shutter", "Closed")
    dark = np.mean([u.image for u in beam.take(n)], axis=0)
    beam.put("CAM:sim1:Shutter", "Open")
    beam.move(6.0)
    flat = np.mean([u.image for u in beam.take(n)], axis=0)
    beam.move(0.0)
    raw = beam.take(1)[0].image
    op = FlatField(flat, dark)
    corrected = op.apply(raw) / op.means[0]
    live = np.ones(GEOMETRY.shape, bool)
    live.flat[scene.dead] = False
    assert op.dead == scene.dead.size
    light, passed = scene.illumination[live], scene.transmission()[live]
    noise = np.sqrt((passed * light + 16) * (1 + 1 / n)) / light  # of photons and electronics
    off = (corrected[live] - passed) / noise
    assert abs(off.mean()) < 0.05
    assert off.std() == pytest.approx(1, abs=0.06)
    uncorrected = raw[live] / flat[live].mean() - passed
    assert uncorrected.std() > 10 * (corrected[live] - passed).std()


def test_a_description_without_a_scene_is_a_pattern():
    old = Beamline().to_dict()
    assert old["cameras"][0].pop("scene") == "pattern"
    assert Beamline.from_dict(old) == Beamline()
    assert Beamline.from_dict(LINE.to_dict()) == LINE


def test_a_scene_that_is_not_there_is_refused(server):
    with pytest.raises(ValueError, match="there are pattern, beam"):
        SimCamera("BEAM:NO", GEOMETRY, server=server, scene="sunset")  # type: ignore[arg-type]
