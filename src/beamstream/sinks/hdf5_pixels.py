"""Two ways to put pixels into a growing HDF5 dataset: at their place, or chunk by chunk.

Plain frames go to their place: HDF5 only keeps the index (where each chunk lies), the pixels are written from
the frame's own memory to that place of the file. It costs a tenth of the processor time of a write through
HDF5. Compressed frames have sizes that are not known before, and frames of less than a page share pages: these
go through HDF5's own direct chunk write.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from beamstream.errors import SinkError
from beamstream.frames import Frame, Geometry
from beamstream.sinks import hdf5_filters
from beamstream.sinks.direct import PAGE, PlacedWriter, as_bytes, page_up

if TYPE_CHECKING:
    import h5py


class Pixels(Protocol):
    """Appends pixels to the dataset; published by the caller's flush."""

    def append(self, frames: Sequence[Frame], kept: int) -> None:
        """Write frames behind the first `kept` ones."""
        ...


def pixels_for(file: "h5py.File", dataset: "h5py.Dataset", geometry: Geometry, writer: PlacedWriter) -> Pixels:
    """Choose the way that fits the frames."""
    compressed = bool(hdf5_filters.stored_codec(geometry.codec))
    if geometry.nbytes < PAGE or compressed:
        return _Chunks(file, dataset, writer, compressed)
    return _Placed(file, dataset, geometry, writer)


class _Chunks:
    """Chunk by chunk through HDF5, dropped from the page cache behind it."""

    def __init__(self, file: "h5py.File", dataset: "h5py.Dataset", writer: PlacedWriter, compressed: bool) -> None:
        self._file, self._dataset, self._writer = file.id, dataset.id, writer
        self._chunk = hdf5_filters.as_chunk if compressed else _plain
        self._shape = dataset.shape[1:]
        self._rest = (0,) * len(self._shape)

    def append(self, frames: Sequence[Frame], kept: int) -> None:
        start = self._file.get_filesize()
        self._dataset.set_extent((kept + len(frames), *self._shape))
        for index, frame in enumerate(frames, kept):
            mask, chunk = self._chunk(frame)
            self._dataset.write_direct_chunk((index, *self._rest), chunk, mask)
        self._writer.drop.wrote(start, self._file.get_filesize())


def _plain(frame: Frame) -> tuple[int, Any]:
    return 0, np.ascontiguousarray(frame.payload)


class _Placed:
    """At their place: extended by HDF5, written by us.

    HDF5 finds the place of a chunk by walking through all of them, which grows with the run. But new chunks
    are appended to the file, so its growth shows their places: if it is just what the frames need, they lie
    there and nowhere else (metadata blocks have a size that no number of frames has, and nothing of a frame's
    size is ever freed). If it is not, because a block of metadata was appended as well, HDF5 is asked. It is
    also asked each time when the run is half as long again, which costs next to nothing, and would stop the
    run if the rule were wrong.
    """

    def __init__(self, file: "h5py.File", dataset: "h5py.Dataset", geometry: Geometry, writer: PlacedWriter) -> None:
        self._file, self._dataset, self._writer = file.id, dataset.id, writer
        self._shape, self._nbytes = geometry.shape, geometry.nbytes
        self._pitch = page_up(self._nbytes)
        self._ask_at = 0

    def append(self, frames: Sequence[Frame], kept: int) -> None:
        pieces = [as_bytes(frame.image) for frame in frames]
        places = self._extend(kept, len(frames))
        start = 0
        for stop in range(1, len(pieces) + 1):
            if stop == len(pieces) or places[stop] != places[stop - 1] + self._nbytes:
                self._writer.write(pieces[start:stop], places[start])
                start = stop

    def _extend(self, kept: int, count: int) -> list[int]:
        """Make room for frames in the dataset; return where in the file each belongs."""
        before = self._file.get_filesize()
        self._dataset.set_extent((kept + count, *self._shape))
        after = self._file.get_filesize()
        places = list(range(page_up(before), page_up(before) + count * self._pitch, self._pitch))
        appended = after == places[-1] + self._nbytes
        if not appended:
            self._writer.reserve(before, after)  # the new block of metadata must find its room on the disk
        if not appended or kept + count >= self._ask_at:
            asked = self._ask(kept, count)
            if appended and asked != places:
                raise SinkError(f"frames {kept}:{kept + count} belong at {asked[0]}, computed {places[0]}; report this")
            self._ask_at = (kept + count) * 3 // 2
            return asked
        return places

    def _ask(self, kept: int, count: int) -> list[int]:
        rest = (0,) * len(self._shape)
        ask = self._dataset.get_chunk_info_by_coord
        first, last = ask((kept, *rest)).byte_offset, ask((kept + count - 1, *rest)).byte_offset
        if last - first == (count - 1) * self._pitch:
            return list(range(first, last + 1, self._pitch))
        return [ask((index, *rest)).byte_offset for index in range(kept, kept + count)]
