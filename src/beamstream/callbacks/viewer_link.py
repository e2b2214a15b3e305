"""The link of a session to a viewer: a thread that nobody waits for."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from beamstream.errors import BeamstreamError
from beamstream.plots.inbox import Message, Outbox

log = logging.getLogger(__name__)

_ANSWER = 10.0  # s; napari is busy for seconds now and then
_LEAVE = 2.0  # s that the end of a session waits for what is to be said


class ViewerLink:
    """Find the viewer, or start one, and tell it what comes; all in a thread of its own.

    Parameters
    ----------
    start : bool
        Whether to start a viewer where none runs.
    say : callable
        Takes what is wrong with the viewer, in words.

    Attributes
    ----------
    over : bool
        Whether nothing more can be said: there is no viewer, it has ended, or it hangs.
    pid : int or None
        Of the viewer.
    told, refused : int
        Messages that it took, and that it or the link did not.
    """

    def __init__(self, start: bool, say: Callable[[str], None]) -> None:
        self.over = False
        self.pid: int | None = None
        self.told = 0
        self._refused = 0
        self.error = ""
        self._start, self._say = start, say
        self._outbox = Outbox()
        self._thread = threading.Thread(target=self._run, name="viewer-link", daemon=True)
        self._thread.start()

    def tell(self, message: Message | Callable[[], Message | None], key: object = None) -> None:
        """Send a message, or what a function returns that is called in the thread; never waits.

        Parameters
        ----------
        message : dict or callable
            A function may return None: there is nothing to say any more.
        key : object
            It takes the place of a waiting one with the same key.
        """
        self._outbox.put(message, key)

    @property
    def refused(self) -> int:
        """Messages that did not reach the viewer, or that it could do nothing with."""
        return self._refused + self._outbox.refused

    def close(self) -> None:
        """Say what waits, but not for long; the viewer stays."""
        self._outbox.close()
        self._thread.join(_LEAVE)

    def _run(self) -> None:
        from beamstream.viewers.napari.starting import find_or_start

        try:
            with find_or_start(start=self._start) as line:
                self.pid = line.address.pid
                log.info("viewer: napari, pid %d", self.pid)
                self._talk(line)
        except Exception as error:  # whatever it is, no run is worth less for it
            self.error = str(error)
            self._say(self.error)
        finally:
            self.over = True
            self._outbox.close()

    def _talk(self, line: Any) -> None:
        from beamstream.viewers.napari.address import alive

        while (waiting := self._outbox.get()) is not None:
            message: Message | None = waiting() if callable(waiting) else waiting  # type: ignore[assignment]
            if message is None:
                continue
            try:
                line.ask(timeout=_ANSWER, **message)
                self.told += 1
            except TimeoutError:
                what = "does not answer" if alive(line.address.pid) else "has ended"
                raise BeamstreamError(
                    f"viewer: napari (pid {line.address.pid}) {what}; runs go on without it"
                ) from None
            except BeamstreamError as error:
                self._refused += 1
                self.error = str(error)
                self._say(self.error)
