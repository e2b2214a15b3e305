"""What every sink of one run does around the writing itself: open once, check frames, fail for good."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from beamstream.errors import SinkError
from beamstream.frames import NO_ATTRIBUTES, Frame, Geometry
from beamstream.sinks.base import StoredArray
from beamstream.sinks.disk import explained


class OneRun(ABC):
    """Hold what all sinks promise, so that a format is only its `_open`, `_append`, `_take_back` and `_close`.

    A `beamstream.sinks.base.Sink`. Errors of the system come out as `DiskFull` or `SinkError` that name the path.

    Parameters
    ----------
    path : path-like
        Where the frames go; nothing that exists there is ever touched.
    geometry : Geometry
        Of every frame of the run.
    name : str
        The detector's, for errors and descriptions.
    attributes : Mapping, optional
        Of the run; kept beside the frames where the format has a place for them.

    Attributes
    ----------
    kept : int
        Frames kept so far.
    ring : str
        See `beamstream.sinks.base.Sink`.
    """

    mimetype: str
    ring = ""
    arrays: Mapping[str, StoredArray] = {}

    def __init__(
        self,
        path: str | os.PathLike[str],
        geometry: Geometry,
        *,
        name: str = "image",
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path).absolute()
        self.geometry = geometry
        self.name = name
        self.kept = 0
        self._attributes = NO_ATTRIBUTES if attributes is None else attributes
        self._state = "is not open"

    @property
    def uri(self) -> str:
        """Where the frames are, as a stream_resource document says it."""
        return f"file://localhost{self.path.as_posix()}"

    @abstractmethod
    def _open(self) -> None:
        """Make what frames are appended to; leave nothing behind when that fails."""

    @abstractmethod
    def _append(self, frames: Sequence[Frame]) -> None:
        """Write frames behind the first `kept` ones, and make them count last."""

    @abstractmethod
    def _take_back(self) -> None:
        """Take away what a failed `_append` left behind; raise nothing."""

    @abstractmethod
    def _close(self, *, complete: bool) -> None:
        """Let go of everything; finish the file if the run is `complete`."""

    def __enter__(self) -> Self:
        """Open; what cannot be opened says so here.

        Raises
        ------
        DiskFull, SinkError
            There is no place for the frames, something is there already, or the format cannot hold them.
        """
        if self._state != "is not open":
            raise SinkError(f"{self.name}: to be opened again, but {self.path} was one run's; make a new sink")
        with explained(self.name, "create", self.path):
            self._open()
        self._state = "open"
        return self

    def write(self, frames: Sequence[Frame]) -> int:
        """Append frames and make them count; return the number kept so far.

        The frames' memory is only read, and not needed any more afterwards. Larger batches cost less.

        Raises
        ------
        DiskFull, SinkError
            Nothing of this call counts as kept; everything kept before stays readable. The sink takes no more,
            unless it was a frame of another geometry, which is refused before anything is written.
        CodecError
            A compressed frame cannot be decoded; the sink takes no more.
        """
        if self._state != "open":
            raise SinkError(
                f"{self.name}: {len(frames)} frames to write, but {self.path} {self._state}; open a new sink"
            )
        self._check(frames)
        if frames:
            try:
                with explained(self.name, f"keep frames {self.kept}:{self.kept + len(frames)} in", self.path):
                    self._append(frames)
            except BaseException:
                self._state = "failed before"
                self._take_back()
                raise
            self.kept += len(frames)
        return self.kept

    def _check(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            if frame.geometry != self.geometry:
                is_now, asked = f"frame {frame.unique_id} is {frame.geometry}", f"opened for {self.geometry}"
                raise SinkError(f"{self.name}: {self.path} is {asked}, {is_now}; open a new run for it")
            if not self.geometry.codec and frame.payload.nbytes != self.geometry.nbytes:
                raise SinkError(
                    f"{self.name}: frame {frame.unique_id} has {frame.payload.nbytes} bytes, its geometry "
                    f"{self.geometry} wants {self.geometry.nbytes}; correct the source that made it"
                )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close; what was written stays readable.

        Raises
        ------
        DiskFull, SinkError
            What belongs to a complete run cannot be added; the frames are kept. Not raised after another error.
        """
        complete = kind is None and self._state == "open"
        self._state = "is closed"
        with explained(self.name, "close", self.path):
            self._close(complete=complete)
