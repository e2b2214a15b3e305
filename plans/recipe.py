"""The recipe of a growth: steps that a person or a queue writes down, checked before anything moves."""

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from math import isfinite
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Step:
    """Say what happens in one step of a growth.

    Parameters
    ----------
    name : str
        Its own in the recipe.
    seconds : float, optional
        How long, from the moment that its sources are open; 0: only the temperature is waited for. None: until
        told, or until `until` says so.
    open : list of str
        The sources that are open; all others are closed.
    temperature : float, optional
        Where the sample is to be, in the units of the heater; None leaves it.
    ramp : {"before", "during"}
        Whether the temperature is waited for first, with closed sources, or the film grows meanwhile.
    ramp_open : list of str
        The sources that stay open while the temperature is waited for, like ``["As"]``.
    rpm : float, optional
        Rotations a minute; 0 stands still, None leaves it.
    until : callable, optional
        Takes nothing; the step is over as soon as it returns true. Not for queues, which carry only JSON.
    """

    name: str
    _: KW_ONLY
    seconds: float | None = None
    open: Sequence[str] = ()
    temperature: float | None = None
    ramp: Literal["before", "during"] = "before"
    ramp_open: Sequence[str] = ()
    rpm: float | None = None
    until: Callable[[], object] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can carry, without what the step leaves as it is."""
        said: dict[str, Any] = {"name": self.name, "seconds": self.seconds, "open": list(self.open)}
        if self.temperature is not None:
            said |= {"temperature": self.temperature, "ramp": self.ramp}
        if self.ramp_open:
            said["ramp_open"] = list(self.ramp_open)
        if self.rpm is not None:
            said["rpm"] = self.rpm
        if self.until is not None:
            said["until"] = getattr(self.until, "__name__", repr(self.until))
        return said

    def __str__(self) -> str:
        sources = " and ".join(self.open)
        parts = [f"{sources} open" if sources else "all sources closed"]
        parts += [f"{self.temperature:g} degrees"] if self.temperature is not None else []
        parts += [f"{self.rpm:g} rpm"] if self.rpm is not None else []
        parts += [f"{self.seconds:g} s"] if self.seconds is not None else ["until told"]
        return f"{self.name}: {', '.join(parts)}"


_KEYS = [field.name for field in fields(Step)]


def read_recipe(
    steps: Sequence[Step | Mapping[str, Any]],
    *,
    sources: Collection[str],
    heated: bool,
    turned: bool,
    told: bool,
) -> list[Step]:
    """Return the steps, each as a `Step`, or say what is wrong with the recipe.

    Parameters
    ----------
    steps : list of Step or dict
    sources : collection of str
        What there is to open.
    heated, turned, told : bool
        Whether there is something to set a temperature and a rotation with, and to be told by.

    Raises
    ------
    ValueError, TypeError
        Which step it is, what is wrong, what to write instead.
    """
    if not isinstance(steps, (list, tuple)) or not steps:
        raise ValueError(f"growth: steps={steps!r} given; give a list of steps, at least one")
    recipe = [_read(number, step) for number, step in enumerate(steps, 1)]
    names = [step.name for step in recipe]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"growth: steps {', '.join(names)} given, {', '.join(twice)} more than once; name each its own"
        )
    for step in recipe:
        _check(step, sources)
        if step.temperature is not None and not heated:
            raise ValueError(f"growth: {step.name}: a temperature is asked for; say what sets it: temperature=heater")
        if step.rpm is not None and not turned:
            raise ValueError(f"growth: {step.name}: a rotation is asked for; say what turns the sample: rotation=motor")
    for step in recipe[:-1]:
        if step.seconds is None and step.until is None and not told:
            raise ValueError(
                f"growth: {step.name} has no end, and steps follow it; give it seconds or until, "
                "or say what tells it to end: advance=signal"
            )
    return recipe


def _read(number: int, said: Any) -> Step:
    if isinstance(said, Step):
        return _with_lists(said)
    if not isinstance(said, Mapping):
        raise TypeError(f"growth: step {number} is {said!r}; give a Step, or a dict with a name")
    if unknown := [str(key) for key in said if key not in _KEYS]:
        near = difflib.get_close_matches(unknown[0], _KEYS, n=1)
        advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(_KEYS)}"
        raise ValueError(f"growth: step {number} says {unknown[0]}, which is not known; {advice}")
    if "name" not in said:
        raise ValueError(f"growth: step {number} has no name; give it one")
    return _with_lists(Step(**said))


def _with_lists(step: Step) -> Step:
    """Take the name of a single source for a list of one, and plain numbers for all numbers."""
    said = {key: getattr(step, key) for key in _KEYS}
    for key in ("open", "ramp_open"):
        said[key] = (said[key],) if isinstance(said[key], str) else tuple(said[key])
    return Step(**said)


def _check(step: Step, sources: Collection[str]) -> None:
    if not isinstance(step.name, str) or not step.name.strip():
        raise ValueError(f"growth: a step is named {step.name!r}; give it a name to find it by")
    for key in ("seconds", "temperature", "rpm"):
        _check_number(step.name, key, getattr(step, key), least=0.0 if key == "seconds" else None)
    for key in ("open", "ramp_open"):
        _check_sources(step.name, key, getattr(step, key), sources)
    if step.ramp not in ("before", "during"):
        raise ValueError(f"growth: {step.name}: ramp={step.ramp!r} given; use 'before' or 'during'")
    if step.ramp_open and (step.temperature is None or step.ramp == "during"):
        raise ValueError(f"growth: {step.name}: ramp_open is for a temperature that is waited for; use open")
    if step.until is not None and not callable(step.until):
        raise ValueError(f"growth: {step.name}: until={step.until!r} given; give a function that returns true or false")


def _check_number(name: str, key: str, number: Any, least: float | None) -> None:
    if number is None:
        return
    if isinstance(number, (bool, str)) or not _finite(number):
        raise ValueError(f"growth: {name}: {key}={number!r} given; use a number, or leave it out")
    if least is not None and number < least:
        raise ValueError(f"growth: {name}: {key}={number} given; use {least:g} or more")


def _finite(number: Any) -> bool:
    try:
        return isfinite(number)
    except TypeError:
        return False


def _check_sources(name: str, key: str, asked: Sequence[Any], sources: Collection[str]) -> None:
    for source in asked:
        if source not in sources:
            there = f"there are {', '.join(sources)}" if sources else "there are none: give shutters={...}"
            raise ValueError(f"growth: {name}: {key} names {source!r}, which has no shutter; {there}")
    if len(set(asked)) != len(asked):
        raise ValueError(f"growth: {name}: {key}={list(asked)} given; name each source once")
