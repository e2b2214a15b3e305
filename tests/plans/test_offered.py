"""The plans that a session and a queue offer: bluesky's own beside ours, which stay what they are for Python."""

import inspect
import runpy
from pathlib import Path

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import pytest
from bluesky.utils import is_plan
from bluesky_queueserver.manager.profile_ops import existing_plans_and_devices_from_nspace, validate_plan
from ophyd import Signal
from ophyd.sim import SynAxis

from plans.offered import offered
from plans.record import record

PROFILE = Path(__file__).resolve().parents[2] / "profile" / "startup"


@pytest.fixture
def validate(cam):
    """Return why a queue server refuses an item; an empty text if it does not."""
    things = {"cam": cam, "axis": SynAxis(name="axis"), "shutter": Signal(name="shutter", value="Open"), **offered()}
    plans, devices, _, _ = existing_plans_and_devices_from_nspace(nspace=things)

    def validate(name: str, *args, **kwargs) -> str:
        item = {"name": name, "args": list(args), "kwargs": kwargs}
        return validate_plan(item, allowed_plans=plans, allowed_devices=devices)[1]

    return validate


def test_each_plan_has_its_own_name_and_what_bluesky_has_stays_untouched():
    plans = offered()
    assert {"record", "darks", "growth", "count", "mv", "abs_set", "sleep", "spiral", "list_scan"} <= set(plans)
    assert all(is_plan(plan) and plan.__name__ == name for name, plan in plans.items())
    assert plans["scan"] is not bp.scan
    assert inspect.signature(plans["scan"]) == inspect.signature(bp.scan)
    assert not any(hasattr(plan, "_custom_parameter_annotation_") for plan in (bp.scan, bps.mv, record))


def test_moves_of_bluesky_run_in_a_session_as_they_do_there(engine, knob):
    plans = offered()
    engine(plans["mv"](knob, 3))
    engine(plans["mvr"](knob, 2))
    assert knob.get() == 5
    engine(plans["abs_set"](knob, 7, wait=True))
    engine(plans["sleep"](0))
    assert knob.get() == 7


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("record", [["cam", "kamera"]]),
        ("monitor", [["kamera"]]),
        ("darks", ["kamera"]),
        ("flats", [["kamera"]]),
        ("flats", ["cam", 3, "kamera", 1]),
        ("growth", ["cam", [], {"Ga": "kamera"}]),
        ("count", [["cam", "kamera"]]),
        ("count", [["kamera.stats"]]),
        ("scan", [["cam"], "kamera", 0, 1, 3]),
        ("list_scan", [["cam"], "axis", [1, 2], "kamera", [1, 2]]),
        ("grid_scan", [["cam"], "axis", 0, 1, 3, "kamera", 0, 1, 3]),
        ("spiral", [["cam"], "axis", "kamera", 0, 0, 1, 1, 0.1, 3]),
        ("tune_centroid", [["cam"], "cam_stats_total", "kamera", 0, 1, 0.1]),
        ("mv", ["axis", 1, "kamera", 1]),
        ("mvr", ["kamera", 1]),
        ("abs_set", ["kamera", 1]),
    ],
)
def test_a_misspelt_device_is_refused_with_what_there_is(validate, name, args):
    if name == "growth":
        args = args[:2]
        words = validate(name, *args, shutters={"Ga": "kamera"})
    elif name == "flats" and len(args) > 2:
        words = validate(name, *args[:2], motor="kamera", out=1)
    else:
        words = validate(name, *args)
    assert "input_value='kamera" in words
    assert "should be 'cam" in words or "should be 'axis'" in words


def test_a_device_that_cannot_do_what_is_asked_is_refused_with_that_reason(validate):
    assert "DeviceThatCanStream" in validate("record", ["axis"], num=3)
    assert "DeviceThatCanMove" in validate("scan", ["cam"], "cam", 0, 1, 3)
    assert "valid number" in validate("sleep", "long")
    assert "value_2" not in validate("mv", "axis", 1)
    assert "value_1" in validate("mv", "axis")


def test_what_is_right_is_accepted_and_a_value_may_be_any_text(validate):
    assert validate("mv", "shutter", "cam", "axis", 3, timeout=2.0) == ""
    assert validate("abs_set", "shutter", "Closed", wait=True) == ""
    assert validate("list_scan", ["cam"], "shutter", ["Closed", "Open"]) == ""
    assert validate("grid_scan", ["cam"], "axis", 0, 1, 3, "cam.timeout", 0, 1.5, 3, snake_axes=["axis"]) == ""
    assert validate("record", ["cam"], seconds=1.5, md={"sample": "A7"}) == ""
    assert validate("count", ["cam.stats", "axis"], num=2, delay=0.5) == ""


def test_a_name_in_the_place_of_a_detector_is_called_that():
    with pytest.raises(TypeError, match=r"^record: 'kamera' given, a name of no device that is known here"):
        next(record(["kamera"], num=1))


def test_a_device_that_is_called_like_a_plan_stays_in_the_session():
    assert runpy.run_path(str(PROFILE / "20-plans.py"), {"spiral": "a device"})["spiral"] == "a device"
