"""Recorded frames by row: from the ring while they are there, from the file afterwards."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from beamstream.errors import CodecError, RingError, RingOverrun, SinkError
from beamstream.frame_attributes import SomeAttributes
from beamstream.frames import NO_ATTRIBUTES, ColorMode, Frame, Geometry
from beamstream.readers import RingView
from beamstream.sinks.disk import explained
from beamstream.sinks.hdf5_attributes import GROUP, AttributeReader
from beamstream.sinks.hdf5_layout import RING_INDEX, SCALARS
from beamstream.sinks.hdf5_reading import row_reader

_BATCH_BYTES = 8 * 2**20
_MOST_IN_A_BATCH = 64


@dataclass(slots=True)
class Origins:
    """Count where frames came from."""

    ring: int = 0
    file: int = 0


class RecordedFrames:
    """Read the frames of one recorded file by row, also while it grows.

    A frame comes from the shared memory of the ring while it is there, and from the file afterwards: a slow reader is
    late, never lossy. The file holds which frame of which ring a row is: ring_index of each, and the ring's token. A
    file without them, an older recording, is read alone. To be used from one thread, as a context manager or with
    `close`.

    Parameters
    ----------
    path : path-like
        A file of `beamstream.sinks.hdf5.Hdf5Sink`.
    ring : str
        Name of the ring that the frames passed through, the detector's; ``""`` for none.
    dataset : str
        Where the pixels are; their unique_id and times are beside them.

    Attributes
    ----------
    geometry : Geometry
        Of the decoded frames.
    origins : Origins

    Raises
    ------
    SinkError
        The file cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str], *, ring: str = "", dataset: str = "/entry/data/data") -> None:
        import h5py

        self.path = Path(path)
        self.origins = Origins()
        with explained("recorded frames", "read", self.path):
            self._file = h5py.File(self.path, "r", swmr=True)  # also right for one that is complete
            group: Any = self._file[dataset.rpartition("/")[0]]
            self._data: Any = self._file[dataset]
            self._scalars = [group[column.name] for column in SCALARS]
            self._indices: Any = group.get(RING_INDEX.name)
            known = {column.name for column in (*SCALARS, RING_INDEX)} | {dataset.rpartition("/")[2]}
            self._columns = {key: data for key, data in group.items() if key not in known and _grows(data)}
            self._attributes = AttributeReader(self._file, str(group.attrs[GROUP])) if GROUP in group.attrs else None
            mode = ColorMode(str(self._data.attrs.get("color_mode", "mono")))
            self.geometry = Geometry(self._data.shape[1:], self._data.dtype.str, mode)
            self.source = str(group.attrs.get("source", self.path.as_uri()))
            token = str(group.attrs.get("ring", ""))
        self._pixels = row_reader(self.path, self._data, live=bool(ring))
        self._ring = _RingRows(ring, token) if ring and token else None
        self._most = max(1, min(_MOST_IN_A_BATCH, _BATCH_BYTES // max(1, self.geometry.nbytes)))
        self._buffers = np.empty((self._most, *self.geometry.shape), self.geometry.dtype)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """Rows that are on disk now."""
        for dataset in self._scalars:
            dataset.refresh()  # not its id's: h5py remembers the length of what it cannot write
        return self._known

    def unique_id(self, row: int) -> int:
        """Return the number that the detector gave the frame of a row, also of one that does not decode."""
        return int(self._scalars[0][row])

    @property
    def _known(self) -> int:
        """Rows that were there when they were counted last."""
        return min(dataset.shape[0] for dataset in self._scalars)

    def read(self, start: int, stop: int) -> Iterator[list[Frame]]:
        """Yield the frames of rows ``start:stop``, in order, in batches.

        Their pixels are plain (decoded), read-only, and valid until the next batch is asked for.

        Raises
        ------
        SinkError
            The file has not so many rows, or cannot be read.
        CodecError
            A frame does not decode; those before it were yielded.
        """
        # no refresh without need: HDF5 2.0 loses all chunks but the first of a dataset that is open twice in a process
        if stop > self._known and stop > len(self):
            raise SinkError(
                f"{self.path}: frames {start}:{stop} asked for, it holds {len(self)}; was it cut off by a full disk?"
            )
        with explained("recorded frames", f"read {start}:{stop} of", self.path):
            while start < stop:
                batch = self._batch(start, min(start + self._most, stop), stop)
                start += len(batch)
                yield batch

    def read_decodable(
        self, start: int, stop: int, undecoded: Callable[[int, CodecError], object]
    ) -> Iterator[list[Frame]]:
        """Yield the frames of rows ``start:stop`` that decode, as `read` does; no batch has a gap in it.

        `undecoded` is called with the row of each of the others, when the frames before it were worked on.

        Raises
        ------
        SinkError
            The file has not so many rows, or cannot be read.
        """
        while start < stop:
            try:
                for batch in self.read(start, stop):
                    start += len(batch)
                    yield batch
            except CodecError as error:
                undecoded(start, error)
                start += 1

    def _batch(self, start: int, stop: int, end: int) -> list[Frame]:
        """Return the frames of rows ``start:stop``, up to the first that does not decode."""
        ids, timestamps, received = (dataset[start:stop].tolist() for dataset in self._scalars)
        indices = [-1] * (stop - start) if self._indices is None else _rows(self._indices, start, stop)
        frames = []
        for i in range(stop - start):
            frame = Frame(self._buffers[i], self.geometry, ids[i], timestamps[i], received[i], self.source)
            try:
                frames.append(self._filled(replace(frame, ring_index=indices[i]), start + i, end))
            except CodecError:
                if not frames:
                    raise
                break  # the next batch begins with it
        return self._with_attributes(frames, start)

    def _with_attributes(self, frames: list[Frame], start: int) -> list[Frame]:
        """Return the frames of rows with the attributes that the file has, where the ring did not have all."""
        stop = start + len(frames)
        some = [frame.attributes is NO_ATTRIBUTES or isinstance(frame.attributes, SomeAttributes) for frame in frames]
        if not any(some) or not (self._columns or self._attributes):
            return frames
        numbers = {key: _rows(data, start, stop) for key, data in self._columns.items()}
        beside = [{} for _ in frames] if self._attributes is None else self._attributes.read(start, stop)
        for i, incomplete in enumerate(some):
            if incomplete:
                attributes = {**beside[i], **{key: values[i] for key, values in numbers.items()}}
                frames[i] = replace(frames[i], attributes=attributes)
        return frames

    def _filled(self, frame: Frame, row: int, end: int) -> Frame:
        """Return a frame whose memory has the pixels of a row, read-only."""
        found = self._ring.copy(frame) if self._ring is not None else None
        if found is None:
            self._pixels.read(row, end, frame.payload)
            self.origins.file += 1
        else:
            frame = found
            self.origins.ring += 1
        payload = frame.payload.view()
        payload.flags.writeable = False
        return replace(frame, payload=payload)

    def close(self) -> None:
        """Close file and ring."""
        self._pixels.close()
        self._file.close()
        if self._ring is not None:
            self._ring.close()


def _grows(dataset: Any) -> bool:
    """Return whether a dataset has a number for each frame."""
    return len(getattr(dataset, "maxshape", ())) == 1 and dataset.maxshape[0] is None


def _rows(dataset: Any, start: int, stop: int) -> list[Any]:
    if dataset.shape[0] < stop:
        dataset.refresh()
    return dataset[start:stop].tolist()


class _RingRows:
    """Copy rows out of the ring that they were recorded from, by their index in it."""

    def __init__(self, name: str, token: str) -> None:
        self._name, self._token = name, token
        self._view: RingView | None = None

    def copy(self, wanted: Frame) -> Frame | None:
        """Copy the row's pixels from the ring into the memory of `wanted`; None if they are not there."""
        view = self._holding(wanted.ring_index)
        if view is None:
            return None

        def copy(frame: Frame) -> Frame | None:
            if frame.geometry != replace(wanted.geometry, codec=frame.geometry.codec):
                return None
            np.copyto(wanted.payload, frame.image)
            return replace(wanted, attributes=frame.attributes)

        try:
            return view.read(wanted.ring_index, copy)
        except RingOverrun:
            return None

    def _holding(self, index: int) -> RingView | None:
        """Return a view of the ring if it has a frame."""
        try:
            if self._view is None:
                self._view = RingView(self._name, token=self._token)
            elif not self._view.holds(index) and self._view.closed:
                self._view.refresh()
        except RingError:  # there is none any more: the file has it all
            return None
        return self._view if self._view.holds(index) else None

    def close(self) -> None:
        if self._view is not None:
            self._view.close()
