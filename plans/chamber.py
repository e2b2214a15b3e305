"""What a growth moves: the shutters of the sources, the heater, the sample's rotation; and how it leaves them."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import FailedStatus, MsgGenerator, RunEngineControlException, ensure_generator, short_uid

log = logging.getLogger(__name__)

_MOVES = 30.0  # s that a shutter or the beginning of a rotation may take


@dataclass(slots=True)
class Chamber:
    """Open, close, turn and heat, by plans.

    Parameters
    ----------
    shutters : dict
        By source: a device to set to one of the `positions`, or a function of ``True`` or ``False`` that returns
        a plan.
    positions : pair
        What an open and a closed shutter is set to.
    temperature : device or callable, optional
        What is set to a temperature and read as one, or a function of the temperature that returns a plan.
    rotation : device, optional
        What is set to rotations a minute.
    """

    shutters: Mapping[str, Any]
    positions: tuple[Any, Any]
    temperature: Any = None
    rotation: Any = None
    _open: dict[str, bool | None] = field(default_factory=dict)  # of what was set; None: on its way, or nobody knows
    _turned: bool = False

    @property
    def devices(self) -> list[Any]:
        """What can be read."""
        things = [*self.shutters.values(), self.temperature, self.rotation]
        return [thing for thing in things if hasattr(thing, "read")]

    def to_dict(self) -> dict[str, Any]:
        """Return what is moved, by name."""
        return {
            "shutters": {source: name_of(shutter) for source, shutter in self.shutters.items()},
            "shutter_positions": list(self.positions),
            "temperature": name_of(self.temperature),
            "rotation": name_of(self.rotation),
        }

    def open_only(self, sources: Collection[str]) -> MsgGenerator[None]:
        """Open these, close all others, as far as they are not so already; all at once."""
        wanted = {source: source in sources for source in self.shutters}
        changed = {source: opened for source, opened in wanted.items() if self._open.get(source) != opened}
        group = short_uid("shutters")
        for source, opened in changed.items():
            yield from self._set(source, opened, group)
        yield from bps.wait(group=group, timeout=_MOVES)
        self._open |= changed

    def close(self) -> MsgGenerator[None]:
        """Close every source, all at once, and one by one if that fails; none that was never touched.

        Raises
        ------
        RuntimeError
            Which ones may still be open.
        """
        if not self._open:
            return
        try:
            yield from self.open_only(())
        except Exception as error:
            yield from self._close_one_by_one()
            if isinstance(error, RunEngineControlException):
                raise
            log.warning("growth: all sources are closed, but it took a second try: %s", _reason(error))

    def _close_one_by_one(self) -> MsgGenerator[None]:
        errors: dict[str, Exception] = {}
        for source in [source for source, opened in self._open.items() if opened is not False]:
            try:
                group = short_uid("shutter")
                yield from self._set(source, False, group)
                yield from bps.wait(group=group, timeout=_MOVES)
                self._open[source] = False
            except Exception as error:  # the others are to be closed as well
                errors[source] = error
        if errors:
            words = ", ".join(f"{source} ({_reason(error)})" for source, error in errors.items())
            raise RuntimeError(f"growth: may still be open: {words}; look at the shutters now")

    def turn(self, rpm: float | None) -> MsgGenerator[None]:
        """Let the sample turn; None leaves it."""
        if rpm is not None:
            self._turned = True
            yield from bps.mv(self.rotation, rpm, timeout=_MOVES)

    def heat(self, temperature: float) -> MsgGenerator[None]:
        """Send the temperature on its way; a function's plan is run to its end."""
        if hasattr(self.temperature, "set"):
            yield from bps.abs_set(self.temperature, temperature, group=short_uid("temperature"))
        else:
            yield from ensure_generator(self.temperature(temperature))

    def distance(self, temperature: float) -> MsgGenerator[float]:
        """Return how far the temperature is from where it is to be; 0 where nothing can be read."""
        if not hasattr(self.temperature, "read"):
            return 0.0
        return float((yield from bps.rd(self.temperature, default_value=temperature))) - temperature

    def leave(self) -> MsgGenerator[None]:
        """Close all sources and stop the rotation, as far as they were moved; the temperature stays."""
        yield from bpp.finalize_wrapper(self.close(), self._stand_still)

    def _stand_still(self) -> MsgGenerator[None]:
        if self._turned:
            yield from bps.mv(self.rotation, 0, timeout=_MOVES)
            self._turned = False

    def _set(self, source: str, opened: bool, group: str) -> MsgGenerator[None]:
        shutter = self.shutters[source]
        self._open[source] = None
        if hasattr(shutter, "set"):
            yield from bps.abs_set(shutter, self.positions[0 if opened else 1], group=group)
        else:
            yield from ensure_generator(shutter(opened))


def _reason(error: Exception) -> str:
    """Return an error's words; bluesky's say only which status it was."""
    cause = error.args[0].exception() if isinstance(error, FailedStatus) else error
    return str(cause) or type(cause).__name__


def name_of(thing: Any) -> str | None:
    """Return the name of a device or a function; None of nothing."""
    return None if thing is None else getattr(thing, "name", None) or getattr(thing, "__name__", None) or repr(thing)
