"""Average the frames of darks and flats into a reference that is found again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beamstream.callbacks.derived import descriptor_of
from beamstream.callbacks.flatfield import exposure_of
from beamstream.callbacks.images import DERIVED, Emit, Source, wanted
from beamstream.callbacks.work import FrameWork
from beamstream.errors import CalibrationError
from beamstream.frames import Frame
from beamstream.references import Average, Kind, Reference, ReferenceStore, stored
from beamstream.sinks.documents import SinkDocuments

KINDS = ("dark", "flat")


class ReferenceAverage:
    """Make a reference of each run of the plans `darks` and `flats`: mean and standard deviation of its frames.

    It is kept in the store, and is the stream ``<stream>_reference`` of the run, with ``<detector>_mean`` and
    ``<detector>_std``. A run that ended early makes none.

    Parameters
    ----------
    references : ReferenceStore or path-like
    """

    name = "reference"
    required = True
    derives = True

    def __init__(self, references: ReferenceStore | str | Path) -> None:
        self.store = references if isinstance(references, ReferenceStore) else ReferenceStore(references)

    def begin(self, start: Mapping[str, Any], emit: Emit) -> "AverageWork | None":
        """Begin with a run that takes darks or flats."""
        if start.get("purpose") != "reference" or start.get("reference") not in KINDS:
            return None
        return AverageWork(self.store, start, emit)


class AverageWork(FrameWork):
    """What `ReferenceAverage` does for one run."""

    def __init__(self, store: ReferenceStore, start: Mapping[str, Any], emit: Emit) -> None:
        super().__init__("reference", start, emit, wanted("raw", None))
        self.kept: list[Reference] = []
        self._store = store
        self._kind: Kind = start["reference"]
        self._averages: dict[str, Average] = {}
        self._last: dict[str, float] = {}

    def take(self, source: Source, frames: list[Frame]) -> None:
        """Add frames to the average of their detector."""
        average = self._averages.get(source.data_key)
        if average is None:
            average = self._averages[source.data_key] = Average(source.frames.geometry)
        for frame in frames:
            average.add(frame.image)
            self._last[source.data_key] = frame.timestamp

    def ended(self) -> None:
        """Keep the averages, and emit their documents; none where frames are undone."""
        if not self.complete:
            return
        wanted = self.start.get("num")
        for source in self.sources:
            average = self._averages[source.data_key]
            if wanted is not None and average.number < wanted:
                raise CalibrationError(
                    f"{source.name}: {average.number} of {wanted} frames came, too few for a {self._kind}; "
                    "take it again"
                )
            self._tell(source, self._store.keep(self._reference(source, average)))

    def _reference(self, source: Source, average: Average) -> Reference:
        mean, std = average.result()
        return Reference(
            self._kind,
            mean,
            std,
            average.number,
            source.name,
            source.frames.geometry,
            exposure_of(source.descriptor, source.data_key),
            self._last[source.data_key],
            run=self.start["uid"],
        )

    def _tell(self, source: Source, reference: Reference) -> None:
        self.kept.append(reference)
        documents = SinkDocuments(stored(reference), source.name, start=self.start)
        about = {DERIVED: source.data_key, "reference": reference.kind, "number": reference.number}
        stream = f"{source.descriptor.get('name', 'primary')}_reference"
        keys = documents.data_keys(f"derived from {source.data_key}")
        descriptor: Any = descriptor_of(self.start, stream, {source.name: keys}, {source.name: about})
        self.emit("descriptor", descriptor)
        for name, doc in documents.up_to(1, descriptor):
            self.emit(name, doc)
