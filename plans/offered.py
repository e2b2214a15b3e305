"""The plans of a session and of a queue: bluesky's own beside ours, with the devices that each parameter takes.

A queue server knows devices only by their names. It checks an item against these annotations before it accepts it, and
puts the devices in their place; see `bluesky_queueserver.parameter_annotation_decorator`. In a session they change
nothing.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter
from typing import Any, TypeAlias

import bluesky.plan_stubs as bps
import bluesky.plans as bp

from plans.growth import growth
from plans.record import monitor, record
from plans.references import darks, flats

Plan: TypeAlias = Callable[..., Any]

_DEPTH = 4  # below a device; as in the permissions of the profile
_KINDS = {  # the server's patterns; it puts these names into what it answers about a device that is none of them
    "DeviceThatCanStream": f"__FLYABLE__:?.+:depth={_DEPTH + 1}",
    "DeviceThatCanMove": "__MOTOR__:.+",
    "PartThatCanMove": f"__MOTOR__:-.+:?.+:depth={_DEPTH}",
    "DeviceThatCanBeRead": "__READABLE__:.+",
    "PartThatCanBeRead": f"__READABLE__:-.+:?.+:depth={_DEPTH}",
}
_STREAMING = "DeviceThatCanStream"
_MOVED = "typing.Union[DeviceThatCanMove, PartThatCanMove]"
_READ = "typing.Union[DeviceThatCanBeRead, PartThatCanBeRead]"
# as a union, because the server names the kind of device only then; JSON has no tuples
_ALL_STREAMING = f"typing.Union[typing.List[{_STREAMING}], typing.Tuple[{_STREAMING}, ...]]"
_SEVERAL_STREAMING = f"typing.Union[{_STREAMING}, typing.List[{_STREAMING}]]"
_MOTORS_AND_NUMBERS = "typing.Union[DeviceThatCanMove, PartThatCanMove, bool, int, float]"
_MOTORS_AND_LISTS = "typing.Union[DeviceThatCanMove, PartThatCanMove, typing.List[typing.Any]]"

_MOST_MOVED = 8  # devices in one item of a queue
_DETECTORS = {"detectors": f"typing.List[{_READ}]"}
_LINES = {**_DETECTORS, "args": _MOTORS_AND_NUMBERS}
_LISTS = {**_DETECTORS, "args": _MOTORS_AND_LISTS}
_SNAKING = {"snake_axes": f"typing.Union[bool, typing.List[{_MOVED}], NoneType]"}
_ONE_MOTOR = {**_DETECTORS, "motor": _MOVED}
_TWO_MOTORS = {**_DETECTORS, "x_motor": _MOVED, "y_motor": _MOVED}

_OURS: Mapping[Plan, Mapping[str, str]] = {
    record: {"detectors": _ALL_STREAMING},
    monitor: {"detectors": _ALL_STREAMING},
    darks: {"detectors": _SEVERAL_STREAMING},
    flats: {
        "detectors": _SEVERAL_STREAMING,
        "motor": f"typing.Union[DeviceThatCanMove, PartThatCanMove, typing.List[{_MOVED}], NoneType]",
    },
    growth: {
        "detector": _SEVERAL_STREAMING,
        "steps": "typing.List[typing.Any]",
        "shutters": f"typing.Optional[typing.Dict[str, {_MOVED}]]",
        "temperature": f"typing.Optional[{_MOVED}]",
        "rotation": f"typing.Optional[{_MOVED}]",
        "advance": f"typing.Optional[{_MOVED}]",
        "readings": f"typing.List[{_READ}]",
    },
}
_BLUESKYS: Mapping[Plan, Mapping[str, str]] = {
    bp.count: _DETECTORS,
    bp.scan: _LINES,
    bp.rel_scan: _LINES,
    bp.inner_product_scan: _LINES,
    bp.relative_inner_product_scan: _LINES,
    bp.grid_scan: _LINES | _SNAKING,
    bp.rel_grid_scan: _LINES | _SNAKING,
    bp.list_scan: _LISTS,
    bp.rel_list_scan: _LISTS,
    bp.list_grid_scan: _LISTS,
    bp.rel_list_grid_scan: _LISTS,
    bp.log_scan: _ONE_MOTOR,
    bp.rel_log_scan: _ONE_MOTOR,
    bp.adaptive_scan: _ONE_MOTOR,
    bp.rel_adaptive_scan: _ONE_MOTOR,
    bp.tune_centroid: _ONE_MOTOR,
    bp.x2x_scan: {**_DETECTORS, "motor1": _MOVED, "motor2": _MOVED},
    bp.spiral: _TWO_MOTORS,
    bp.rel_spiral: _TWO_MOTORS,
    bp.spiral_fermat: _TWO_MOTORS,
    bp.rel_spiral_fermat: _TWO_MOTORS,
    bp.spiral_square: _TWO_MOTORS,
    bp.rel_spiral_square: _TWO_MOTORS,
    bps.abs_set: {"obj": _MOVED, "args": "typing.Any"},
    bps.rel_set: {"obj": _MOVED, "args": "typing.Any"},
    bps.sleep: {"time": "float"},
}


def offered() -> dict[str, Plan]:
    """Return the plans by name, as functions of their own: those of bluesky stay as they are."""
    plans = {plan.__name__: _annotated(plan, takes) for plan, takes in {**_OURS, **_BLUESKYS}.items()}
    return plans | {plan.__name__: _annotated_pairs(plan) for plan in (bps.mv, bps.mvr)}


def _annotated(plan: Plan, takes: Mapping[str, str]) -> Plan:
    """Return a plan whose parameters have these types for a queue server."""

    @wraps(plan)
    def offer(*args: Any, **kwargs: Any) -> Any:
        return plan(*args, **kwargs)

    parameters = {name: {"annotation": kind, **_devices(kind)} for name, kind in takes.items()}
    about = {"_is_plan_": True, "_custom_parameter_annotation_": {"parameters": parameters}}
    offer.__dict__.update(about)
    return offer


def _devices(annotation: str) -> dict[str, dict[str, list[str]]]:
    devices = {kind: [pattern] for kind, pattern in _KINDS.items() if kind in annotation}
    return {"devices": devices} if devices else {}


def _annotated_pairs(plan: Plan) -> Plan:
    """Return a plan of devices and values in turns, each with a place of its own: a value may be any text."""
    places = [f"{what}_{number}" for number in range(1, _MOST_MOVED + 1) for what in ("device", "value")]
    offer = _annotated(plan, {place: _MOVED if place.startswith("device") else "typing.Any" for place in places})
    named = [p for p in inspect.signature(plan).parameters.values() if p.kind is not Parameter.VAR_POSITIONAL]
    pairs = [Parameter(place, Parameter.POSITIONAL_ONLY, default=None) for place in places]
    pairs[:2] = [parameter.replace(default=Parameter.empty) for parameter in pairs[:2]]
    offer.__dict__["__signature__"] = inspect.Signature([*pairs, *named])
    return offer
