"""Keep spectra, or small images, as lines of text that every program reads."""

import contextlib
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from beamstream.errors import SinkError
from beamstream.frames import Frame, Geometry
from beamstream.sinks import hdf5_spectra
from beamstream.sinks.attribute_lines import AttributeLines
from beamstream.sinks.axes import Axes, times
from beamstream.sinks.burst import BurstWriter
from beamstream.sinks.hdf5_layout import Column
from beamstream.sinks.one_run import OneRun

MIMETYPE = "text/csv"
"""What a stream_resource document would call this format; tiled has no reader for it."""

MOST_VALUES = 100_000
"""In one line: a spectrum of any instrument, an image of 300 × 300."""


class CsvSink(OneRun):
    """Keep the frames of one run in one CSV file, a line a spectrum, first of all its time.

    The columns are ``time`` (ISO 8601, UTC, of a spectrum's last sample), ``unique_id``, then one for each channel,
    headed by its frequency: ``14.35546875 MHz``. Where there are several beams or polarisations a spectrum has a line
    for each, and names it in the columns ``beam`` and ``polarization``: the header stays one of frequencies, and
    a table is filtered by these columns. Images have one line each, and a column a pixel: ``row_column``.

    Numbers have as many digits as bring them back bit by bit. A killed writer may leave the beginning of a line behind
    the last whole one. ``attributes`` have no place in this format, and are not kept. Attributes of frames are columns
    behind the values; what fits none is in ``<path>.attributes.jsonl``, see
    `beamstream.sinks.attribute_lines.AttributeLines`.

    Parameters
    ----------
    path : path-like
        The file to create; one that exists is never touched.
    geometry : Geometry
        Of every frame of the run; not more than `MOST_VALUES` values.
    name : str
        The detector's, for errors.
    attributes : Mapping, optional
        Not kept.
    axes : Axes, optional
        Of spectra.
    columns : sequence of Column
        What else is kept of each frame, from its attributes, between ``unique_id`` and the values; not what belongs
        to spectra alone (`beamstream.sinks.hdf5_spectra.COLUMNS`).
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
        axes: Axes | None = None,
        columns: Sequence[Column] = (),
        frame_attributes: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(path, geometry, name=name, attributes=attributes)
        self._axes = axes
        of_spectra = {column.name for column in hdf5_spectra.COLUMNS}
        self._columns = [column.name for column in columns if column.name not in of_spectra]
        self._beside = AttributeLines(self.path, frame_attributes, name, columns)
        self._dtype = np.dtype(geometry.dtype).newbyteorder("=")

    def _open(self) -> None:
        per_line = math.prod(self.geometry.shape) if self._axes is None else len(self._axes.frequency)
        if per_line > MOST_VALUES:
            raise SinkError(
                f"{self.name}: to keep {self.geometry} in {self.path}, a line would have {per_line} values "
                f"({MOST_VALUES} at most); use hdf5, npz or zarr"
            )
        if self._dtype.kind not in "iuf":
            raise SinkError(f"{self.name}: to keep {self._dtype} in {self.path}, which is no number; use HDF5")
        self._labels = list(_labels(self._axes, self.geometry.shape))
        os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            self._writer = BurstWriter(self.path)
        except BaseException:
            self.path.unlink()
            raise
        self._end = 0
        try:
            self._write(",".join(self._header()).encode() + b"\n")
        except BaseException:
            self._writer.close()
            self.path.unlink()
            raise
        self._kept_end = self._end

    def _header(self) -> Iterator[str]:
        yield from ("time", "unique_id")
        yield from (f'"{name}"' if "," in name else name for name in self._columns)
        if self._axes is not None:
            yield from _several(self._axes, self.geometry.shape)
            yield from (f"{frequency!r} MHz" for frequency in self._axes.frequency.tolist())
        else:
            yield from ("_".join(map(str, index)) for index in np.ndindex(self.geometry.shape))
        yield from (column.name for column in self._beside.columns)

    def _append(self, frames: Sequence[Frame]) -> None:
        stamps = np.datetime_as_string(times(frames), unit="us", timezone="UTC")
        lines: list[bytes] = []
        beside = [list(map(_cell, array.tolist())) for array in self._beside.append(frames, self.kept).values()]
        for number, (frame, stamp) in enumerate(zip(frames, stamps, strict=True)):
            also = [str(frame.attributes.get(name, "")) for name in self._columns]
            begin = ",".join([str(stamp), str(frame.unique_id), *also, ""]).encode()
            for label, row in zip(self._labels, self._rows(frame), strict=True):
                lines += (begin, label, row, *(values[number] for values in beside), b"\n")
        self._write(b"".join(lines))
        self._kept_end = self._end

    def _rows(self, frame: Frame) -> Iterator[bytes]:
        """Yield the values of each line of a frame."""
        values = np.asarray(frame.image, self._dtype)
        if self._axes is None:
            values = values.reshape(1, -1)
        else:
            last = np.moveaxis(values, self._axes.dims.index("frequency"), -1)
            values = last.reshape(-1, last.shape[-1])
        for row in np.ascontiguousarray(values):
            yield _text(row)

    def _write(self, text: bytes) -> None:
        self._writer.write([np.frombuffer(text, np.uint8)], self._end)
        self._end += len(text)

    def _take_back(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.truncate(self._kept_end)

    def _changed(self, start: int, stop: int) -> Iterable[Path]:
        return self._beside.files()

    def _close(self, *, complete: bool) -> None:
        self._writer.close()
        self._beside.close()


def _cell(value: Any) -> bytes:
    """Return a value of an attribute as a further cell of a line: text in quotes where it has to be."""
    text = value if isinstance(value, bytes) else str(value).encode()
    return b',"%s"' % text.replace(b'"', b'""') if any(c in text for c in b',"\r\n') else b"," + text


def _labels(axes: Axes | None, shape: tuple[int, ...]) -> Iterator[bytes]:
    """Yield the beam and polarisation columns of each line of a frame."""
    if axes is None:
        yield b""
        return
    several = _several(axes, shape)
    places = []
    for dim, size in zip(axes.dims, shape, strict=True):
        if dim != "frequency":
            names = axes.polarizations if dim == "polarization" else tuple(map(str, range(size)))
            places.append([f"{name}," if dim in several else "" for name in names])
    yield from ("".join(line).encode() for line in itertools.product(*places))


def _several(axes: Axes, shape: tuple[int, ...]) -> list[str]:
    """Return which axes but that of the frequencies have more than one place."""
    return [dim for dim, size in zip(axes.dims, shape, strict=True) if dim != "frequency" and size > 1]


def _text(values: NDArray[Any]) -> bytes:
    """Return numbers with as many digits as each needs, commas between them."""
    text = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return text
    words = text.split(b",")
    for place in np.flatnonzero(~np.isfinite(values)):  # JSON has no word for these
        words[place] = str(values[place]).encode()
    return b",".join(words)
