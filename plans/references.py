"""Take darks and flats: the frames that the others are corrected with."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import MsgGenerator, ensure_generator

from plans.record import checked, record

Hook: TypeAlias = Callable[[], Any]
Hooks: TypeAlias = Hook | Sequence[Hook] | None


def darks(
    detectors: Any,
    num: int = 10,
    *,
    before: Hooks = None,
    after: Hooks = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Record frames without light, as a run of their own.

    The start document has ``purpose: "reference"`` and ``reference: "dark"``: by these the frames are found and
    averaged.

    Parameters
    ----------
    detectors : detector or list of detectors
        Such as `devices.PvaDetector`; all at once, each in its own stream as in `plans.record.record`.
    num : int
        Frames of each detector.
    before, after : function or list of functions, optional
        Each takes no argument and returns a plan: ``before=close_shutter, after=open_shutter``. They run one
        after the other, outside of the run. `after` runs always: when the frames fail and when the plan is
        stopped or aborted too, all of its functions, even if one fails. Only ``RE.halt()`` leaves all as it is.
    md : dict, optional
        Goes into the start document.
    """
    yield from _reference("dark", detectors, num, before, after, [], [], md)


def flats(
    detectors: Any,
    num: int = 10,
    *,
    motor: Any = None,
    out: float | Sequence[float] | None = None,
    before: Hooks = None,
    after: Hooks = None,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[None]:
    """Record frames without the sample, as a run of their own, and bring the sample back.

    The start document has ``purpose: "reference"`` and ``reference: "flat"``: by these the frames are found and
    averaged.

    Parameters
    ----------
    detectors : detector or list of detectors
        Such as `devices.PvaDetector`; all at once, each in its own stream as in `plans.record.record`.
    num : int
        Frames of each detector.
    motor : motor or list of motors, optional
        What moves the sample. All move at once: to `out` before anything else, and at the very end back to
        where they were set, also when the frames fail and when the plan is stopped or aborted.
    out : position or list of positions, optional
        Where the sample is out of the beam, one for each motor, in the motors' units.
    before, after : function or list of functions, optional
        As in `darks`; here with the sample out of the beam, and neither of them if it does not get there.
    md : dict, optional
        Goes into the start document.
    """
    motors, positions = _checked_motors(motor, out)
    yield from _reference("flat", detectors, num, before, after, motors, positions, md)


def _reference(
    kind: str,
    detectors: Any,
    num: int,
    before: Hooks,
    after: Hooks,
    motors: list[Any],
    positions: list[Any],
    md: Mapping[str, Any] | None,
) -> MsgGenerator[None]:
    plan_name = f"{kind}s"
    detectors = checked(plan_name, [detectors] if hasattr(detectors, "kickoff") else detectors)
    if isinstance(num, bool) or num < 1 or num % 1:
        raise ValueError(f"{plan_name}: num={num} given; use a whole number of frames, 1 or more")
    first, last = _checked_hooks(plan_name, "before", before), _checked_hooks(plan_name, "after", after)
    asked = {
        "detectors": [repr(d) for d in detectors],
        "num": int(num),
        "before": [_name(hook) for hook in first],
        "after": [_name(hook) for hook in last],
    }
    if motors:
        asked |= {"motor": [repr(m) for m in motors], "out": positions}
    _md = {"plan_name": plan_name, "plan_args": asked, "purpose": "reference", "reference": kind, **(md or {})}

    def frames() -> MsgGenerator[None]:
        for hook in first:
            yield from _run_hook(plan_name, hook)
        yield from record(detectors, num=int(num), md=_md)

    yield from _moved_out(motors, positions, bpp.finalize_wrapper(frames(), lambda: _run_all(plan_name, last)))


def _moved_out(motors: list[Any], positions: list[Any], plan: MsgGenerator[None]) -> MsgGenerator[None]:
    """Run a plan with the motors at these positions, and move them back."""
    found: list[Any] = []
    for motor in motors:
        # not where it is read to be: by that error it would creep at each flat
        found.append((yield from bps.rd(getattr(motor, "user_setpoint", motor))))

    def there() -> MsgGenerator[None]:
        yield from _move(motors, positions)
        yield from plan

    yield from bpp.finalize_wrapper(there(), lambda: _move(motors, found))


def _move(motors: list[Any], positions: list[Any]) -> MsgGenerator[None]:
    """Move all at once; a pause on the way repeats the move and nothing else."""
    yield from bps.checkpoint()
    if motors:
        yield from bps.mv(*chain.from_iterable(zip(motors, positions, strict=True)))
        yield from bps.checkpoint()


def _run_hook(plan_name: str, hook: Hook) -> MsgGenerator[None]:
    plan = hook()
    if plan is None:
        raise TypeError(f"{plan_name}: {_name(hook)} returned no plan; return one, like bps.mv(shutter, 1)")
    yield from bps.checkpoint()  # a pause inside repeats no other one
    yield from ensure_generator(plan)
    yield from bps.checkpoint()


def _run_all(plan_name: str, hooks: list[Hook]) -> MsgGenerator[None]:
    """Run every hook, also when one before it failed."""
    if hooks:
        first, *rest = hooks
        yield from bpp.finalize_wrapper(_run_hook(plan_name, first), lambda: _run_all(plan_name, rest))


def _checked_hooks(plan_name: str, which: str, hooks: Hooks) -> list[Hook]:
    chosen: list[Any] = list(hooks) if isinstance(hooks, (list, tuple)) else [] if hooks is None else [hooks]
    for hook in chosen:
        if not callable(hook):
            again = " (a plan can run only once)" if isinstance(hook, Iterator) else ""
            raise TypeError(
                f"{plan_name}: {which}={hook!r} given{again}; give a function without arguments that returns a plan, "
                "like lambda: bps.mv(shutter, 1)"
            )
    return chosen


def _checked_motors(motor: Any, out: Any) -> tuple[list[Any], list[Any]]:
    """Return motors and positions as lists, or say what is wrong with them before anything moves."""
    if (motor is None) != (out is None):
        raise ValueError(f"flats: motor={_name(motor)} and out={out} given; give both or neither")
    if motor is None:
        return [], []
    motors = list(motor) if isinstance(motor, (list, tuple)) else [motor]
    positions = list(out) if isinstance(out, (list, tuple)) else [out]
    for one in motors:
        if not hasattr(one, "set"):
            raise TypeError(f"flats: {_name(one)} cannot be moved (it has no set); give a motor")
    names = [_name(m) for m in motors]
    if len(motors) != len(positions):
        raise ValueError(f"flats: motors {names} and out={out} given; give one position for each motor")
    if len(set(names)) != len(names):
        raise ValueError(f"flats: motors {names} given; give each of them once")
    return motors, positions


def _name(thing: Any) -> str:
    return getattr(thing, "name", None) or getattr(thing, "__name__", None) or repr(thing)
