"""A RHEED camera says with each run how gun and sample stood: as numbers, or as EPICS records hold them."""

import pytest
from bluesky.plans import count

from beamstream.config import Config
from beamstream.errors import NotConnected
from beamstream.instrument.equipment import make_devices
from devices.number import EpicsNumber
from devices.pva_detector import PvaDetector
from devices.rheed import UNITS, RheedDetector
from plans.record import record

RECORD = "DEV:F:cam1:AcquirePeriod"  # a number that can be put and read


@pytest.fixture
def make_gun(beamline, tmp_path):
    made = []

    def make_gun(**kwargs):
        options = {"directory": tmp_path, "timeout": 2.0, "ring_memory": 8 * 2**20, "name": "gun"} | kwargs
        made.append(RheedDetector("DEV:A:Pva1:Image", control="DEV:A:cam1:", **options))
        return made[-1]

    yield make_gun
    for gun in made:
        gun.destroy()


def _configuration(docs, stream="primary"):
    (descriptor,) = [d for d in docs.of("descriptor") if d["name"] == stream]
    return descriptor["configuration"]["gun"]


@pytest.mark.parametrize("plan", [lambda gun: record([gun], num=3), lambda gun: count([gun], 1)], ids=["fly", "step"])
def test_what_is_known_stands_in_the_descriptor_with_its_unit_and_nothing_else(engine, docs, make_gun, plan):
    gun = make_gun(settings={"gun_energy": 15.0, "direction": "[110]", "incidence_angle": 2.5})
    engine(plan(gun))
    told = _configuration(docs)
    settings = {key.removeprefix("gun_"): value for key, value in told["data"].items()}
    assert {name: settings[name] for name in UNITS if name in settings} == {
        "rotations_per_min": 0.0,
        "direction": "[110]",
        "gun_energy": 15.0,
        "incidence_angle": 2.5,
    }
    units = {name: told["data_keys"][f"gun_{name}"].get("units") for name in UNITS if name in settings}
    assert units == {"rotations_per_min": "rpm", "direction": None, "gun_energy": "keV", "incidence_angle": "deg"}
    assert "gun_control_acquire_time" in told["data"]  # the camera's are there as well


def test_what_is_found_out_later_stands_in_the_next_run(engine, docs, make_gun):
    gun = make_gun()
    gun.emission_current.put(45.0)
    gun.rotations_per_min.put(15.0)
    engine(record([gun], num=1))
    told = _configuration(docs)["data"]
    assert (told["gun_emission_current"], told["gun_rotations_per_min"]) == (45.0, 15.0)


def test_a_setting_can_be_kept_in_a_record_which_is_read_and_written(engine, docs, make_gun, faults):
    gun, plain = make_gun(settings={"rotations_per_min": RECORD}), make_gun(name="plain")
    assert isinstance(gun, RheedDetector)
    assert isinstance(gun.rotations_per_min, EpicsNumber)
    assert not isinstance(plain.rotations_per_min, EpicsNumber)  # each detector for itself
    gun.wait_for_connection(timeout=5)
    before = gun.rotations_per_min.get()
    try:
        gun.rotations_per_min.set(7.5).wait(5)
        engine(record([gun], num=1))
    finally:
        gun.rotations_per_min.set(before).wait(5)
    told = _configuration(docs)
    assert told["data"]["gun_rotations_per_min"] == 7.5
    assert told["data_keys"]["gun_rotations_per_min"]["units"] == "rpm"  # the record says none
    assert RECORD in told["data_keys"]["gun_rotations_per_min"]["source"]


def test_a_record_that_does_not_answer_is_named_before_the_run(engine, docs, make_gun):
    gun = make_gun(settings={"gun_energy": "DEV:NOBODY:Energy"}, timeout=0.3)
    assert not gun.connected
    with pytest.raises(NotConnected, match=r"^gun: gun_energy is kept in DEV:NOBODY:Energy, which does not answer"):
        engine(record([gun], num=1))
    assert not docs.of("start")


def test_a_setting_that_there_is_not_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"^gun: settings gun_voltage given; there are rotations_per_min, azimuth"):
        RheedDetector("DEV:A:Pva1:Image", name="gun", settings={"gun_voltage": 15.0})


def test_its_flight_tells_at_once_when_no_more_frames_can_be_recorded(make_gun, faults, wait_for):
    gun = make_gun(timeout=0.3)
    faults("SilentAfter", 5)
    gun.stage()
    try:
        gun.kickoff()
        wait_for(lambda: gun.flight.done, timeout=20, what="the flight to fail")
        assert "no frame for" in str(gun.flight.exception(timeout=0))
    finally:
        gun.unstage()


def test_a_configuration_makes_it_with_the_numbers_that_a_growth_sets(beamline, tmp_path):
    devices = make_devices(
        Config.model_validate(
            {
                "archive": {"directory": tmp_path},
                "recording": {"ring_memory_mb": 8},
                "devices": {
                    "gun": {"kind": "rheed", "pv": "DEV:A:Pva1:Image", "gun_energy": 15, "azimuth": RECORD},
                    "plain": {"kind": "pva_detector", "pv": "DEV:F:Pva1:Image"},
                    "heater": {
                        "kind": "number",
                        "pv": "DEV:F:cam1:AcquireTime",
                        "readback": "DEV:F:cam1:AcquireTime_RBV",
                        "units": "degC",
                    },
                },
            }
        )
    )
    try:
        gun, heater = devices["gun"], devices["heater"]
        assert isinstance(gun, RheedDetector)
        assert type(devices["plain"]) is PvaDetector
        assert (gun.gun_energy.get(), gun.rotations_per_min.get()) == (15.0, 0.0)
        gun.azimuth.wait_for_connection(timeout=5)
        assert gun.azimuth.pvname == RECORD
        heater.wait_for_connection(timeout=5)
        before = heater.get()
        heater.set(before).wait(5)
        key = heater.describe()["heater"]
        assert (key["units"], key["dtype"]) == ("degC", "number")
        assert (heater.pvname, heater.setpoint_pvname) == ("DEV:F:cam1:AcquireTime_RBV", "DEV:F:cam1:AcquireTime")
    finally:
        for device in devices.values():
            device.destroy()
