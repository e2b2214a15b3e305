"""InterruptedRun: what the documents of a killed session still lack, judged by its files."""

import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

from beamstream.archive import recovered_files
from beamstream.archive.documents import COPY_PLAN, Document
from beamstream.archive.recovered_ledger import STREAM as LEDGER
from beamstream.archive.recovered_ledger import ledger_documents, ledger_of
from beamstream.errors import ArchiveError
from beamstream.file_uri import path_of

HDF5 = "application/x-hdf5"
RECORDINGS = "beamstream_recordings"
"""Key of the start document that names the files of the detectors; in events of one detector ``<name>_recorded_to``."""


@dataclass(slots=True)
class _Resource:
    """One array of a recorded file and how much of it was announced."""

    doc: dict[str, Any]
    stream: str = ""  # the latest that has rows of it
    rows: list[tuple[int, int]] = field(default_factory=list)  # announced, in any stream

    @property
    def stop(self) -> int:
        return self.rows[-1][1] if self.rows else 0

    def announce(self, start: int, stop: int) -> None:
        if self.rows and self.rows[-1][1] == start:
            start = self.rows.pop()[0]
        self.rows.append((start, stop))

    @property
    def path(self) -> Path:
        return path_of(self.doc.get("uri", ""))


@dataclass(slots=True)
class _Stream:
    descriptor: dict[str, Any]
    events: int = 0
    resources: dict[str, _Resource] = field(default_factory=dict)  # the latest, by data key
    next_seq_nums: dict[str, int] = field(default_factory=dict)  # of what was announced, by data key

    @property
    def external(self) -> list[str]:
        return [key for key, about in self.descriptor["data_keys"].items() if "external" in about]


class InterruptedRun:
    """Find out what a run without a stop document recorded, and compose the documents that it lacks.

    Of its documents only descriptors, resources and counters are kept.

    Parameters
    ----------
    documents : iterable of Document
        From the run's journal, in order, the start document first; they are read once.

    Attributes
    ----------
    start : dict
    ended : bool
        Whether there is a stop document.
    notes : list of str
        What could not be found out.

    Raises
    ------
    ArchiveError
        They do not begin with a start document, or refer to one that is not there.
    """

    def __init__(self, documents: Iterable[Document]) -> None:
        unread = iter(documents)
        first = next(unread, None)
        if first is None or first.name != "start":
            raise ArchiveError("journal: it does not begin with a whole start document")
        self.start = first.doc
        self.ended = False
        self.notes: list[str] = []
        self.frames_added = Counter[str]()
        """Frames that are in the documents of `missing` alone, by data key."""
        self._streams: dict[str, _Stream] = {}
        self._names: dict[str, str] = {}  # of streams, by the uid of their descriptors
        self._resources: dict[str, _Resource] = {}
        self._rows: dict[str, int] = {}  # in the files, by the uid of the resource
        self._named: dict[str, dict[str, Any]] = {}  # recordings, by URI
        for recording in self.start.get(RECORDINGS, ()):
            self._named[recording["uri"]] = recording
        for document in unread:
            self._take(document)

    def _take(self, document: Document) -> None:
        self.ended = document.name == "stop"
        take = getattr(self, f"_{document.name}", None)
        if take is None:
            return
        try:
            take(document.doc)
        except KeyError as missing:
            raise ArchiveError(
                f"journal: {document.name} {document.doc.get('uid')} refers to {missing}, which is not there; "
                "look at its session's log"
            ) from missing

    @property
    def files(self) -> list[Path]:
        """The HDF5 files of the run that are on this machine."""
        paths = dict.fromkeys(r.path for r in self._resources.values() if r.doc.get("mimetype") == HDF5)
        return [path for path in paths if path.is_file()]

    @property
    def only_named(self) -> list[str]:
        """URIs of files that nothing but the start document names: another run may have used the detector."""
        used = {resource.doc.get("uri") for resource in self._resources.values()}
        return [uri for uri in self._named if uri not in used]

    def forget(self, uri: str) -> None:
        """Leave a file to another run."""
        self._named.pop(uri, None)

    @property
    def num_events(self) -> dict[str, int]:
        """Events, or frames where there are no events, by stream."""
        return {
            name: stream.events or max(stream.next_seq_nums.values(), default=1) - 1
            for name, stream in self._streams.items()
        }

    def missing(self, ended: float) -> list[Document]:
        """Return the documents that name every frame in the files, and an account where there is none.

        Frames go on with their stream: of several detectors, as many as all of them have. What is left, and frames
        of streams with events, where an event says which frames belong together, get a stream
        ``<detector>_interrupted``.

        Parameters
        ----------
        ended : float
            When the session was last seen, s since 1970-01-01 UTC.
        """
        missing: list[Document] = []
        for documents in (self._unnamed(), self._going_on(), self._left(), self._account(ended)):
            for document in documents:
                missing.append(document)
                self._take(document)
        return missing

    def unannounced(self) -> list[dict[str, Any]]:
        """Return stream_datum documents for frames with which the streams of the run go on."""
        return [document.doc for document in self._going_on()]

    # what there is

    def _descriptor(self, doc: dict[str, Any]) -> None:
        name = doc.get("name", "primary")
        self._names[doc["uid"]] = name
        if name in self._streams:
            self._streams[name].descriptor = doc
        else:
            self._streams[name] = _Stream(doc)

    def _event(self, doc: dict[str, Any]) -> None:
        self._streams[self._names[doc["descriptor"]]].events += 1
        for key, value in doc["data"].items():
            if key.endswith("_recorded_to") and value:
                recording = json.loads(value)
                self._named[recording["uri"]] = recording

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
        name = self._names[doc["descriptor"]]
        self._assign(resource, name)
        resource.announce(doc["indices"]["start"], doc["indices"]["stop"])
        self._streams[name].next_seq_nums[resource.doc["data_key"]] = doc["seq_nums"]["stop"]

    def _assign(self, resource: _Resource, stream: str) -> None:
        key = resource.doc["data_key"]
        if resource.stream not in ("", stream) and self._streams[resource.stream].resources.get(key) is resource:
            del self._streams[resource.stream].resources[key]
        resource.stream = stream
        self._streams[stream].resources[key] = resource

    # what is missing

    def _unnamed(self) -> Iterator[Document]:
        """Yield stream_resource documents of files that were being recorded and that no document has named yet."""
        known = {(r.doc.get("uri"), r.doc["data_key"]) for r in self._resources.values()}
        for uri, recording in self._named.items():
            path = _Resource({"uri": uri}).path
            for array in recording["arrays"]:
                key, dataset = array["data_key"], array["dataset"]
                if (uri, key) in known:
                    continue
                try:
                    parameters = recovered_files.array_parameters(path, dataset)
                except (OSError, KeyError) as error:
                    self.notes.append(f"{key}: {path} cannot be read: {error}")
                    continue
                doc = {"uid": str(uuid4()), "run_start": self.start["uid"], "data_key": key}
                yield Document("stream_resource", {**doc, "mimetype": HDF5, "uri": uri, "parameters": parameters})

    def _going_on(self) -> Iterator[Document]:
        """Yield stream_datum documents for the frames with which the streams go on."""
        for stream in list(self._streams.values()):
            keys = stream.external
            if stream.events or not keys or any(key not in stream.resources for key in keys):
                continue
            end = min(self._available(stream.resources[key]) for key in keys)
            for key in keys:
                resource = stream.resources[key]
                if end > resource.stop:
                    yield self._datum(resource, stream, resource.stop, end)

    def _left(self) -> Iterator[Document]:
        """Yield a stream for each file with frames that are in no other, and their stream_datum documents."""
        for resources in self._files().values():
            end = min(self._available(resource) for resource in resources)
            left = _holes([resource.rows for resource in resources], end)
            if not left:
                continue
            descriptor = self._descriptor_of_left(resources)
            yield Document("descriptor", descriptor)
            stream = self._streams[descriptor["name"]]
            for resource in resources:
                for start, stop in left:
                    yield self._datum(resource, stream, start, stop)

    def _files(self) -> dict[str, list[_Resource]]:
        """Return the arrays of each recorded HDF5 file, by its URI."""
        files: dict[str, list[_Resource]] = {}
        for resource in self._resources.values():
            if resource.doc.get("mimetype") == HDF5:
                files.setdefault(resource.doc["uri"], []).append(resource)
        return files

    def _descriptor_of_left(self, resources: list[_Resource]) -> dict[str, Any]:
        keys = {resource.doc["data_key"]: self._about(resource) for resource in resources}
        detector = self._detector(resources[0])
        configuration = self._configuration(resources[0]) or {"data": {}, "timestamps": {}, "data_keys": {}}
        return {
            "uid": str(uuid4()),
            "run_start": self.start["uid"],
            "time": time.time(),
            "name": f"{detector}_interrupted",
            "data_keys": {key: {**about, "object_name": detector} for key, about in keys.items()},
            "object_keys": {detector: list(keys)},
            "configuration": {detector: configuration},
            "hints": {},
        }

    def _account(self, ended: float) -> Iterator[Document]:
        """Yield the ledger of the detectors, unless the session made one."""
        known = self._streams.get(LEDGER)
        if (known is not None and known.events) or self.start.get("plan_name") == COPY_PLAN:
            return
        accounts: dict[str, dict[str, Any]] = {}
        detectors: dict[str, list[tuple[_Resource, int]]] = {}
        for resources in self._files().values():
            ids = [r for r in resources if r.doc["data_key"].endswith("_unique_id")]
            if ids and not self._is_derived(resources[0]) and ids[0].path.is_file():
                rows = min(self._available(resource) for resource in resources)
                detectors.setdefault(self._detector(ids[0]), []).append((ids[0], rows))
        for detector, ids in detectors.items():
            try:
                accounts[detector] = self._account_of(detector, ids)
            except (OSError, KeyError) as error:
                self.notes.append(f"{detector}: no ledger, its file cannot be read: {error}")
        if accounts:
            documents = ledger_documents(self.start["uid"], accounts, ended, known.descriptor if known else None)
            yield from (Document(*document) for document in documents)

    def _account_of(self, detector: str, ids: list[tuple[_Resource, int]]) -> dict[str, Any]:
        pieces = (
            piece
            for resource, rows in ids
            for piece in recovered_files.stored_ids(resource.path, resource.doc["parameters"]["dataset"], rows)
        )
        steps = any(self._has_points(resource) for resource, _ in ids)
        return ledger_of(detector, sum(rows for _, rows in ids), pieces, steps=steps)

    # what is known of an array

    def _datum(self, resource: _Resource, stream: _Stream, start: int, stop: int) -> Document:
        key = resource.doc["data_key"]
        number = stream.next_seq_nums.get(key, 1)
        self.frames_added[key] += stop - start
        doc = {
            "uid": f"{resource.doc['uid']}/recovered-{uuid4()}",
            "stream_resource": resource.doc["uid"],
            "descriptor": stream.descriptor["uid"],
            "indices": {"start": start, "stop": stop},
            "seq_nums": {"start": number, "stop": number + stop - start},
        }
        return Document("stream_datum", doc)

    def _available(self, resource: _Resource) -> int:
        """Return the number of frames in the file."""
        key = resource.doc["data_key"]
        if resource.doc["uid"] in self._rows:
            return self._rows[resource.doc["uid"]]
        available = resource.stop
        if resource.doc.get("mimetype") != HDF5:
            self.notes.append(f"{key}: {resource.path} is not HDF5, nothing beyond what was announced is counted")
        else:
            try:
                dataset = resource.doc["parameters"]["dataset"]
                each = math.prod(self._about(resource)["shape"]) or 1
                available = recovered_files.stored_elements(resource.path, dataset) // each
            except (OSError, KeyError) as error:
                self.notes.append(f"{key}: {resource.path} cannot be read: {error}")
        if available < resource.stop:
            self.notes.append(f"{key}: {resource.stop} frames were announced, {resource.path} holds {available}")
        self._rows[resource.doc["uid"]] = available
        return available

    def _described(self, resource: _Resource) -> _Stream | None:
        """Return a stream that describes an array: the one that it is in, or another."""
        key = resource.doc["data_key"]
        streams = [self._streams[resource.stream]] if resource.stream else []
        streams += self._streams.values()
        return next((stream for stream in streams if key in stream.descriptor["data_keys"]), None)

    def _about(self, resource: _Resource) -> dict[str, Any]:
        stream = self._described(resource)
        if stream is not None:
            return stream.descriptor["data_keys"][resource.doc["data_key"]]
        return recovered_files.array_data_key(resource.path, resource.doc["parameters"]["dataset"], resource.doc["uri"])

    def _detector(self, resource: _Resource) -> str:
        key = resource.doc["data_key"]
        stream = self._described(resource)
        objects = stream.descriptor.get("object_keys", {}) if stream is not None else {}
        named = self._named.get(resource.doc["uri"], {}).get("detector")
        return next((name for name, keys in objects.items() if key in keys), named or key.rpartition("_")[0])

    def _configuration(self, resource: _Resource) -> dict[str, Any] | None:
        stream = self._described(resource)
        return stream and stream.descriptor.get("configuration", {}).get(self._detector(resource))

    def _is_derived(self, resource: _Resource) -> bool:
        return "derived_from" in (self._configuration(resource) or {}).get("data", {})

    def _has_points(self, resource: _Resource) -> bool:
        """Return whether a file's frames were taken one by one; where no stream has them, the first was not saved."""
        stream = self._described(resource)
        return stream is None or stream.events > 0


def _holes(arrays: list[list[tuple[int, int]]], end: int) -> list[tuple[int, int]]:
    """Return the rows before `end` that one of several arrays was not announced of."""
    edges = sorted({0, end, *(edge for rows in arrays for row in rows for edge in row if edge < end)})
    holes: list[tuple[int, int]] = []
    for start, stop in pairwise(edges):
        if all(any(first <= start and stop <= last for first, last in rows) for rows in arrays):
            continue
        if holes and holes[-1][1] == start:
            start = holes.pop()[0]
        holes.append((start, stop))
    return holes
