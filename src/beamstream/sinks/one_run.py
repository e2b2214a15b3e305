"""What every sink of one run does around the writing itself: open once, check frames, sync, fail for good."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from beamstream.errors import BeamstreamError, CodecError, SinkError
from beamstream.file_uri import uri_of
from beamstream.frames import NO_ATTRIBUTES, Frame, Geometry
from beamstream.path_names import control_fault
from beamstream.sinks.base import StoredArray, Undecoded
from beamstream.sinks.disk import explained, sync_directory, sync_file
from beamstream.sinks.durable import Durable


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
    undecoded : list of Undecoded
        Frames that the last `write` left out.
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
        self.undecoded: list[Undecoded] = []
        self._attributes = NO_ATTRIBUTES if attributes is None else attributes
        self._state = "is not open"

    @property
    def uri(self) -> str:
        """Where the frames are, as a stream_resource document says it."""
        return uri_of(self.path)

    @property
    def _growing(self) -> Path:
        """What frames are written to until the run is complete: a file, or a directory."""
        return self.path

    def _changed(self, start: int, stop: int) -> Iterable[Path]:
        """Return the files beside or inside of `_growing` that are other ones since there were `start` frames.

        Called from a thread of its own, while frames are written.
        """
        return ()

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
        if fault := control_fault(self.path):
            raise SinkError(f"{self.name}: frames to be kept in {str(self.path)!r}, {fault}; choose another directory")
        with explained(self.name, "create", self.path):
            self._open()
            try:
                self._durable = Durable(self.name, self._growing, lambda: self.kept, self._changed)
            except BaseException:
                self._close(complete=False)
                raise
        self._state = "open"
        return self

    def write(self, frames: Sequence[Frame]) -> int:
        """Append frames and make them count; return the number kept so far.

        The frames' memory is only read, and not needed any more afterwards. Larger batches cost less. Where pixels are
        kept, a compressed frame that does not decode is left out; `undecoded` has it then.

        Raises
        ------
        DiskFull, SinkError
            Nothing of this call counts as kept; everything kept before stays readable. The sink takes no more,
            unless it was a frame of another geometry, which is refused before anything is written.
        """
        if self._state != "open":
            raise SinkError(
                f"{self.name}: {len(frames)} frames to write, but {self.path} {self._state}; open a new sink"
            )
        self._check(frames)
        if self.geometry.codec:
            frames = self._decoded(frames)
        try:
            self._durable.check()
            if frames:
                with explained(self.name, f"keep frames {self.kept}:{self.kept + len(frames)} in", self.path):
                    self._append(frames)
        except BaseException:
            self._state = "failed before"
            self._take_back()
            raise
        self.kept += len(frames)
        return self.kept

    def _keeps_bytes(self, frame: Frame) -> bool:
        """Whether a compressed frame is kept as it came, and not as pixels."""
        return False

    def _decoded(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return the frames as they are kept, without those that do not decode."""
        whole: list[Frame] = []
        self.undecoded = []
        plain = replace(self.geometry, codec="")
        for frame in frames:
            try:
                keeps = self._keeps_bytes(frame)
                whole.append(frame if keeps else replace(frame, payload=frame.image, geometry=plain))
            except CodecError as error:
                self.undecoded.append(Undecoded(frame.unique_id, error))
        return whole

    @property
    def safe(self) -> int:
        """Frames that the disk is known to have; 0 if the file is gone."""
        return self._durable.safe if self._state != "is not open" else 0

    def check(self) -> None:
        """Raise what went wrong in the background, as `write` does; returns at once."""
        if self._state == "open":
            self._failing(self._durable.check)

    def sync(self) -> None:
        """Return when all frames that are kept would survive a power cut.

        Raises
        ------
        DiskFull, SinkError
            The disk cannot keep what it took, or the file is not there any more. The sink takes no more.
        """
        if self._state not in ("is not open", "is closed"):
            self._failing(self._durable.sync)

    def _failing(self, look: Callable[[], None]) -> None:
        try:
            look()
        except BeamstreamError:
            self._state = "failed before"  # raised once: closing has nothing to add
            raise

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
        """Close; what was written stays readable. A run is complete when the disk has all of it.

        Raises
        ------
        DiskFull, SinkError
            The disk cannot keep what it took, or what belongs to a complete run cannot be added; the frames are kept
            as far as the disk goes. Not raised after another error.
        """
        complete = kind is None and self._state == "open"
        try:
            self._durable.sync()
        except BeamstreamError:
            if complete:  # otherwise an error is on its way already
                complete = False
                raise
        finally:
            self._state = "is closed"
            self._durable.close()
            with explained(self.name, "close", self.path):
                self._close(complete=complete)
        if complete:
            self._sync_whole()

    def _sync_whole(self) -> None:
        """Return when what made the run complete is on the disk."""
        with explained(self.name, "bring to the disk", self.path):
            if self.path.exists():  # a film without pictures does not
                sync_file(self.path)
                sync_directory(self.path.parent)
