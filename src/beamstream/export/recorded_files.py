"""The recorded files of a run that an export reads: those that documents announce, and which frames do not decode."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, get_args

from beamstream.callbacks.images import DERIVED, Source, image_keys, wanted
from beamstream.callbacks.recorder import Recorder
from beamstream.errors import ArchiveError, CodecError
from beamstream.export.ahead import ReadAhead
from beamstream.export.readings import Readings, RowReadings
from beamstream.recorded import RecordedFrames
from beamstream.references import Kind
from beamstream.sinks.disk import explained
from beamstream.sinks.hdf5 import MIMETYPE


class ExportSource(Source):
    """One recorded file of a run that was; no ring has its frames.

    Attributes
    ----------
    readings : RowReadings
        What the run's events hold beside its frames.
    corrected_with : dict of str to str
        The names of the flat and the dark that its frames were corrected with in the run.
    own_references : list of (str, range)
        Which rows are darks and flats that the run took in streams of their own, where the format has a place for them.
    undecoded : dict of int to int
        unique_id by row, of the frames that are known not to decode.
    error : CodecError, optional
        Of the last of them.
    """

    def __init__(self, descriptor: Mapping[str, Any], resource: Mapping[str, Any]) -> None:
        super().__init__(descriptor, resource)
        self.readings = RowReadings((), {})
        self.corrected_with: dict[Kind, str] = {}
        self.own_references: list[tuple[Kind, range]] = []
        self.undecoded: dict[int, int] = {}
        self.error: CodecError | None = None

    @property
    def frames(self) -> RecordedFrames:
        """Where the rows are read, each batch while the one before is worked on."""
        if self._frames is None:
            with explained("export", "read", self.path):
                self._frames = ReadAhead(self.path, dataset=self.dataset)
        return self._frames

    def leave_out(self, row: int, error: CodecError) -> None:
        """Note that the frame of a row does not decode."""
        self.undecoded[row] = self.frames.unique_id(row)
        self.error = error
        self.done = row + 1


def announced_files(
    documents: Iterable[tuple[str, Mapping[str, Any]]], recorder: Recorder
) -> tuple[Mapping[str, Any], Mapping[str, Any], list[ExportSource]]:
    """Return the start and the stop document, and the recorded files with frames that the recorder wants.

    A run that has not ended has an empty stop document.

    Raises
    ------
    ArchiveError
        There are none, or one of the files is not here.
    """
    start: Mapping[str, Any] = {}
    stop: Mapping[str, Any] = {}
    descriptors: dict[str, Mapping[str, Any]] = {}
    resources: dict[str, Mapping[str, Any]] = {}
    sources: dict[str, ExportSource] = {}
    readings = Readings()
    for name, doc in documents:
        readings.take(name, doc)
        match name:
            case "start":
                start = doc
            case "stop":
                stop = doc
            case "descriptor":
                descriptors[doc["uid"]] = doc
            case "stream_resource":
                resources[doc["uid"]] = doc
            case "stream_datum":
                resource, descriptor = resources[doc["stream_resource"]], descriptors[doc["descriptor"]]
                if doc["stream_resource"] not in sources and _is_wanted(descriptor, resource, recorder):
                    sources[doc["stream_resource"]] = ExportSource(descriptor, resource)
                if source := sources.get(doc["stream_resource"]):
                    source.announced = max(source.announced, doc["indices"]["stop"])
                    if recorder.format.has_references and (kind := _kind_of_stream(descriptor)) is not None:
                        source.own_references.append((kind, range(doc["indices"]["start"], doc["indices"]["stop"])))
    if not sources:
        raise ArchiveError(_nothing(start, descriptors, recorder))
    _forget_references_alone(sources.values())
    for resource, source in sources.items():
        source.readings = readings.of(resource)
        source.corrected_with = _corrected_with(source.data_key, descriptors.values())
        if not source.path.is_file():
            raise ArchiveError(
                f"export: frames of {source.name} asked for, {source.path} is not on this machine; run the export "
                f"where it is, or read over HTTP: `beamstream runs show {start['uid'][:8]}` shows how; if it moved, "
                "`beamstream archive moved FROM TO` makes it found"
            )
    return start, stop, list(sources.values())


def _corrected_with(data_key: str, descriptors: Iterable[Mapping[str, Any]]) -> dict[Kind, str]:
    """Return which references the run itself corrected images with."""
    found: dict[Kind, str] = {}
    for descriptor in descriptors:
        for about in descriptor.get("configuration", {}).values():
            made = about["data"]
            if made.get(DERIVED) == data_key:
                found |= {kind: made[f"{kind}_name"] for kind in get_args(Kind) if made.get(f"{kind}_name")}
    return found


def _kind_of_stream(descriptor: Mapping[str, Any]) -> Kind | None:
    """Return of what kind the frames of a stream are, by its name: ``dark``, ``darks``, ``flat_before``."""
    name = str(descriptor.get("name", "")).lower()
    return next((kind for kind in get_args(Kind) if name.startswith(kind)), None)


def _forget_references_alone(sources: Collection[ExportSource]) -> None:
    """Take the darks and flats of a detector that has nothing else in the run for its frames."""
    for name in {source.name for source in sources}:
        of_detector = [source for source in sources if source.name == name]
        references = sum(len(rows) for source in of_detector for _, rows in source.own_references)
        if references == sum(source.announced for source in of_detector):
            for source in of_detector:
                source.own_references = []


def _is_wanted(descriptor: Mapping[str, Any], resource: Mapping[str, Any], recorder: Recorder) -> bool:
    key = resource["data_key"]
    if resource.get("mimetype") != MIMETYPE or key not in image_keys(descriptor):
        return False
    return wanted(recorder.stream, recorder.detectors)(descriptor, key)


def _nothing(start: Mapping[str, Any], descriptors: Mapping[str, Mapping[str, Any]], recorder: Recorder) -> str:
    keys = dict.fromkeys(key for descriptor in descriptors.values() for key in image_keys(descriptor))
    of = "" if recorder.detectors is None else f" of {', '.join(recorder.detectors)}"
    there = f"with frames are {', '.join(keys)}" if keys else "there are none at all"
    return (
        f"export: {recorder.stream} frames{of} asked for, run {start.get('uid', '?')[:8]} has none ({there}); "
        "choose another --stream, --detector or run"
    )
