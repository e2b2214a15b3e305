"""End the detectors of a run before its account is taken: stop them, wait for the disk, announce what is there."""

import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import Msg, MsgGenerator, RunEngineControlException, short_uid

_LOOK = 0.5  # s


def end_flights(
    run: Hashable, detectors: Sequence[Any], streams: Mapping[str, Sequence[Any]], *, hurried: bool = False
) -> MsgGenerator[list[Exception]]:
    """Stop the detectors of a run, wait until all they took is on disk, and announce it.

    The wait has a progress bar and lasts as long as the disk makes progress. All of it is tried, whatever fails.

    Parameters
    ----------
    run : key of the run
    detectors : sequence of detectors
    streams : dict
        Detectors that are collected together, by the stream's name.
    hurried : bool
        Count as lost what the disk is not at already.

    Returns
    -------
    list of Exception
        What failed.
    """
    errors: list[Exception] = []
    for detector in detectors:
        yield from attempt(errors, bps.stop(detector))
    if hurried:
        for detector in detectors:
            detector.ledger.cut_short()
    for _ in range(1 + len(detectors)):  # a flight that fails now breaks into the wait
        if (yield from attempt(errors, _all_on_disk(detectors))):
            break
    for name, collected in streams.items():
        if any(getattr(detector, "unannounced", True) for detector in collected):
            yield from attempt(errors, [Msg("collect", *collected, name=name, run=run)])
    return errors


def failure(detectors: Iterable[Any]) -> Exception | None:
    """Return why a detector's recording or flight has failed, of the first that did; None where all is well."""
    for detector in detectors:
        flight = getattr(detector, "flight", None)
        if flight is not None and flight.done and (error := flight.exception(timeout=0)) is not None:
            return error
        if (error := getattr(getattr(detector, "ledger", None), "error", None)) is not None:
            return error
    return None


def done(statuses: Iterable[Any]) -> bool:
    """Return whether all are; there are none where a plan is only listed."""
    return all(status is None or status.done for status in statuses)


def wait_a_while(group: str, statuses: Sequence[Any], seconds: float) -> MsgGenerator[None]:
    """Wait for a group, at most for some seconds.

    After a pause the RunEngine knows the group no more and waits for nothing (bluesky 1.15, `RunEngine._wait`).
    """
    began = time.monotonic()
    yield from bps.wait(group=group, timeout=seconds, error_on_timeout=False)
    if not done(statuses) and time.monotonic() - began < 0.5 * seconds:
        yield from bps.sleep(min(seconds, _LOOK))


def wait_until_done(group: str, statuses: Sequence[Any]) -> MsgGenerator[None]:
    """Wait for a group, through pauses."""
    while not done(statuses):
        yield from wait_a_while(group, statuses, _LOOK)


def attempt(errors: list[Exception], plan: Iterable[Msg]) -> MsgGenerator[bool]:
    """Run a plan, keep an error of it, and return whether there was none; requests to end the plan pass."""
    try:
        yield from plan
    except RunEngineControlException:
        raise
    except Exception as error:
        errors.append(error)
        return False
    return True


def _all_on_disk(detectors: Iterable[Any]) -> MsgGenerator[None]:
    group, statuses = short_uid("disk"), []
    for detector in detectors:
        statuses.append((yield Msg("trigger", detector.ledger, group=group)))
    yield from wait_until_done(group, statuses)
