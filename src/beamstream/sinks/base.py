"""Sink: what every place that keeps frames promises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from beamstream.errors import CodecError
from beamstream.frames import Frame


@dataclass(frozen=True, slots=True)
class StoredArray:
    """One growing array of a sink, as a stream_resource document describes it.

    Parameters
    ----------
    dtype_numpy : str
        Numpy's type string.
    shape : tuple of int
        Of the part that belongs to one frame; ``()`` for a number.
    units : str
    parameters : Mapping
        What the reader of this format needs; tiled's consolidators know the keys.
    color_mode : str
        Of images: a name of `beamstream.frames.ColorMode`.
    first : int
        The index of the first frame in this format's own count: 1 where file names begin with 1.
    uri : str
        Of this array, where the format has one for each; otherwise the sink's counts.
    dims : tuple of str
        What the axes of the part that belongs to one frame are, where they have names.
    attribute : str, optional
        The attribute of the frames that it holds, as the detector names it.
    """

    dtype_numpy: str
    shape: tuple[int, ...]
    units: str
    parameters: Mapping[str, Any]
    color_mode: str = ""
    first: int = 0
    uri: str = ""
    dims: tuple[str, ...] = ()
    attribute: str | None = None


@dataclass(frozen=True, slots=True)
class Undecoded:
    """A frame that is not kept because its bytes do not decode."""

    unique_id: int
    error: CodecError


class Stored(Protocol):
    """What documents can describe: arrays that lie somewhere, a row a frame."""

    @property
    def uri(self) -> str:
        """Where it is, as it stands in a stream_resource document: ``file://localhost/…``."""
        ...

    @property
    def mimetype(self) -> str:
        """What a stream_resource document calls the format."""
        ...

    @property
    def arrays(self) -> Mapping[str, StoredArray]:
        """What is kept of each frame, ``data`` (the pixels) first; empty for a format that tiled cannot read."""
        ...


class Sink(Stored, Protocol):
    """Somewhere frames are kept: a file, an archive, an upload.

    A sink is opened by ``with`` for exactly one run. `write` is called from one thread, in index order, and
    returns only when the frames would survive a kill of this process. What is kept is synced to the disk in the
    background, and before a run is complete. `beamstream.sinks.contract` holds every promise as a test.

    Attributes
    ----------
    ring : str
        The `Ring.token` of the ring that its frames are read from, set before it is opened; ``""`` for none.
    """

    ring: str

    def __enter__(self) -> Self:
        """Open; what cannot be opened raises here, before anything moves."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close; what was written stays readable, also after an error, which passes through."""
        ...

    def write(self, frames: Sequence[Frame]) -> int:
        """Append frames; return the number kept so far in this run.

        Their memory is only read, and free again when this returns: frames may be views into a ring. A sink
        that failed takes no more; a frame of another geometry is refused before anything is written. Where pixels are
        kept, a compressed frame that does not decode is left out, the others are kept, and `undecoded` has it.

        Raises
        ------
        DiskFull, SinkError
            Nothing of this call counts as kept; everything kept before stays readable.
        """
        ...

    @property
    def undecoded(self) -> Sequence[Undecoded]:
        """What the last `write` left out."""
        ...

    @property
    def safe(self) -> int:
        """Frames that the disk is known to have, 0 if the file is gone; behind `write` by what is not synced yet."""
        ...

    def check(self) -> None:
        """Raise what went wrong in the background, as `write` does; returns at once.

        Raises
        ------
        DiskFull, SinkError
            What was written cannot be kept, or is not there any more.
        """
        ...

    def sync(self) -> None:
        """Return when everything that is kept would survive a power cut; raise as `check` does."""
        ...
