"""Grow a film by a recipe, in one run: frames all along, an event at both ends of each step."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import bluesky.preprocessors as bpp
from bluesky.utils import MsgGenerator

from plans.chamber import Chamber, name_of
from plans.course import Course
from plans.recipe import Step, read_recipe
from plans.record import check_period, checked, fly

__all__ = ["Step", "growth"]


def growth(
    detector: Any,
    steps: Sequence[Step | Mapping[str, Any]],
    *,
    shutters: Mapping[str, Any] | None = None,
    shutter_positions: Sequence[Any] = ("Open", "Closed"),
    temperature: Any = None,
    tolerance: float = 2.0,
    ramp_timeout: float = 3600.0,
    rotation: Any = None,
    advance: Any = None,
    readings: Sequence[Any] = (),
    reading_period: float = 5.0,
    if_detector_fails: Literal["end", "grow on"] = "end",
    flush_period: float = 0.5,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Grow step by step while every frame is recorded, and close all sources at the end, whatever ended it.

    One run, from before the first step to after the last. The stream ``steps`` has an event at the beginning and at
    the end of each step, ``readings`` the temperature and other readings every few seconds. In a pause (Ctrl-C
    twice) shutters, heater and rotation stay as they are, frames pass, and the time of a step goes on;
    ``RE.stop()`` then ends the growth with success. However it ends, the sources are closed first and the
    rotation is stopped, before the detector is; the temperature stays. Only ``RE.halt()`` leaves everything as
    it is.

    Parameters
    ----------
    detector : detector or list of detectors
        Such as `devices.rheed.RheedDetector`.
    steps : list of Step or dict
        The recipe; see `Step`. It stands in the start document as ``recipe``.
    shutters : dict, optional
        By source, ``{"Ga": shutter}``: a device, or a function of ``True`` (open) or ``False`` that returns a plan.
    shutter_positions : pair
        What an open and a closed shutter is set to.
    temperature : device or callable, optional
        Is set to a temperature and reads as one. Or a function of the temperature that returns a plan: it is run
        to its end, and no documents come meanwhile.
    tolerance : float
        How near to its setpoint a temperature counts as reached.
    ramp_timeout : float
        Longest time, s, until it is.
    rotation : device, optional
        Is set to rotations a minute; by default the detector's own `rotations_per_min`, if it has one.
    advance : device, optional
        A signal or a record: who sets it to 1 ends what is going on, a step or the wait for its temperature. It is
        set back to 0.
    readings : list of devices, optional
        Of numbers that are read while the film grows: pressure, …; what cannot be read is passed over, with a
        warning.
    reading_period : float
        s between two of these events.
    if_detector_fails : {"end", "grow on"}
        Whether the growth ends when no more frames can be recorded, or goes on to the end of its recipe and fails
        only then. It is known at once of detectors that have a `flight`, like `RheedDetector`.
    flush_period : float
        Seconds between two sets of documents about what is on disk; a step without seconds ends at one of them.
    md : dict, optional
        Goes into the start document: ``{"sample": …}``.

    Raises
    ------
    ValueError, TypeError
        What is wrong with the recipe or the devices, before anything moves.
    """
    detectors = checked("growth", [detector] if hasattr(detector, "kickoff") else detector)
    if rotation is None:
        rotation = getattr(detectors[0], "rotations_per_min", None)
    chamber = Chamber(_checked_shutters(shutters or {}), _pair(shutter_positions), temperature, rotation)
    recipe = read_recipe(
        steps,
        sources=chamber.shutters,
        heated=_settable("temperature", temperature, or_callable=True),
        turned=_settable("rotation", rotation),
        told=_settable("advance", advance),
    )
    numbers = {
        "tolerance": tolerance,
        "ramp_timeout": ramp_timeout,
        "reading_period": reading_period,
        "flush_period": flush_period,
    }
    for name, number in numbers.items():
        check_period("growth", name, number)
    if if_detector_fails not in ("end", "grow on"):
        raise ValueError(f"growth: if_detector_fails={if_detector_fails!r} given; use 'end' or 'grow on'")
    grow_on = if_detector_fails == "grow on"
    course = Course(detectors, recipe, chamber, advance=advance, readings=readings, grow_on=grow_on, **numbers)
    _md = {
        "plan_name": "growth",
        "detectors": [d.name for d in detectors],
        "plan_args": {
            "detector": [repr(d) for d in detectors],
            **chamber.to_dict(),
            "advance": name_of(advance),
            "readings": [name_of(device) for device in readings],
            "if_detector_fails": if_detector_fails,
            **numbers,
        },
        "recipe": [step.to_dict() for step in recipe],
        "hints": {},
        **(md or {}),
    }

    def whole() -> MsgGenerator[None]:
        yield from chamber.turn(recipe[0].rpm)  # before the run describes how the sample turns
        yield from fly(detectors, _md, course, flush_period=flush_period)

    # the course does it when it ends; this is for a run that fails before it begins, and a second try
    yield from bpp.finalize_wrapper(whole(), chamber.leave)


def _checked_shutters(shutters: Any) -> dict[str, Any]:
    if not isinstance(shutters, Mapping):
        raise TypeError(
            f"growth: shutters={shutters!r} given; give a dict of source and device, like {{'Ga': shutter}}"
        )
    for source, shutter in shutters.items():
        if not hasattr(shutter, "set") and not callable(shutter):
            raise TypeError(
                f"growth: the shutter of {source} is {shutter!r}, which cannot be set; give a device, or a function "
                "of True or False that returns a plan"
            )
    if len({id(shutter) for shutter in shutters.values()}) != len(shutters):
        raise ValueError(f"growth: shutters of {', '.join(shutters)} given, two are the same; each source has its own")
    return dict(shutters)


def _pair(positions: Any) -> tuple[Any, Any]:
    if not isinstance(positions, (list, tuple)) or len(positions) != 2 or positions[0] == positions[1]:
        raise ValueError(
            f"growth: shutter_positions={positions!r} given; give two, open and closed: ('Open', 'Closed')"
        )
    return positions[0], positions[1]


def _settable(name: str, device: Any, or_callable: bool = False) -> bool:
    if device is not None and not hasattr(device, "set") and not (or_callable and callable(device)):
        raise TypeError(f"growth: {name}={device!r} given, which cannot be set; give a device that can")
    return device is not None
