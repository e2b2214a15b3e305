"""The intensity curves of a recorded run: those that were kept, or of any region afterwards."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.callbacks.derived_table import MADE
from beamstream.callbacks.images import Source, image_keys, wanted
from beamstream.callbacks.intensity import Region, intensities, refuse_outside
from beamstream.errors import ArchiveError
from beamstream.file_uri import path_of
from beamstream.recorded import RecordedFrames
from beamstream.sinks.disk import explained
from beamstream.sinks.hdf5 import MIMETYPE

Documents = Iterable[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class IntensityCurve:
    """The intensity of one region against time.

    Attributes
    ----------
    detector, region : str
    times : ndarray of float64
        s since 1970-01-01 UTC.
    values : ndarray of float64
        Counts.
    rotations_per_min : float
        Of the sample, where the run holds it; 0 otherwise.
    undecoded : int
        Frames that are not in the curve because their recorded bytes do not decode.
    """

    detector: str
    region: str
    times: NDArray[np.float64]
    values: NDArray[np.float64]
    rotations_per_min: float = 0.0
    undecoded: int = 0


def kept_curves(documents: Documents, *, detectors: Collection[str] | None = None) -> list[IntensityCurve]:
    """Return the curves that `beamstream.callbacks.intensity.Intensity` kept in a run.

    Raises
    ------
    ArchiveError
        There are none.
    SinkError
        Their file cannot be read.
    """
    found: list[IntensityCurve] = []
    for descriptor, rows in _announced(documents):
        for group, about in descriptor.get("configuration", {}).items():
            settings = about["data"]
            if settings.get(MADE) == "intensity" and (detectors is None or settings["detector"] in detectors):
                keys = [key for key in descriptor["object_keys"][group] if key in rows]
                found += _read(settings, {key: rows[key] for key in keys})
    if not found:
        raise ArchiveError("growth rate: the run kept no intensities; give a region")
    return found


def measured_curve(
    documents: Documents,
    region: Region,
    *,
    detectors: Collection[str] | None = None,
    progress: Callable[[int, int], object] = lambda _done, _all: None,
) -> list[IntensityCurve]:
    """Return the intensity of a region of the recorded frames of a run, for each detector.

    Parameters
    ----------
    documents : iterable
    region : tuple of int
        First row, first column, rows, columns.
    detectors : collection of str, optional
    progress : callable
        ``progress(done, announced)``, frames.

    Raises
    ------
    ArchiveError
        There are no frames.
    ValueError
        The region is not inside the images.
    SinkError
        They cannot be read.
    """
    select = wanted("raw", detectors)
    sources: list[tuple[Source, int]] = []
    for descriptor, rows in _announced(documents):
        for key in image_keys(descriptor):
            if key in rows and select(descriptor, key):
                refuse_outside("growth rate", {"region": region}, descriptor, key)
                sources.append((Source(descriptor, rows[key][0]), rows[key][1]))
    if not sources:
        raise ArchiveError("growth rate: the run recorded no such frames; `beamstream runs show` lists what it has")
    done, announced = 0, sum(stop for _, stop in sources)
    found = []
    for source, stop in sources:
        times: list[float] = []
        values: list[float] = []
        with RecordedFrames(source.path, dataset=source.dataset) as recorded:
            for frames in recorded.read_decodable(0, stop, lambda *_: None):
                times += [frame.timestamp for frame in frames]
                values += intensities(frames, {"region": region})["region"]
                done += len(frames)
                progress(done, announced)
        curve = np.array(times), np.array(values)
        found.append(IntensityCurve(source.name, "region", *curve, _speed(source), stop - len(times)))
    return found


def _announced(documents: Documents) -> Iterator[tuple[Mapping[str, Any], dict[str, tuple[Mapping[str, Any], int]]]]:
    """Yield each descriptor, and of its data keys in HDF5 files the resource and how many rows were announced."""
    descriptors: dict[str, Mapping[str, Any]] = {}
    resources: dict[str, Mapping[str, Any]] = {}
    rows: dict[str, dict[str, tuple[Mapping[str, Any], int]]] = {}
    for name, doc in documents:
        if name == "descriptor":
            descriptors[doc["uid"]] = doc
        elif name == "stream_resource" and doc.get("mimetype") == MIMETYPE:
            resources[doc["uid"]] = doc
        elif name == "stream_datum" and doc["stream_resource"] in resources:
            resource = resources[doc["stream_resource"]]
            rows.setdefault(doc["descriptor"], {})[resource["data_key"]] = (resource, doc["indices"]["stop"])
    for uid, of_keys in rows.items():
        yield descriptors[uid], of_keys


def _read(settings: Mapping[str, Any], rows: Mapping[str, tuple[Mapping[str, Any], int]]) -> list[IntensityCurve]:
    import h5py

    detector, when = settings["detector"], f"{settings['detector']}_intensity_time"
    resource, stop = rows[when]
    path = path_of(resource["uri"])
    with explained("growth rate", "read the intensities of", path), h5py.File(path, "r", swmr=True) as file:

        def column(key: str) -> NDArray[np.float64]:
            data: Any = file[rows[key][0]["parameters"]["dataset"]]
            return data[:stop]

        return [
            IntensityCurve(
                detector,
                key.removeprefix(f"{detector}_").removesuffix("_intensity"),
                column(when),
                column(key),
                settings.get("rotations_per_min", 0.0),
            )
            for key in rows
            if key != when
        ]


def _speed(source: Source) -> float:
    from beamstream.callbacks.axes import settings_of

    return float(settings_of(source.descriptor, source.data_key).get("rotations_per_min") or 0.0)
