"""InterruptedRun: what the documents of a killed session still lack, judged by its files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from beamstream.archive.documents import Document
from beamstream.file_uri import path_of

HDF5 = "application/x-hdf5"


@dataclass(slots=True)
class _Resource:
    """One recorded file and how much of it was announced."""

    doc: dict[str, Any]
    stream: str = ""
    announced: bool = False
    start: int = 0
    stop: int = 0
    next_seq_num: int = 1


@dataclass(slots=True)
class _Stream:
    descriptor: dict[str, Any]
    events: int = 0
    resources: dict[str, _Resource] = field(default_factory=dict)  # the latest, by data key

    @property
    def external(self) -> list[str]:
        return [key for key, about in self.descriptor["data_keys"].items() if "external" in about]


class InterruptedRun:
    """Find out what a run without a stop document recorded, and compose the documents that it lacks.

    Parameters
    ----------
    documents : sequence of Document
        From the run's journal, in order, the start document first.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        self.start = documents[0].doc
        self.notes: list[str] = []
        self._streams: dict[str, _Stream] = {}
        self._names: dict[str, str] = {}  # of streams, by the uid of their descriptors
        self._resources: dict[str, _Resource] = {}
        for name, doc in documents[1:]:
            take = getattr(self, f"_{name}", None)
            if take is not None:
                take(doc)

    @property
    def files(self) -> list[Path]:
        """The HDF5 files of the run that are on this machine."""
        paths = {_path(r.doc): None for r in self._resources.values() if r.doc.get("mimetype") == HDF5}
        return [path for path in paths if path.is_file()]

    def unannounced(self) -> list[dict[str, Any]]:
        """Return stream_datum documents for frames that are in the files and were never announced.

        Of a stream with several detectors, as many frames as all of them have. Streams with events are left
        alone: there an event says which frames belong together.
        """
        found: list[dict[str, Any]] = []
        for stream in self._streams.values():
            keys = stream.external
            if stream.events or not keys or any(key not in stream.resources for key in keys):
                continue
            available = [self._available(stream, stream.resources[key]) for key in keys]
            end = min(available)
            found += [d for key in keys if (d := _datum(stream, stream.resources[key], end)) is not None]
        return found

    def num_events(self, added: Sequence[dict[str, Any]]) -> dict[str, int]:
        """Return events, or frames where there are no events, by stream."""
        numbers = {}
        for name, stream in self._streams.items():
            ends = [r.next_seq_num for r in stream.resources.values()]
            mine = {r.doc["uid"] for r in stream.resources.values()}
            ends += [d["seq_nums"]["stop"] for d in added if d["stream_resource"] in mine]
            numbers[name] = stream.events or max(ends, default=1) - 1
        return numbers

    def _descriptor(self, doc: dict[str, Any]) -> None:
        name = doc.get("name", "primary")
        self._names[doc["uid"]] = name
        if name in self._streams:
            self._streams[name].descriptor = doc
        else:
            self._streams[name] = _Stream(doc)

    def _event(self, doc: dict[str, Any]) -> None:
        self._streams[self._names[doc["descriptor"]]].events += 1

    def _event_page(self, doc: dict[str, Any]) -> None:
        self._streams[self._names[doc["descriptor"]]].events += len(doc["seq_num"])

    def _stream_resource(self, doc: dict[str, Any]) -> None:
        key = doc["data_key"]
        resource = self._resources[doc["uid"]] = _Resource(doc)
        homes = [name for name, stream in self._streams.items() if key in stream.external]
        if homes:  # the first stream_datum corrects this
            self._assign(resource, homes[-1])

    def _stream_datum(self, doc: dict[str, Any]) -> None:
        resource = self._resources[doc["stream_resource"]]
        self._assign(resource, self._names[doc["descriptor"]])
        if not resource.announced:
            resource.announced, resource.start = True, doc["indices"]["start"]
        resource.stop = doc["indices"]["stop"]
        resource.next_seq_num = doc["seq_nums"]["stop"]

    def _assign(self, resource: _Resource, stream: str) -> None:
        key = resource.doc["data_key"]
        if resource.stream not in ("", stream) and self._streams[resource.stream].resources.get(key) is resource:
            del self._streams[resource.stream].resources[key]
        before = self._streams[stream].resources.get(key)
        if before is not None and before is not resource:  # a second file: counts on where the first ended
            resource.start, resource.stop = before.stop, max(resource.stop, before.stop)
            resource.next_seq_num = before.next_seq_num
        resource.stream = stream
        self._streams[stream].resources[key] = resource

    def _available(self, stream: _Stream, resource: _Resource) -> int:
        """Return the index behind the last frame in the file."""
        key = resource.doc["data_key"]
        path = _path(resource.doc)
        if resource.doc.get("mimetype") != HDF5:
            self.notes.append(f"{key}: {path} is not HDF5, nothing beyond what was announced is counted")
            return resource.stop
        try:
            elements = _elements(path, resource.doc["parameters"]["dataset"])
        except (OSError, KeyError) as error:
            self.notes.append(f"{key}: {path} cannot be read: {error}")
            return resource.stop
        each = math.prod(stream.descriptor["data_keys"][key]["shape"]) or 1
        available = resource.start + elements // each
        if available < resource.stop:
            self.notes.append(f"{key}: {resource.stop} frames were announced, {path} holds {available}")
        return available


def _datum(stream: _Stream, resource: _Resource, end: int) -> dict[str, Any] | None:
    if end <= resource.stop:
        return None
    number = resource.next_seq_num
    return {
        "uid": f"{resource.doc['uid']}/recovered-{uuid4()}",
        "stream_resource": resource.doc["uid"],
        "descriptor": stream.descriptor["uid"],
        "indices": {"start": resource.stop, "stop": end},
        "seq_nums": {"start": number, "stop": number + end - resource.stop},
    }


def _elements(path: Path, dataset: str) -> int:
    import h5py

    with h5py.File(path, "r", swmr=True) as file:  # the flags of a writer that died are still set
        return math.prod(file[dataset].shape)  # pyright: ignore[reportAttributeAccessIssue]


def _path(doc: dict[str, Any]) -> Path:
    return path_of(doc.get("uri", ""))
