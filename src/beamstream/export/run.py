"""Export a recorded run: its documents say which frames there are, a recorder how they are to be kept."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beamstream.callbacks.images import Source, image_keys, wanted
from beamstream.callbacks.recorder import Recorder, RecorderWork
from beamstream.errors import ArchiveError
from beamstream.export.ahead import ReadAhead
from beamstream.export.part import Part
from beamstream.export.readings import Readings, RowReadings
from beamstream.recorded import RecordedFrames
from beamstream.sinks.disk import explained
from beamstream.sinks.hdf5 import MIMETYPE
from beamstream.sinks.hdf5_layout import Column

Progress = Callable[[int, int], object]
"""``progress(done, announced)``, frames."""


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """What one detector's frames became.

    Parameters
    ----------
    detector : str
    path : Path
        A file, or a directory for TIFF sequences and Zarr.
    frames : int
    nbytes : int
        On disk.
    about : dict
        What was done to the frames, as the file says it.
    """

    detector: str
    path: Path
    frames: int
    nbytes: int
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export made, and how long it took, s."""

    run: str
    scan_id: int | None
    files: tuple[ExportedFile, ...]
    seconds: float


def export_run(
    documents: Iterable[tuple[str, Mapping[str, Any]]], recorder: Recorder, *, progress: Progress | None = None
) -> ExportResult:
    """Write the frames of a recorded run in another format, all of them or none.

    What is being written is hidden and appears under its name when it is complete; nothing is left of an export
    that fails, and what a killed one left is removed by the next. Nothing is ever overwritten.

    Numbers that the run's events say beside each frame, like the positions of motors in a step scan, come along in
    the formats that have a place for them.

    Parameters
    ----------
    documents : iterable of (name, doc)
        Of one run, in order, the start document first: what `beamstream.archive.documents.Tail` reads from its
        journal.
    recorder : Recorder
        Says which frames, in what format, and where to.
    progress : callable, optional
        ``progress(done, announced)``, frames; called in this thread after each batch.

    Raises
    ------
    ArchiveError
        The run has no such frames, or they are not on this machine.
    DiskFull, SinkError
        They cannot be read, or not be written; or there is something already.
    CalibrationError
        There is no dark or flat that fits.
    """
    began = time.monotonic()
    start, sources = _announced(documents, recorder)
    announced = sum(source.announced for source in sources)
    with ExitStack() as stack:
        # a detector may have several recorded files in one run
        targets = {source.name: recorder.path(start, source) for source in sources}
        parts = {name: stack.enter_context(Part(target)) for name, target in targets.items()}
        work = _Export(recorder, start, parts)
        try:
            for source in sources:
                _copy(source, work, lambda: progress and progress(sum(s.done for s in sources), announced))
        finally:
            for source in sources:
                source.close()
            work.ended()
        for part in parts.values():
            part.publish()
    files = tuple(_exported(source, work, targets[name]) for name, source in {s.name: s for s in sources}.items())
    return ExportResult(start["uid"], start.get("scan_id"), files, time.monotonic() - began)


def count_frames(documents: Iterable[tuple[str, Mapping[str, Any]]], recorder: Recorder) -> int:
    """Count the frames that `export_run` would read.

    Raises
    ------
    ArchiveError
        There are none, or they are not on this machine.
    """
    return sum(source.announced for source in _announced(documents, recorder)[1])


class _File(Source):
    """One recorded file of a run that was; no ring has its frames."""

    readings = RowReadings((), {})

    @property
    def frames(self) -> RecordedFrames:
        if self._frames is None:
            with explained("export", "read", self.path):
                self._frames = ReadAhead(self.path, dataset=self.dataset)
        return self._frames


class _Export(RecorderWork):
    """Record into hidden places."""

    def __init__(self, of: Recorder, start: Mapping[str, Any], parts: Mapping[str, Part]) -> None:
        super().__init__(of, start, None)
        self._parts = parts

    def place(self, source: Source) -> Path:
        return self._parts[source.name].path

    def columns(self, source: Source) -> tuple[Column, ...]:
        readings = source.readings.columns if isinstance(source, _File) else ()
        return super().columns(source) + readings


def _announced(
    documents: Iterable[tuple[str, Mapping[str, Any]]], recorder: Recorder
) -> tuple[Mapping[str, Any], list[_File]]:
    """Return the start document, and the recorded files with frames that the recorder wants.

    Raises
    ------
    ArchiveError
        There are none, or one of the files is not here.
    """
    start: Mapping[str, Any] = {}
    descriptors: dict[str, Mapping[str, Any]] = {}
    resources: dict[str, Mapping[str, Any]] = {}
    sources: dict[str, _File] = {}
    readings = Readings()
    for name, doc in documents:
        readings.take(name, doc)
        match name:
            case "start":
                start = doc
            case "descriptor":
                descriptors[doc["uid"]] = doc
            case "stream_resource":
                resources[doc["uid"]] = doc
            case "stream_datum":
                resource, descriptor = resources[doc["stream_resource"]], descriptors[doc["descriptor"]]
                if doc["stream_resource"] not in sources and _is_wanted(descriptor, resource, recorder):
                    sources[doc["stream_resource"]] = _File(descriptor, resource)
                if source := sources.get(doc["stream_resource"]):
                    source.announced = max(source.announced, doc["indices"]["stop"])
    if not sources:
        raise ArchiveError(_nothing(start, descriptors, recorder))
    for resource, source in sources.items():
        source.readings = readings.of(resource)
        if not source.path.is_file():
            raise ArchiveError(
                f"export: frames of {source.name} asked for, {source.path} is not on this machine; run the export "
                f"where it is, or read over HTTP: `beamstream runs show {start['uid'][:8]}` says how"
            )
    return start, list(sources.values())


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


def _copy(source: _File, work: RecorderWork, tell: Callable[[], object]) -> None:
    for batch in source.frames.read(0, source.announced):
        work.take(source, source.readings.beside(batch, source.done))
        source.done += len(batch)
        tell()


def _exported(source: Source, work: RecorderWork, path: Path) -> ExportedFile:
    frames, about = work.kept(source)
    return ExportedFile(source.name, path, frames, _size(path), about)


def _size(path: Path) -> int:
    files = (p for p in path.rglob("*") if p.is_file()) if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files)
