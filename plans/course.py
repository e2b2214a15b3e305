"""The course of a growth: one step after the other, events at their ends, readings and frames meanwhile."""

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import FailedStatus, MsgGenerator, RunEngineControlException

from plans.chamber import Chamber
from plans.flights import failure
from plans.recipe import Step
from plans.record import Streams, collect
from plans.step_mark import StepMark, event
from plans.timing import Clock, Due

log = logging.getLogger(__name__)

T = TypeVar("T")
STEPS, READINGS = "steps", "readings"


class Course:
    """Go through a recipe while detectors fly; a course for `plans.record.fly`.

    Parameters
    ----------
    detectors : list of detectors
    recipe : list of Step
    chamber : Chamber
    advance : device or None
    readings : list of devices
    grow_on : bool
        Whether to go on when a detector has failed.
    flush_period, reading_period, tolerance, ramp_timeout : float
        As in `plans.growth.growth`.
    """

    def __init__(
        self,
        detectors: Sequence[Any],
        recipe: Sequence[Step],
        chamber: Chamber,
        *,
        advance: Any,
        readings: Sequence[Any],
        grow_on: bool,
        flush_period: float,
        reading_period: float,
        tolerance: float,
        ramp_timeout: float,
    ) -> None:
        self._detectors, self._recipe, self._chamber = detectors, recipe, chamber
        self._advance, self._grow_on = advance, grow_on
        self._tolerance, self._ramp_timeout = tolerance, ramp_timeout
        self._mark = StepMark(detectors)
        temperature = [chamber.temperature] if hasattr(chamber.temperature, "read") else []
        self._readings = list({id(device): device for device in [*temperature, *readings]}.values())
        self._flush, self._read = Due(flush_period), Due(reading_period)
        self._can_tell = False
        self._warned: set[str] = set()

    def __call__(self, streams: Streams) -> MsgGenerator[None]:
        """Return the plan."""
        yield from bpp.finalize_wrapper(self._all(streams), self._leave)

    def _all(self, streams: Streams) -> MsgGenerator[None]:
        yield from self._untold()
        for number, step in enumerate(self._recipe, 1):
            _say(f"growth: step {number} of {len(self._recipe)}, {step}")
            self._mark.of(number, step)
            yield from self._step(step, streams)

    def _step(self, step: Step, streams: Streams) -> MsgGenerator[None]:
        yield from self._chamber.turn(step.rpm)
        if step.temperature is not None:
            yield from self._heat(step, step.temperature, streams)
        yield from self._chamber.open_only(step.open)
        clock = Clock()
        yield from self._event("begin")
        yield from self._see_to_things(streams)  # there may be no time for it in a short step
        yield from self._pass_time(clock, step.seconds, step.until, streams)
        yield from self._event("end")

    def _heat(self, step: Step, temperature: float, streams: Streams) -> MsgGenerator[None]:
        """Set the temperature, and wait for it if that is to be before the step."""
        if step.ramp == "before":
            yield from self._chamber.open_only(step.ramp_open)
            yield from self._event("ramp")
        yield from self._chamber.heat(temperature)
        if step.ramp == "during":
            return
        clock = Clock()
        while (off := (yield from self._distance(temperature))) is None or abs(off) > self._tolerance:
            if clock.seconds > self._ramp_timeout:
                reached = "unknown" if off is None else f"{temperature + off:g}"
                raise TimeoutError(
                    f"growth: {step.name}: {temperature:g} degrees asked for, {reached} after {clock.seconds:.0f} s; "
                    "is the heater on? or give a longer ramp_timeout, a larger tolerance"
                )
            if (yield from self._wait(clock, None, streams)):
                return

    def _distance(self, temperature: float) -> MsgGenerator[float | None]:
        return self._anyway("temperature", self._chamber.distance(temperature))

    def _pass_time(
        self, clock: Clock, seconds: float | None, until: Callable[[], object] | None, streams: Streams
    ) -> MsgGenerator[None]:
        """Let a step last as long as it should."""
        while seconds is None or clock.seconds < seconds:
            if until is not None and until():
                return
            if (yield from self._wait(clock, None if seconds is None else seconds - clock.seconds, streams)):
                return

    def _wait(self, clock: Clock, left: float | None, streams: Streams) -> MsgGenerator[bool]:
        """Wait a moment, tell what there is to tell unless time is over; return whether we are told to go on."""
        moment = min(self._flush.period, self._read.period)
        yield from bps.checkpoint()
        yield from clock.sleep(moment if left is None else max(0.0, min(moment, left)))
        if left is not None and left <= moment:
            return False
        yield from self._see_to_things(streams)
        return (yield from self._told())

    def _see_to_things(self, streams: Streams) -> MsgGenerator[None]:
        """Look at the detectors; tell of frames and take readings, if that is due."""
        self._look_at_detectors()
        if self._flush.now():
            yield from collect(streams)
        if self._readings and self._read.now():
            yield from self._anyway(READINGS, event(READINGS, self._readings))

    def _told(self) -> MsgGenerator[bool]:
        if self._advance is None or not (yield from self._anyway("advance", bps.rd(self._advance))):
            return False
        yield from self._untold()
        return True

    def _untold(self) -> MsgGenerator[None]:
        if self._advance is not None:
            yield from bps.mv(self._advance, 0)

    def _look_at_detectors(self) -> None:
        """Raise what made a detector's flight fail, or say it once."""
        for detector in self._detectors:
            error = failure([detector])
            if error is not None and not self._grow_on:
                raise error
            if error is not None:
                self._warn(detector.name, f"{error}; the growth goes on without its frames")

    def _event(self, phase: str) -> MsgGenerator[None]:
        self._mark.phase = phase
        tell = event(STEPS, [self._mark, *self._chamber.devices])
        if self._can_tell:
            yield from self._anyway(f"{self._mark.step.name}, {phase}", tell)
        else:  # the first has to work: who grows for hours wants to find the steps
            yield from tell
            self._can_tell = True

    def _anyway(self, name: str, plan: MsgGenerator[T]) -> MsgGenerator[T | None]:
        """Read something; that it cannot be read is no reason to end a growth."""
        try:
            return (yield from plan)
        except (RunEngineControlException, FailedStatus):
            raise
        except Exception as error:
            self._warn(name, f"not read ({error}); the growth goes on")
            return None

    def _warn(self, name: str, words: str) -> None:
        if name not in self._warned:
            self._warned.add(name)
            log.warning("growth: %s: %s", name, words)

    def _leave(self) -> MsgGenerator[None]:
        yield from bpp.finalize_wrapper(self._chamber.leave(), self._end_step)

    def _end_step(self) -> MsgGenerator[None]:
        """Tell of a step that was begun and not ended."""
        if self._mark.phase in ("begin", "ramp"):
            yield from self._event("interrupted")


def _say(words: str) -> None:
    """Tell who watches a terminal; a queue server's log has the events."""
    if sys.stdout.isatty():
        sys.stdout.write(f"{words}\n")
