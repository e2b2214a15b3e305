"""A simulated RHEED camera over real EPICS: what is switched is seen in its frames, bit by bit."""

import json
from dataclasses import replace

import numpy as np
import pytest
from caproto import ChannelType

from beamstream.frames import ColorMode, Geometry
from beamstream.sim.beamline import Beamline, CameraSpec
from beamstream.sim.camera import SimCamera
from beamstream.sim.process import SimProcess
from beamstream.sim.rheed import RheedScene, RheedSpec, RheedState, rheed_spec

GEOMETRY = Geometry((64, 96), "<u2")
FILM = RheedSpec(growth_rate=4.0, decay=50.0, azimuth=20.0, lattice="hexagonal", seed=3)
LINE = Beamline((CameraSpec("GROW:CAM", GEOMETRY, period=0.01, free_running=True, scene="rheed", rheed=FILM),), ())


@pytest.fixture(scope="module")
def context():
    from caproto.threading.client import Context

    with SimProcess(LINE):
        context = Context()
        yield context
        context.disconnect()


class Camera:
    """The records below ``sim1:`` as a client sees them."""

    def __init__(self, context) -> None:
        self._context, self._known = context, {}

    def pv(self, name):
        if name not in self._known:
            (pv,) = self._context.get_pvs(f"GROW:CAM:sim1:{name}")
            pv.wait_for_connection(timeout=20)
            self._known[name] = pv
        return self._known[name]

    def put(self, **values):
        for name, value in values.items():
            options = {"data_type": ChannelType.STRING} if isinstance(value, str) else {}
            self.pv(name).write(value, wait=True, timeout=10, **options)

    def get(self, name):
        return self.pv(name).read(timeout=10).data[0]

    def units(self, name):
        return self.pv(name).read(timeout=10, data_type="control").metadata.units.decode()


@pytest.fixture
def camera(context):
    """Return a camera at rest: screen uncovered, source closed, still, at its first azimuth."""
    camera = Camera(context)
    camera.put(Shutter="Open", Source="Closed", GrowthRate=4.0, Rotation=0.0, Azimuth=20.0, RampRate=0.0)
    return camera


@pytest.fixture
def frames(monitor, camera, wait_for):
    """Return a function that gives the next n frames."""
    watch = monitor("GROW:CAM:Pva1:Image")

    def take(n, until=lambda update: True):
        start = len(watch.updates)
        wait_for(lambda: sum(map(until, watch.updates[start:])) >= n, timeout=30, what=f"{n} frames")
        return [update for update in watch.updates[start:] if until(update)][:n]

    return take


def shown(update):
    """Return what a frame says that it shows."""
    told = update.attributes
    return RheedState(told["Azimuth"], told["Disorder"], bool(told["Covered"]))


def test_each_frame_tells_what_it_shows_and_shows_it_bit_by_bit(camera, frames):
    camera.put(Source="Open", Rotation=30.0)
    scene = RheedScene(rheed_spec(GEOMETRY, FILM))
    updates = frames(30)
    assert len({u.attributes["Azimuth"] for u in updates}) == 30
    assert max(u.attributes["Disorder"] for u in updates) > 0.2
    assert all(np.array_equal(u.image, scene.draw(shown(u), u.unique_id)) for u in updates)


def test_layers_grow_and_the_sample_turns_with_the_time_stamps_of_the_frames(camera, frames):
    camera.put(Rotation=-6.0, Source="Open")  # so that what grows turns
    updates = frames(60, until=lambda u: u.attributes["SourceOpen"])
    seconds = updates[-1].data_timestamp - updates[0].data_timestamp
    first, last = updates[0].attributes, updates[-1].attributes
    assert last["Layers"] - first["Layers"] == pytest.approx(4.0 * seconds, abs=1e-4)
    assert (first["Azimuth"] - last["Azimuth"]) % 360 == pytest.approx(36 * seconds, abs=1e-3)


def test_without_a_source_nothing_grows_and_the_surface_heals(camera, frames):
    camera.put(Source="Open")
    frames(1, until=lambda u: u.attributes["Disorder"] > 0.5)
    camera.put(Source="Closed")
    updates = frames(20, until=lambda u: not u.attributes["SourceOpen"])
    assert len({u.attributes["Layers"] for u in updates}) == 1
    disorders = [u.attributes["Disorder"] for u in updates]
    assert disorders == sorted(disorders, reverse=True)
    assert disorders[-1] < disorders[0]


def test_a_covered_screen_is_black_while_the_film_grows_on(camera, frames):
    camera.put(Source="Open", Shutter="Closed")
    dark = frames(20, until=lambda u: u.attributes["Covered"])
    assert not any(u.image.any() for u in dark)
    assert dark[-1].attributes["Layers"] > dark[0].attributes["Layers"]
    camera.put(Shutter="Open")
    (light,) = frames(1, until=lambda u: not u.attributes["Covered"])
    assert light.image.min() > 0


def test_the_temperature_goes_to_its_setpoint_at_the_rate(camera, frames, wait_for):
    camera.put(Temperature=25.0, RampRate=1000.0)
    wait_for(lambda: camera.get("Temperature_RBV") == 25.0, timeout=20, what="a cold sample")
    camera.put(RampRate=200.0, Temperature=325.0)
    updates = frames(20, until=lambda u: 25.0 < u.attributes["Temperature"] < 325.0)
    rise = updates[-1].attributes["Temperature"] - updates[0].attributes["Temperature"]
    assert rise == pytest.approx(200 * (updates[-1].data_timestamp - updates[0].data_timestamp), abs=0.01)
    wait_for(lambda: camera.get("Temperature_RBV") == 325.0, timeout=20, what="a hot sample")


def test_records_have_units_and_begin_as_the_film_does(context, camera):
    units = {"GrowthRate": "ML/s", "Rotation": "rpm", "Azimuth": "deg", "Azimuth_RBV": "deg", "Layers_RBV": "ML"}
    units |= {"Temperature": "degC", "Temperature_RBV": "degC", "RampRate": "degC/s"}
    assert {name: camera.units(name) for name in units} == units
    assert camera.get("GrowthRate") == 4.0
    assert camera.get("Azimuth") == 20.0


def test_a_value_that_makes_no_sense_is_kept_out(camera):
    camera.put(Rotation=1e6, GrowthRate=-1.0, RampRate=float("nan"))
    assert [camera.get(name) for name in ("Rotation", "GrowthRate", "RampRate")] == [0.0, 4.0, 0.0]


def test_clearing_faults_leaves_the_growth_alone(camera):
    camera.put(Source="Open", Rotation=3.0)
    camera.put(ClearFaults=1)
    assert camera.get("Source") == 1
    assert camera.get("Rotation") == 3.0


def test_a_description_goes_through_json():
    assert Beamline.from_dict(json.loads(json.dumps(LINE.to_dict()))) == LINE
    spec = replace(FILM, growth=((1.0, 2.0),), black=((0.0, 0.5), (3.0, 4.0)))
    assert RheedSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_a_description_without_a_film_is_read():
    old = LINE.to_dict()
    old["cameras"][0].pop("rheed")
    assert Beamline.from_dict(old).cameras[0] == replace(LINE.cameras[0], rheed=None)


def test_colours_are_refused(server):
    with pytest.raises(ValueError, match="it is mono"):
        SimCamera("GROW:NO", Geometry((64, 64, 3), "|u1", ColorMode.RGB1), server=server, scene="rheed")
