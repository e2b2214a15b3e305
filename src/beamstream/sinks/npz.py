"""Keep frames, their times and their axes in one .npz file, which ``np.load`` opens."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import SinkError
from beamstream.frames import Frame, Geometry
from beamstream.sinks.attribute_lines import AttributeLines
from beamstream.sinks.axes import Axes, times
from beamstream.sinks.direct import as_bytes
from beamstream.sinks.disk import sync_file
from beamstream.sinks.hdf5_layout import SCALARS, Column
from beamstream.sinks.npy import GrowingNpy
from beamstream.sinks.one_run import OneRun
from beamstream.sinks.zarr_layout import jsonable

MIMETYPE = "application/x-npz"
"""What a stream_resource document would call this format; tiled reads no such file."""

_BLOCK = 1 << 20  # bytes
_ROWS = 1 << 16  # at once


class NpzSink(OneRun):
    """Keep the frames of one run in one .npz file: ``np.load(path)["spectrum"]``, without pickle.

    Its arrays are ``spectrum`` (or ``image``: one row a frame), ``time`` (datetime64, UTC), ``unique_id``,
    ``timestamp`` and ``received`` (s since 1970-01-01 UTC), whatever else is kept of each frame, and of spectra
    ``frequency_mhz`` and ``polarization``. ``about`` is JSON text with the rest.

    A zip file has its table of contents at the end. Until the run is over, and after a kill of the writer, the frames
    are in a directory beside it, ``run.npz.parts``: ``spectrum.npy`` and ``frames.npy``, which can be loaded while
    they grow. Closing packs them, in blocks, and so needs room for both for a moment; where there is none the
    directory stays.

    Parameters
    ----------
    path : path-like
        The file to create; one that exists is never touched.
    geometry : Geometry
        Of every frame of the run.
    name : str
        The detector's.
    attributes : Mapping, optional
        Kept in ``about``.
    axes : Axes, optional
        Of spectra.
    columns : sequence of Column
        What else is kept of each frame, from its attributes.
    frame_attributes : Mapping, optional
        Attributes of a frame like those that will come; with them, also with none, all that frames have are kept.
        What fits no column is in ``attribute_changes``: bytes, lines of JSON, see
        `beamstream.sinks.attribute_lines.AttributeLines`.
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
        self.parts = self.path.with_name(f"{self.path.name}.parts")
        self._axes = axes
        self._columns = columns
        self._beside = AttributeLines(self._frames_path, frame_attributes, name, columns)
        self._pixels_name = "image" if axes is None else "spectrum"

    @property
    def _kept_of_each(self) -> tuple[Column, ...]:
        return (*SCALARS, *self._columns, *self._beside.columns)

    @property
    def _frames_path(self) -> Path:
        return self.parts / "frames.npy"

    @property
    def _pixels_path(self) -> Path:
        return self.parts / f"{self._pixels_name}.npy"

    @property
    def _growing(self) -> Path:
        return self.parts

    def _changed(self, start: int, stop: int) -> Iterable[Path]:
        return self._frames_path, self._pixels_path, *self._beside.files()

    def _open(self) -> None:
        dtype = np.dtype(self.geometry.dtype)
        if dtype.hasobject:
            raise SinkError(f"{self.name}: to keep {dtype} in {self.path}, which is no pixel; correct the source")
        if os.path.lexists(self.path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.path))
        self._row = np.dtype(
            [("time", "<M8[us]"), *((column.name, column.dtype_numpy) for column in self._kept_of_each)]
        )
        self.parts.mkdir()
        try:
            self._pixels = GrowingNpy(self._pixels_path, dtype, self.geometry.shape)
            self._rows = GrowingNpy(self._frames_path, self._row, ())
        except BaseException:
            shutil.rmtree(self.parts, ignore_errors=True)
            raise

    def _append(self, frames: Sequence[Frame]) -> None:
        self._pixels.append([as_bytes(frame.image) for frame in frames])
        self._rows.append([as_bytes(self._numbers(frames))])
        self._rows.publish(self.kept + len(frames))
        self._pixels.publish(self.kept + len(frames))  # from here on they count

    def _numbers(self, frames: Sequence[Frame]) -> NDArray[Any]:
        rows = np.empty(len(frames), self._row)
        rows["time"] = times(frames)
        for column in SCALARS:
            rows[column.name] = [getattr(frame, column.name) for frame in frames]
        for column in self._columns:
            rows[column.name] = [frame.attributes.get(column.name, 0) for frame in frames]
        for name, values in self._beside.append(frames, self.kept).items():
            rows[name] = values
        return rows

    def _take_back(self) -> None:
        for file in (self._pixels, self._rows):
            with contextlib.suppress(OSError):
                file.take_back(self.kept)

    def _close(self, *, complete: bool) -> None:
        self._pixels.close()
        self._rows.close()
        self._beside.close()
        if complete:
            self._pack(complete=True)
            return
        with contextlib.suppress(OSError):  # an error is on its way already, and the frames are in the directory
            self._pack(complete=False)

    def _pack(self, *, complete: bool) -> None:
        """Make the file of what is in the directory, which goes away."""
        packed = self.parts / "packed"
        try:
            with ZipFile(packed, "x") as file:
                self._put_pixels(file)
                self._put_rows(file)
                for name, array in self._rest(complete).items():
                    with _member(file, name) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
            if os.path.lexists(self.path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.path))
            sync_file(packed)  # what it is made of goes away
            packed.rename(self.path)
        except BaseException:
            packed.unlink(missing_ok=True)
            raise
        shutil.rmtree(self.parts, ignore_errors=True)

    def _put_pixels(self, file: ZipFile) -> None:
        with _member(file, self._pixels_name) as member, self._pixels_path.open("rb") as pixels:
            shutil.copyfileobj(pixels, member, _BLOCK)

    def _put_rows(self, file: ZipFile) -> None:
        """Put each number of the frames into an array of its own."""
        rows = np.load(self._frames_path, mmap_mode="r" if self.kept else None)
        for name in self._row.names or ():
            descr = np.lib.format.dtype_to_descr(self._row[name])
            header = {"descr": descr, "fortran_order": False, "shape": (self.kept,)}
            with _member(file, name) as member:
                np.lib.format.write_array_header_1_0(member, header)
                for start in range(0, self.kept, _ROWS):
                    member.write(rows[name][start : min(start + _ROWS, self.kept)].tobytes())

    def _rest(self, complete: bool) -> dict[str, NDArray[Any]]:
        """Return the arrays that do not grow."""
        about: dict[str, Any] = dict(self._attributes) | {
            "creator": "beamstream",
            "detector": self.name,
            "complete": complete,
        }
        arrays: dict[str, NDArray[Any]] = {}
        if self._axes is not None:
            about |= {"dims": ["time", *self._axes.dims], "units": self._axes.units}
            arrays["frequency_mhz"] = self._axes.frequency
            if self._axes.polarizations:
                arrays["polarization"] = np.array(self._axes.polarizations)
        if self._beside.path.exists():
            arrays["attribute_changes"] = np.fromfile(self._beside.path, np.uint8)
        return arrays | {"about": np.array(json.dumps(jsonable(about), allow_nan=False))}


def _member(file: ZipFile, name: str) -> IO[bytes]:
    return file.open(ZipInfo(f"{name}.npy"), "w", force_zip64=True)  # nobody knows before how long it gets
