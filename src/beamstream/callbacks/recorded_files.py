"""Which recorded files of grey images the documents of a run announce, and how many frames are in each."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from beamstream.callbacks.images import image_keys, object_name, wanted
from beamstream.file_uri import path_of
from beamstream.rheed.job import Owner
from beamstream.rheed.options import Recorded
from beamstream.sinks.hdf5 import MIMETYPE


@dataclass(slots=True)
class RecordedFile:
    """One file, and the frames in it that were announced so far."""

    what: Recorded
    announced: int = 0


class RecordedFiles:
    """Gather files while the documents of one run pass.

    Parameters
    ----------
    start : Mapping
        The run's start document.
    stream : str
        ``"raw"``, or the name of what is derived in the same run, like ``"corrected"``.
    detectors : collection of str, optional
        Of these; of all by default.
    owner : Owner, optional
        Who records, if the run goes on.
    """

    def __init__(
        self,
        start: Mapping[str, Any],
        stream: str = "raw",
        detectors: Collection[str] | None = None,
        owner: Owner | None = None,
    ) -> None:
        self.not_grey: dict[str, str] = {}
        """What images are that were chosen and cannot be taken, by data key."""
        self._start = start
        self._owner = owner
        self._select = wanted(stream, detectors)
        self._descriptors: dict[str, Mapping[str, Any]] = {}  # by data key
        self._files: dict[str, RecordedFile] = {}  # by uid of the resource
        self._ledger: dict[str, int] = {}  # frames recorded, by detector

    def __call__(self, name: str, doc: Mapping[str, Any]) -> RecordedFile | None:
        """Follow a document; return the file that it is the first to announce."""
        match name:
            case "descriptor":
                self._describe(doc)
            case "stream_resource" if doc.get("mimetype") == MIMETYPE and doc["data_key"] in self._descriptors:
                return self._begin(doc)
            case "stream_datum" if doc["stream_resource"] in self._files:
                file = self._files[doc["stream_resource"]]
                file.announced = max(file.announced, doc["indices"]["stop"])
            case "event":
                self._note_ledger(doc["data"])
        return None

    @property
    def files(self) -> list[RecordedFile]:
        """The files so far."""
        return list(self._files.values())

    def frames(self, file: RecordedFile) -> int:
        """Return how many frames a file has: those announced, or more where a plan ended before it announced all."""
        detector = file.what.detector
        alone = sum(other.what.detector == detector for other in self._files.values()) == 1
        return max(file.announced, self._ledger.get(detector, 0) if alone else 0)

    def _describe(self, doc: Mapping[str, Any]) -> None:
        for data_key in image_keys(doc):
            about = doc["data_keys"][data_key]
            if not self._select(doc, data_key) or "dims" in about:  # those of spectra have names
                continue
            if len(about["shape"]) == 2 and about.get("color_mode", "mono") == "mono":
                self._descriptors[data_key] = doc
            else:
                self.not_grey[data_key] = f"{' × '.join(map(str, about['shape']))} {about.get('color_mode', '')}"

    def _begin(self, resource: Mapping[str, Any]) -> RecordedFile | None:
        data_key = resource["data_key"]
        descriptor = self._descriptors[data_key]
        name = object_name(descriptor, data_key)
        path = path_of(resource["uri"])
        if any(path == file.what.path for file in self._files.values()):
            return None  # announced for another stream
        file = self._files[resource["uid"]] = RecordedFile(
            Recorded(
                start=self._start,
                detector=name,
                path=path,
                dataset=resource["parameters"]["dataset"],
                dtype=descriptor["data_keys"][data_key]["dtype_numpy"],
                configuration=descriptor.get("configuration", {}).get(name, {}).get("data", {}),
                owner=self._owner,
            )
        )
        return file

    def _note_ledger(self, data: Mapping[str, Any]) -> None:
        for file in self._files.values():
            recorded = data.get(f"{file.what.detector}_ledger_recorded")
            if isinstance(recorded, int):
                self._ledger[file.what.detector] = recorded
