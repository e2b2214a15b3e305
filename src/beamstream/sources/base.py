"""Source: where frames come from, and Listener: who wants them."""

import logging
from typing import Protocol

from beamstream.errors import BeamstreamError
from beamstream.frames import Frame, Geometry

logger = logging.getLogger(__name__)


class Listener(Protocol):
    """Who wants the frames of a source; called from the source's thread, which must not be held up."""

    def frame(self, frame: Frame, missing: int | None) -> None:
        """Take a frame and the number missing before it.

        Parameters
        ----------
        frame : Frame
        missing : int or None
            -1 for one of those that were missing before: it comes late. None when that is unknown: the count ran
            backwards, or stands still.
        """
        ...

    def repeated(self) -> None:
        """Hear of an update that brought nothing new."""
        ...

    def malformed(self, error: BeamstreamError) -> None:
        """Hear of an update that is no frame."""
        ...

    def connection(self, up: bool) -> None:
        """Hear that the server went away or came back."""
        ...

    def failed(self, error: Exception) -> None:
        """Hear that this listener itself raised."""
        ...


class Source(Protocol):
    """Somewhere frames come from: a PV, a socket, a file."""

    @property
    def uri(self) -> str:
        """What documents call it: ``pva://13SIM1:Pva1:Image``."""
        ...

    @property
    def connected(self) -> bool:
        """Whether the other side is there at the moment."""
        ...

    def connect(self, timeout: float) -> Geometry | None:
        """Ask for the geometry of the frames; None where there is no valid frame yet.

        Raises
        ------
        NotConnected
            Nobody answered within `timeout` seconds.
        """
        ...

    def start(self, listener: Listener, timeout: float) -> None:
        """Begin to deliver to `listener`, in a thread of the source.

        Raises
        ------
        NotConnected
            Nobody answered within `timeout` seconds.
        """
        ...

    def stop(self) -> None:
        """Stop delivering; a call that is under way ends first. Calling it again does no harm."""
        ...

    def close(self) -> None:
        """Stop and give everything back; the source cannot be used again."""
        ...


def tell_failure(listener: Listener, error: Exception, name: str) -> None:
    """Tell a listener that it raised, or that the source ended; what it raises now goes to the log of `name`."""
    try:
        listener.failed(error)
    except Exception:
        logger.exception("%s: the listener failed to hear of %r", name, error)
