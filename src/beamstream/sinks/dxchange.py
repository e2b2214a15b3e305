"""Keep frames in HDF5 as tomography programs expect them: Data Exchange."""

import contextlib
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beamstream.errors import SinkError
from beamstream.frames import Frame, Geometry
from beamstream.sinks.base import StoredArray
from beamstream.sinks.description import NO_DESCRIPTION, Description
from beamstream.sinks.disk import explained
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.sinks.hdf5_layout import Layout, create_growing, now, storable
from beamstream.sinks.units import degrees

if TYPE_CHECKING:
    import h5py

_THETA = StoredArray("<f8", (), "deg", {"dataset": "/exchange/theta", "chunk_shape": [4096]})


class DxchangeSink(Hdf5Sink):
    """Keep the frames of one run in one file that tomopy, dxchange and savu open.

    A `beamstream.sinks.hdf5.Hdf5Sink` with another layout, as fast, and readable while it grows and after a kill:
    projections in ``/exchange/data``, their angles in ``/exchange/theta``, darks and flats in
    ``/exchange/data_dark`` and ``/exchange/data_white``; ``unique_id``, ``timestamp`` and ``received`` in
    ``/measurement/frames``, what is known of the detector in ``/measurement/instrument/detector``, of the sample, who
    took it and what for in ``/measurement/sample``, of the run's times in ``/process/acquisition``. The layout
    is that of Data Exchange, "X-ray Tomography", https://github.com/data-exchange/dxfile.

    Parameters
    ----------
    path, geometry, name, attributes, direct, frame_attributes
        As for `Hdf5Sink`; `attributes` are put at ``/measurement/instrument/detector``.
    dark, white : array_like, optional
        Counts, of the frames' shape, or several of them along a new first axis.
    exposure : float, optional
        Of one frame, s.
    angles : bool
        Whether `set_angles` will be called: a growing file can be given no new dataset. Without
        ``/exchange/theta``, programs assume equal steps from 0 to 180 degrees.
    description : Description
        The scale of the pixels, the run, and dark, white, exposure and angles where they are not given by themselves:
        the angles are then in the frames' attributes, and converted to degrees.

    Raises
    ------
    ValueError
        Darks or flats have another shape than the frames.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        geometry: Geometry,
        *,
        name: str = "image",
        attributes: Mapping[str, Any] | None = None,
        direct: bool | None = None,
        dark: ArrayLike | None = None,
        white: ArrayLike | None = None,
        exposure: float | None = None,
        angles: bool = False,
        frame_attributes: Mapping[str, Any] | None = None,
        description: Description = NO_DESCRIPTION,
    ) -> None:
        self._description = description
        references = {
            "data_dark": description.dark if dark is None else dark,
            "data_white": description.white if white is None else white,
        }
        self._references = {
            key: _stack(name, key, given, geometry) for key, given in references.items() if given is not None
        }
        self._exposure = description.exposure if exposure is None else exposure
        self._theta = description.theta
        self._angles = angles or self._theta is not None
        beside = "/measurement/instrument/NDAttributes"
        layout = Layout(
            "/exchange/data", "/measurement/frames", "/exchange", self._describe, identified=False, attributes=beside
        )
        about = {"name": name, "attributes": attributes, "frame_attributes": frame_attributes}
        super().__init__(path, geometry, direct=direct, layout=layout, **about)

    def set_angles(self, degrees: ArrayLike) -> None:
        """Set at which angle each frame was taken; the last call before closing counts.

        Parameters
        ----------
        degrees : array_like of float, shape (n,)
            One for each frame kept so far.

        Raises
        ------
        ValueError
            There are more or fewer than frames.
        DiskFull, SinkError
            They cannot be kept, the sink is not open, or it was opened without `angles`.
        """
        if self._state != "open":
            raise SinkError(f"{self.name}: angles to be kept, but {self.path} is not open; set them before closing")
        if not self._angles:
            raise SinkError(f"{self.name}: angles to be kept, but {self.path} has no place; open it with angles=True")
        angles = np.asarray(degrees, "<f8")
        if angles.shape != (self.kept,):
            raise ValueError(f"{self.name}: angles of shape {angles.shape} for {self.kept} frames; give one for each")
        try:
            with explained(self.name, "keep angles in", self.path):
                self._put_angles(0, angles)
        except BaseException:
            self._state = "failed before"
            raise

    def _append(self, frames: Sequence[Frame]) -> None:
        if self._theta is not None:  # before what makes the frames count
            name, factor = self._theta.name, degrees(self._theta.units) or 1.0
            read = [frame.attributes.get(name, math.nan) for frame in frames]
            self._put_angles(self.kept, np.array(read, "<f8") * factor)
        super()._append(frames)

    def _put_angles(self, start: int, angles: NDArray[np.float64]) -> None:
        """Put the angles of the frames from `start` on, the last ones."""
        theta: Any = self._file[_THETA.parameters["dataset"]]
        size, before = self._file.id.get_filesize(), theta.shape
        try:
            theta.resize((start + len(angles),))
            self._writer.reserve(size, self._file.id.get_filesize())  # HDF5 must not be the one that finds it full
            theta[start:] = angles
            theta.flush()
        except BaseException:
            with contextlib.suppress(Exception):
                theta.resize(before)
            raise

    def _describe(self, file: "h5py.File", name: str, geometry: Geometry, attributes: Mapping[str, Any]) -> None:
        file["implements"] = "exchange:measurement"
        exchange: Any = file["exchange"]
        detector = file.create_group("/measurement/instrument/detector")
        for key, images in self._references.items():
            exchange.create_dataset(key, data=images).attrs["units"] = "counts"
        if self._angles:
            create_growing(file, _THETA)
        exchange["data"].attrs["description"] = f"images of {name}"
        if len(geometry.shape) == 2:
            exchange["data"].attrs["axes"] = "theta:y:x"
        if self._exposure is not None:
            detector["exposure_time"] = self._exposure
            detector["exposure_time"].attrs["units"] = "s"
        detector.attrs.update({key: storable(value) for key, value in attributes.items()} | {"name": name})
        self._describe_scale(detector)
        self._describe_run(file)

    def _describe_scale(self, detector: Any) -> None:
        size, unit = self._description.pixel_size, self._description.length
        if size is None:
            return
        for key, value in zip(("y_pixel_size", "x_pixel_size"), size, strict=True):
            detector[key] = value
            detector[key].attrs["units"] = storable(self._description.pixel_units)
        if unit is not None and size[0] == size[1]:  # what tomography at the APS and the ALS looks for, one element
            detector["pixel_size"] = [size[0]]
            detector["pixel_size"].attrs["units"] = unit.symbol

    def _describe_run(self, file: "h5py.File") -> None:
        about = self._description
        exchange: Any = file["exchange"]
        if self._theta is not None:
            exchange["theta"].attrs.update({"motor": self._theta.name, "motor_units": storable(self._theta.units)})
        if about.title:
            exchange.attrs["title"] = storable(about.title)
        for path, text in (
            ("/measurement/sample/name", about.sample),
            ("/measurement/sample/experimenter/name", about.user),
            ("/measurement/sample/experiment/proposal", about.proposal),
            ("/process/acquisition/start_date", about.began),
            ("/process/acquisition/end_date", about.ended),
        ):
            if text:
                file[path] = [storable(text)]  # one element each, as areaDetector writes them
        if about.start:
            file["/process/acquisition/start_document"] = [storable(dict(about.start))]
        file["measurement/frames"].attrs["start_time"] = about.began or now()


def _stack(name: str, key: str, images: ArrayLike, geometry: Geometry) -> NDArray[Any]:
    """Return reference images with an axis that counts them."""
    stack = np.asarray(images)
    if stack.shape == geometry.shape:
        stack = stack[np.newaxis]
    if stack.shape[1:] != geometry.shape:
        raise ValueError(
            f"{name}: {key} of shape {stack.shape} given, the frames have {geometry.shape}; take it from this detector"
        )
    return stack
