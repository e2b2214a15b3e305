"""What the events of a growth's steps say beside readings: which step, begun or ended, at which frame."""

import time
from collections.abc import Sequence
from typing import Any, ClassVar

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import Msg, MsgGenerator, RunEngineControlException

from plans.recipe import Step


class StepMark:
    """Read where a growth stands, as bluesky reads a device.

    Data keys: ``step`` (its name), ``step_number`` (from 1), ``step_phase`` (``ramp``: on the way to its
    temperature; ``begin``: its sources have been opened; ``end``, or ``interrupted``), ``step_open`` (sources), and
    for each detector ``<name>_frame``: its frames on disk at that moment, which is the row in its file. Those that
    were on their way to the disk come after it; the time of the event, and of each frame, tells exactly.

    Parameters
    ----------
    detectors : list of detectors
    """

    name = "step"
    parent = None
    hints: ClassVar[dict[str, Any]] = {"fields": []}  # no curve of step numbers

    def __init__(self, detectors: Sequence[Any]) -> None:
        self._detectors = detectors
        self._number = 0
        self.step = Step(name="")
        self.phase = ""

    def of(self, number: int, step: Step) -> None:
        """Stand before a step."""
        self._number, self.step, self.phase = number, step, ""

    def _values(self) -> dict[str, Any]:
        opened = {"ramp": self.step.ramp_open, "interrupted": ()}.get(self.phase, self.step.open)
        said = {"step": self.step.name, "step_number": self._number, "step_phase": self.phase}
        said["step_open"] = " ".join(opened)
        return said | {f"{detector.name}_frame": detector.get_index() for detector in self._detectors}

    def read(self) -> dict[str, Any]:
        """Return the values of now."""
        now = time.time()
        return {key: {"value": value, "timestamp": now} for key, value in self._values().items()}

    def describe(self) -> dict[str, Any]:
        """Return the data keys."""
        return {
            key: {
                "source": "plans.growth",
                "dtype": "integer" if isinstance(value, int) else "string",
                "shape": [],
            }
            for key, value in self._values().items()
        }

    def read_configuration(self) -> dict[str, Any]:
        """Return nothing: the recipe stands in the start document."""
        return {}

    def describe_configuration(self) -> dict[str, Any]:
        """Describe nothing."""
        return {}


def event(stream: str, things: Sequence[Any]) -> MsgGenerator[None]:
    """Make an event of what things read now; an error in one of them leaves none."""

    def read() -> MsgGenerator[None]:
        for thing in things:
            yield from bps.read(thing)

    try:
        yield Msg("create", None, name=stream)
    except RunEngineControlException:  # it is begun when that comes
        yield from bps.drop()
        raise
    yield from bpp.contingency_wrapper(read(), except_plan=lambda _: bps.drop(), else_plan=bps.save)
