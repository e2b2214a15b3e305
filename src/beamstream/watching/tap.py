"""Frames of a source that no session delivers: fetched into a ring by a process of its own.

``python -m beamstream.watching.tap`` is that process; see `beamstream.watching.tap_program`.
"""

from typing import Any

from beamstream.errors import RingError
from beamstream.readers import RingView
from beamstream.watching.child import Child
from beamstream.watching.streams import StreamSpec

_NOTHING: dict[str, Any] = {
    "connected": False,
    "received": 0,
    "lost": 0,
    "malformed": 0,
    "disconnects": 0,
}


class Tap:
    """Fetch the frames of a stream, for eyes only: nothing is recorded, and a session is not disturbed.

    The frames lie in a ring of the stream's name that belongs to the process `pid`. A source that is not there,
    silent, comes again or changes is no error: `status` says in words what is waited for. To be used from one
    thread; nothing waits, but `close`.

    Parameters
    ----------
    spec : StreamSpec
        With an `about`.
    present : bool
        Begin with the frame that a camera has already, as received when it was taken: of one that stands still this
        is all there is to see.
    """

    def __init__(self, spec: StreamSpec, *, present: bool = True) -> None:
        self.spec, self._present = spec, present
        self._child: Child | None = None
        self._view: RingView | None = None

    def start(self) -> None:
        """Begin, in the background. Nothing happens if it has begun.

        Raises
        ------
        OSError
            There is no room for another process.
        """
        if self._child is None:
            self._child = Child("beamstream.watching.tap", self.spec.to_dict() | {"present": self._present})

    @property
    def pid(self) -> int | None:
        """The process that owns the ring; None before `start`."""
        return self._child.pid if self._child else None

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._child is not None and self._child.alive

    @property
    def ring(self) -> RingView | None:
        """A view of the ring, through changes of geometry; None until the first frame has come."""
        if self._view is not None and self._view.closed:
            self._view.refresh()
        if self._view is None and self.pid is not None:
            try:
                self._view = RingView(self.spec.name, owner=self.pid)
            except RingError:
                return None
        return self._view

    @property
    def status(self) -> dict[str, Any]:
        """``connected``, ``received``, ``lost``, ``malformed``, ``disconnects``, and ``words``: what it waits for."""
        if self._child is None:
            return _NOTHING | {"words": f"{self.spec.name}: not asked for"}
        said = self._child.look()
        if not self._child.alive:
            words = f"{self.spec.name}: the process that fetches it ended and said: {self._child.last_words()}"
            return _NOTHING | said | {"connected": False, "words": words}
        return said or _NOTHING | {"words": f"{self.spec.name}: connecting to {self.spec.uri}"}

    def end(self) -> None:
        """Begin to end it, without waiting; `alive` says when it has, `close` is due then."""
        if self._child is not None:
            self._child.end()

    def close(self) -> None:
        """End it, within 3 s. Calling it again does no harm."""
        if self._view is not None:
            self._view.close()
            self._view = None
        if self._child is not None:
            self._child.close()
            self._child = None


if __name__ == "__main__":
    import sys

    from beamstream.watching.tap_program import main

    sys.exit(main())
