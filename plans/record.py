"""Record streaming detectors: a number of frames, a number of seconds, or until told to stop."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, TypeAlias

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import MsgGenerator, make_decorator, short_uid

from plans.flights import done, failure, wait_a_while
from plans.ledger import ledger_wrapper

_rewindable_decorator = make_decorator(bpp.rewindable_wrapper)
_ledger_decorator = make_decorator(ledger_wrapper)

Streams: TypeAlias = Mapping[Any, str]
"""The name of each detector's stream."""


def record(
    detectors: Sequence[Any],
    *,
    num: int | None = None,
    seconds: float | None = None,
    flush_period: float = 0.5,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Record every frame of all detectors at once, each at its own rate.

    One stream a detector: ``primary`` when there is one, otherwise named after it. Pausing lets frames pass
    and resuming goes on; stopping, aborting or an error keep what was recorded.

    Parameters
    ----------
    detectors : list of detectors
        Such as `devices.PvaDetector`.
    num : int, optional
        Frames of each detector.
    seconds : float, optional
        How long, instead of `num`. Neither of them is needed for detectors that end by themselves: films.
    flush_period : float
        Seconds between two sets of documents about what is on disk.
    md : dict, optional
        Goes into the start document.
    """
    detectors = checked("record", detectors)
    to_the_end = num is None and seconds is None and all(getattr(d, "ends", False) for d in detectors)
    if (num is None) == (seconds is None) and not to_the_end:
        raise ValueError(f"record: num={num} and seconds={seconds} given; give one of them")
    if num is not None and (isinstance(num, bool) or num < 1 or num % 1):
        raise ValueError(f"record: num={num} given; use a whole number of frames, 1 or more")
    if seconds is not None and not (isfinite(seconds) and seconds > 0):
        raise ValueError(f"record: seconds={seconds} given; use a time above 0")
    asked = {key: value for key, value in {"num": num, "seconds": seconds}.items() if value is not None}
    number = -1 if to_the_end else int(num or 0)
    yield from _flight(detectors, "record", asked, number, seconds, flush_period, md)


def monitor(
    detectors: Sequence[Any], *, flush_period: float = 0.5, md: Mapping[str, Any] | None = None
) -> MsgGenerator[None]:
    """Record every frame of all detectors until told to stop.

    Stop with Ctrl-C twice and ``RE.stop()``: the run ends with success and everything recorded. It ends by itself,
    and fails, when one of the detectors cannot be recorded any longer.

    Parameters
    ----------
    detectors : list of detectors
    flush_period : float
        Seconds between two sets of documents about what is on disk.
    md : dict, optional
        Goes into the start document.
    """
    yield from _flight(checked("monitor", detectors), "monitor", {}, 0, None, flush_period, md)


def checked(plan_name: str, detectors: Sequence[Any]) -> list[Any]:
    """Return the detectors as a list, or say what is wrong with it before anything moves."""
    if not isinstance(detectors, (list, tuple)):
        raise TypeError(f"{plan_name}: {detectors!r} given; give a list of detectors, like [cam]")
    if not detectors:
        raise ValueError(f"{plan_name}: no detector given; give at least one, like [cam]")
    for detector in detectors:
        if isinstance(detector, str):  # a queue leaves a name that no device has
            raise TypeError(
                f"{plan_name}: {detector!r} given, a name of no device that is known here; check its spelling"
            )
        if not hasattr(detector, "kickoff") or not hasattr(detector, "num_images"):
            name = getattr(detector, "name", repr(detector))
            raise TypeError(f"{plan_name}: {name} cannot stream (it has no kickoff and num_images); use count for it")
    names = [d.name for d in detectors]
    if len(set(names)) != len(names):
        raise ValueError(f"{plan_name}: detectors {names} given; each needs a name of its own")
    return list(detectors)


def _flight(
    detectors: list[Any],
    plan_name: str,
    asked: dict[str, Any],
    number: int,
    seconds: float | None,
    flush_period: float,
    md: Mapping[str, Any] | None,
) -> MsgGenerator[None]:
    check_period(plan_name, "flush_period", flush_period)
    _md = {
        "plan_name": plan_name,
        "detectors": [d.name for d in detectors],
        "plan_args": {"detectors": [repr(d) for d in detectors], **asked, "flush_period": flush_period},
        "hints": {},
        **asked,
        **(md or {}),
    }

    def course(streams: Streams) -> MsgGenerator[None]:
        if not number:
            yield from _pass_time(streams, seconds, flush_period)

    yield from fly(detectors, _md, course, number=number, flush_period=flush_period)


def check_period(plan_name: str, name: str, period: float) -> None:
    """Say what is wrong with a time between two things, s, before anything moves."""
    if not (isinstance(period, (int, float)) and period > 0):
        raise ValueError(f"{plan_name}: {name}={period} given; use a time above 0")


def fly(
    detectors: list[Any],
    md: Mapping[str, Any],
    course: Callable[[Streams], MsgGenerator[None]],
    *,
    number: int = 0,
    flush_period: float = 0.5,
) -> MsgGenerator[None]:
    """Record one run with all detectors for as long as a course takes, or until each has its number of frames.

    Parameters
    ----------
    detectors : list of detectors
        See `checked`.
    md : dict
        The start document.
    course : callable
        What happens while frames come: a plan, of the stream of each detector. It calls `collect` now and then.
    number : int
        Of frames; 0: when the course is over, the detectors are stopped; -1: when they have ended by themselves.
    flush_period : float
        Seconds between two sets of documents about what is on disk, when the course is over.
    """
    streams = {d: "primary" if len(detectors) == 1 else d.name for d in detectors}

    @_ledger_decorator()  # around the staging: it is told there which detectors there are
    @bpp.stage_decorator(detectors)
    @bpp.run_decorator(md=dict(md))
    @_rewindable_decorator(False)
    def inner() -> MsgGenerator[None]:
        for detector in detectors:
            yield from bps.mv(detector.num_images, number)
            yield from bps.declare_stream(detector, name=streams[detector], collect=True)
        for detector in detectors:
            yield from bps.kickoff(detector, wait=True)
        yield from _watch(streams, course, flush_period)

    yield from inner()


def _watch(
    streams: Streams, course: Callable[[Streams], MsgGenerator[None]], flush_period: float
) -> MsgGenerator[None]:
    """Tell of frames as they reach the disk, until all is there."""
    yield from course(streams)
    group = short_uid("complete")
    statuses = []
    for detector in streams:
        statuses.append((yield from bps.complete(detector, group=group, wait=False)))
    while not done(statuses):
        yield from bps.checkpoint()
        yield from wait_a_while(group, statuses, flush_period)
        yield from collect(streams)
    yield from bps.wait(group=group)


def _pass_time(streams: Streams, seconds: float | None, flush_period: float) -> MsgGenerator[None]:
    """Collect for `seconds`, or until the plan is ended from outside or a detector fails."""
    elapsed = 0.0
    while seconds is None or elapsed < seconds:
        step = flush_period if seconds is None else min(flush_period, seconds - elapsed)
        yield from bps.checkpoint()
        yield from bps.sleep(step)
        yield from collect(streams)
        if (error := failure(streams)) is not None:
            raise error
        elapsed += step


def collect(streams: Streams) -> MsgGenerator[None]:
    """Tell of the frames that have reached the disk since the last time."""
    for detector, stream in streams.items():
        yield from bps.collect(detector, name=stream)
