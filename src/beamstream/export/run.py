"""Export a recorded run: its documents name the frames, a recorder defines how they are to be kept."""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from beamstream.callbacks.images import Source
from beamstream.callbacks.recorder import Recorder, RecorderWork
from beamstream.errors import CodecError, NoReference
from beamstream.export.angles import scanned, theta
from beamstream.export.own_references import own_references, projections
from beamstream.export.part import Part
from beamstream.export.recorded_files import ExportSource, announced_files
from beamstream.frames import Geometry
from beamstream.ops.base import Op
from beamstream.references import Kind, Reference
from beamstream.sinks.description import Description
from beamstream.sinks.hdf5_layout import Column

Progress = Callable[[int, int], object]
"""``progress(done, announced)``, frames."""

_MOST_NAMED = 100  # in the metadata of a file; a TIFF sequence has them in every one


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
        What was done to the frames, as the file describes it.
    undecoded : tuple of int
        unique_id of the frames that do not decode, and that the file therefore lacks.
    """

    detector: str
    path: Path
    frames: int
    nbytes: int
    about: Mapping[str, Any]
    undecoded: tuple[int, ...] = ()


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
    """Write the frames of a recorded run in another format, all of them that decode, or none.

    A recorded frame whose bytes are damaged is left out, and named by the result and by the files: ``undecoded`` is how
    many there are, ``undecoded_unique_ids`` which.

    What is being written is hidden and appears under its name when it is complete; nothing is left of an export
    that fails, and what a killed one left is removed by the next. Nothing is ever overwritten.

    Numbers that the run's events hold beside each frame, like the positions of motors in a step scan, come along in
    the formats that have a place for them.

    Parameters
    ----------
    documents : iterable of (name, doc)
        Of one run, in order, the start document first: what `beamstream.archive.documents.Tail` reads from its
        journal.
    recorder : Recorder
        Defines which frames, in what format, and where to.
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
    CodecError
        None of the frames decodes.
    """
    began = time.monotonic()
    start, stop, sources = announced_files(documents, recorder)
    with ExitStack() as stack:
        # a detector may have several recorded files in one run
        targets = {source.name: recorder.path(start, source) for source in sources}
        parts = {name: stack.enter_context(Part(target)) for name, target in targets.items()}
        while not (work := _Export(recorder, start, stop, parts, sources)).run(progress or _nothing):
            for part in parts.values():
                part.clear()
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
    return sum(source.announced for source in announced_files(documents, recorder)[2])


class _Export(RecorderWork):
    """Record into hidden places."""

    def __init__(
        self,
        of: Recorder,
        start: Mapping[str, Any],
        stop: Mapping[str, Any],
        parts: Mapping[str, Part],
        sources: list[ExportSource],
    ) -> None:
        super().__init__(of, start, None)
        self._stopped: float | None = stop.get("time")
        self._own: dict[str, dict[Kind, Reference]] = {}
        self._parts = parts
        self._files = sources

    def run(self, report: Progress) -> bool:
        """Write the frames that decode; return False if some turned out not to, which files name from their beginning.

        It is to be done once more then: all of them are known by now.
        """
        whole = False
        try:
            whole = self._write(report)
        finally:
            if not whole:
                self.give_up()
            for source in self._files:
                source.close()
            self.ended()
        return whole

    def _write(self, report: Progress) -> bool:
        known, announced = self._number_undecoded, sum(source.announced for source in self._files)
        self._own = own_references(self._files, self.start["uid"])
        for source in self._files:
            source.done = 0
        for source in self._files:
            for batch in source.frames.read_decodable(0, source.announced, source.leave_out):
                done = source.done + len(batch)
                if self._number_undecoded == known:
                    for row, frames in projections(source, source.readings.beside(batch, source.done)):
                        source.done = row
                        self.take(source, frames)
                source.done = done
                report(sum(s.done for s in self._files), announced)
        report(announced, announced)  # the last ones may not decode
        self._refuse_nothing()
        return self._number_undecoded == known

    @property
    def _number_undecoded(self) -> int:
        return sum(len(source.undecoded) for source in self._files)

    def _refuse_nothing(self) -> None:
        """Raise if there is no frame that decodes."""
        announced = sum(source.announced for source in self._files)
        if self._number_undecoded == announced:
            error = next(source.error for source in self._files if source.error is not None)
            raise CodecError(f"export: {announced} frames asked for, none of them decodes; of the last: {error}")

    def place(self, source: Source) -> Path:
        return self._parts[source.name].path

    def columns(self, source: Source) -> tuple[Column, ...]:
        readings = source.readings.columns if isinstance(source, ExportSource) else ()
        return super().columns(source) + readings

    def about(self, source: Source, op: Op | None) -> dict[str, Any]:
        ids = self.undecoded(source)
        named: dict[str, Any] = {"undecoded": len(ids), "undecoded_unique_ids": ids[:_MOST_NAMED]} if ids else {}
        if self._of.format.has_references and (angle := self._theta(source)) is not None:
            named |= {"theta": angle.name, "theta_units": angle.units}
        return super().about(source, op) | named

    def _theta(self, source: Source) -> Column | None:
        readings = source.readings.columns if isinstance(source, ExportSource) else ()
        return theta(self.start, readings, self._of.theta)

    def reference(self, kind: Kind, source: Source) -> Reference:
        """Return what the run took itself or was corrected with, otherwise the newest that fits and was there by then.

        Until its end, or its beginning where that is not known.
        """
        own = self._own.get(source.name, {}).get(kind)
        if own is not None:
            return own
        name = source.corrected_with.get(kind) if isinstance(source, ExportSource) else None
        if name is not None and self._of.references is not None:
            with contextlib.suppress(NoReference):  # it was an array, or a file of somebody else's
                return self._of.references.named(name)
        return self.newest(kind, source, until=self._stopped or self.start.get("time"))

    def description(
        self, source: Source, op: Op | None, geometry: Geometry, references: Mapping[Kind, Reference]
    ) -> Description:
        """Return also what the run scanned, the angle of the sample, and when it ended."""
        readings = source.readings.columns if isinstance(source, ExportSource) else ()
        return replace(
            super().description(source, op, geometry, references),
            stopped=self._stopped,
            scanned=scanned(self.start, readings),
            theta=self._theta(source) if self._of.format.has_references else None,
        )

    def undecoded(self, source: Source) -> list[int]:
        """Return the unique_id of the frames that the file of a detector lacks."""
        files = (file for file in self._files if file.name == source.name)
        return [
            unique_id
            for file in files
            for row, unique_id in sorted(file.undecoded.items())
            if row % self._of.stride == 0
        ]


def _exported(source: Source, work: _Export, path: Path) -> ExportedFile:
    frames, about = work.kept(source)
    return ExportedFile(source.name, path, frames, _size(path), about, tuple(work.undecoded(source)))


def _size(path: Path) -> int:
    files = (p for p in path.rglob("*") if p.is_file()) if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.exists())  # none where no frame decodes


def _nothing(_done: int, _announced: int) -> None:
    """Report nothing."""
