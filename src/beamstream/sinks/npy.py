"""Keep frames as one growing .npy file, which numpy maps into memory while it grows."""

import contextlib
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from beamstream.errors import SinkError
from beamstream.frames import Frame, Geometry
from beamstream.sinks.attribute_lines import AttributeLines
from beamstream.sinks.burst import BurstWriter, write_at
from beamstream.sinks.direct import PAGE, Bytes, as_bytes
from beamstream.sinks.one_run import OneRun

MIMETYPE = "application/x-npy"
"""What a stream_resource document would call this format; tiled reads no single file through it."""

ROW = np.dtype([("unique_id", "<i8"), ("timestamp", "<f8"), ("received", "<f8")])
"""One frame in ``….frames.npy``; times in s since 1970-01-01 UTC."""

_MAGIC = b"\x93NUMPY\x01\x00"
_COUNT_AT = 24  # bytes; a multiple of 8, so that the 8 digits which change do so in one piece
_DIGITS = 16


class NpySink(OneRun):
    """Keep the frames of one run in one .npy file: ``np.load(path, mmap_mode="r")[7]`` is frame 7.

    The array has the shape (frames, \\*frame). Its header has room for any number of frames, and is brought up to
    date after the pixels, so the file can be loaded while it grows and after its writer was killed. Beside
    ``run.npy``, ``run.frames.npy`` has unique_id, timestamp and received of each frame (a structured array; at
    least as long). Compressed frames are decoded. ``attributes`` have no place in this format, and are not kept.
    Attributes of frames are further columns of ``run.frames.npy``; what fits none is in ``run.npy.attributes.jsonl``,
    see `beamstream.sinks.attribute_lines.AttributeLines`.

    Parameters
    ----------
    path : path-like
        The file to create; one that exists is never touched, nor its ``….frames.npy``.
    geometry : Geometry
        Of every frame of the run.
    name : str
        The detector's, for errors.
    attributes : Mapping, optional
        Not kept.
    frame_attributes : Mapping, optional
        Attributes of a frame like those that will come; with them, also with none, all that frames have are kept.
    """

    mimetype = MIMETYPE

    def __init__(
        self,
        path: str | os.PathLike[str],
        geometry: Geometry,
        *,
        name: str = "image",
        attributes: Mapping[str, Any] | None = None,
        frame_attributes: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(path, geometry, name=name, attributes=attributes)
        self._beside = AttributeLines(self.path, frame_attributes, name)
        self._row = np.dtype([*ROW.descr, *((column.name, column.dtype_numpy) for column in self._beside.columns)])
        self.frames_path = self.path.with_name(f"{self.path.stem}.frames.npy")

    def _open(self) -> None:
        dtype = np.dtype(self.geometry.dtype)
        if dtype.hasobject:
            raise SinkError(f"{self.name}: to keep {dtype} in {self.path}, which is no pixel; correct the source")
        self._pixels = GrowingNpy(self.path, dtype, self.geometry.shape)
        try:
            self._rows = GrowingNpy(self.frames_path, self._row, ())
        except BaseException:
            self._pixels.close()
            self.path.unlink()
            raise

    def _changed(self, start: int, stop: int) -> Iterable[Path]:
        return self.frames_path, *self._beside.files()

    def _append(self, frames: Sequence[Frame]) -> None:
        rows = np.empty(len(frames), self._row)
        for name in ROW.names or ():
            rows[name] = [getattr(frame, name) for frame in frames]
        for name, values in self._beside.append(frames, self.kept).items():
            rows[name] = values
        self._pixels.append([as_bytes(frame.image) for frame in frames])
        self._rows.append([as_bytes(rows)])
        self._rows.publish(self.kept + len(frames))
        self._pixels.publish(self.kept + len(frames))  # from here on they count

    def _take_back(self) -> None:
        for file in (self._pixels, self._rows):
            with contextlib.suppress(OSError):
                file.take_back(self.kept)

    def _close(self, *, complete: bool) -> None:
        self._pixels.close()
        self._rows.close()
        self._beside.close()


class GrowingNpy:
    """One .npy file whose first axis grows.

    Parameters
    ----------
    path : Path
        Created; one that exists is an error.
    dtype : dtype
    shape : tuple of int
        Of one item.

    Raises
    ------
    OSError
        The system refuses it.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            write_at(fd, header(dtype, shape), 0)
            self._writer = BurstWriter(path)
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(fd)
        self._item = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        self._end = PAGE

    def append(self, pieces: list[Bytes]) -> None:
        """Write items behind the others; they do not count yet."""
        self._writer.write(pieces, self._end)
        self._end += sum(piece.size for piece in pieces)

    def publish(self, count: int) -> None:
        """Let the first `count` items count."""
        self._writer.patch(_digits(count), _COUNT_AT)

    def take_back(self, count: int) -> None:
        """Let only the first `count` items count, and give back the room of the others."""
        self.publish(count)
        self._writer.truncate(PAGE + count * self._item)

    def close(self) -> None:
        """Close; what counts stays."""
        self._writer.close()


def header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return one page of header for an array of no items yet, with their number at `_COUNT_AT`."""
    begin = _MAGIC + struct.pack("<H", PAGE - len(_MAGIC) - 2) + b"{'shape': ("
    rest = ", ".join(map(str, shape))
    said = f", {rest}), 'fortran_order': False, 'descr': {np.lib.format.dtype_to_descr(dtype)!r}}}"
    return (begin.ljust(_COUNT_AT) + _digits(0) + said.encode()).ljust(PAGE - 1) + b"\n"


def _digits(count: int) -> bytes:
    return f"{count:{_DIGITS}d}".encode()
