"""Ctrl-C in a session: pause a plan, and end the waits of one that is being stopped already."""

from typing import TYPE_CHECKING, Any

from bluesky.utils import SigintHandler, TransitionError  # pyright: ignore[reportPrivateImportUsage]

if TYPE_CHECKING:
    from bluesky import RunEngine


class Interrupts(SigintHandler):
    """Pause a plan as bluesky does: at its next checkpoint, at the second Ctrl-C at once.

    A plan that is being stopped or aborted cannot be paused. There the second Ctrl-C ends the wait for the disk:
    what is not written is counted as lost, and the run fails with that.
    """

    def __init__(self, engine: "RunEngine") -> None:
        super().__init__(_Pausing(engine))


class _Pausing:
    """What bluesky's handler wants of a RunEngine."""

    def __init__(self, engine: "RunEngine") -> None:
        self._engine = engine

    def request_pause(self, defer: bool = False) -> Any:
        try:
            return self._engine.request_pause(defer)
        except TransitionError:
            if not defer:
                from devices.ledger import cut_short  # here: ophyd sees the configured environment first

                cut_short()
            raise
