"""Sink: what every place that keeps frames promises."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from beamstream.frames import Frame


class Sink(Protocol):
    """Somewhere frames are kept: a file, an archive, an upload.

    A sink is opened by ``with`` for exactly one run. `write` is called from one thread, in index order, and
    returns only when the frames would survive a kill of this process. `beamstream.sinks.contract` holds every
    promise as a test.
    """

    def __enter__(self) -> Self:
        """Open; what cannot be opened says so here, before anything moves."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close; what was written stays readable, also after an error, which passes through."""
        ...

    def write(self, frames: Sequence[Frame]) -> int:
        """Append frames; return the number kept so far in this run.

        Their memory is only read, and free again when this returns: frames may be views into a ring. A sink
        that failed takes no more; a frame of another geometry is refused before anything is written.

        Raises
        ------
        DiskFull, SinkError
            Nothing of this call counts as kept; everything kept before stays readable.
        """
        ...
