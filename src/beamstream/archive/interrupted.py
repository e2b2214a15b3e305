"""InterruptedRun: what the documents of a killed session still lack, judged by its files."""

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

from beamstream.archive import recovered_files
from beamstream.archive.announced import HDF5, AnnouncedArray, AnnouncedRun, AnnouncedStream
from beamstream.archive.documents import COPY_PLAN, Document
from beamstream.archive.recovered_ledger import STREAM as LEDGER
from beamstream.archive.recovered_ledger import ledger_documents, ledger_of
from beamstream.errors import ArchiveError
from beamstream.file_uri import path_of


class InterruptedRun:
    """Find out what a run without a stop document recorded, and compose the documents that it lacks.

    Parameters
    ----------
    documents : iterable of Document
        From the run's journal, in order, the start document first; they are read once.

    Attributes
    ----------
    start : dict
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
        self.notes: list[str] = []
        self.frames_added = Counter[str]()
        """Frames that are in the documents of `missing` alone, by data key."""
        self._run = AnnouncedRun(self.start)
        self._rows: dict[str, int] = {}  # in the files, by the uid of the resource
        for document in unread:
            self._run.add(document)

    @property
    def ended(self) -> bool:
        """Whether there is a stop document."""
        return self._run.ended

    @property
    def files(self) -> list[Path]:
        """The HDF5 files of the run that are on this machine."""
        return [path for path in dict.fromkeys(map(path_of, self._run.files)) if path.is_file()]

    @property
    def only_named(self) -> list[str]:
        """URIs of files that nothing but the start document names: another run may have used the detector."""
        used = {array.doc.get("uri") for array in self._run.arrays.values()}
        return [uri for uri in self._run.recordings if uri not in used]

    def forget(self, uri: str) -> None:
        """Leave a file to another run."""
        self._run.recordings.pop(uri, None)

    @property
    def num_events(self) -> dict[str, int]:
        """Events, or frames where there are no events, by stream."""
        return {
            name: stream.events or max(stream.next_seq_nums.values(), default=1) - 1
            for name, stream in self._run.streams.items()
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
                self._run.add(document)
        return missing

    def unannounced(self) -> list[dict[str, Any]]:
        """Return stream_datum documents for frames with which the streams of the run go on."""
        return [document.doc for document in self._going_on()]

    def _unnamed(self) -> Iterator[Document]:
        """Yield stream_resource documents of files that were being recorded and that no document has named yet."""
        known = {(array.doc.get("uri"), array.key) for array in self._run.arrays.values()}
        for uri, recording in self._run.recordings.items():
            path = path_of(uri)
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
        for stream in list(self._run.streams.values()):
            keys = stream.external
            if stream.events or not keys or any(key not in stream.arrays for key in keys):
                continue
            end = min(self._available(stream.arrays[key]) for key in keys)
            for key in keys:
                array = stream.arrays[key]
                if end > array.stop:
                    yield self._datum(array, stream, array.stop, end)

    def _left(self) -> Iterator[Document]:
        """Yield a stream for each file with frames that are in no other, and their stream_datum documents."""
        for arrays in self._run.files.values():
            end = min(self._available(array) for array in arrays)
            left = _holes([array.rows for array in arrays], end)
            if not left:
                continue
            descriptor = self._descriptor_of_left(arrays)
            yield Document("descriptor", descriptor)
            stream = self._run.streams[descriptor["name"]]
            for array in arrays:
                for start, stop in left:
                    yield self._datum(array, stream, start, stop)

    def _descriptor_of_left(self, arrays: list[AnnouncedArray]) -> dict[str, Any]:
        keys = {array.key: self._run.data_key(array) for array in arrays}
        detector = self._run.detector(arrays[0])
        configuration = self._run.configuration(arrays[0]) or {"data": {}, "timestamps": {}, "data_keys": {}}
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

    def _datum(self, array: AnnouncedArray, stream: AnnouncedStream, start: int, stop: int) -> Document:
        number = stream.next_seq_nums.get(array.key, 1)
        self.frames_added[array.key] += stop - start
        doc = {
            "uid": f"{array.doc['uid']}/recovered-{uuid4()}",
            "stream_resource": array.doc["uid"],
            "descriptor": stream.descriptor["uid"],
            "indices": {"start": start, "stop": stop},
            "seq_nums": {"start": number, "stop": number + stop - start},
        }
        return Document("stream_datum", doc)

    def _account(self, ended: float) -> Iterator[Document]:
        """Yield the ledger of the detectors, unless the session made one."""
        known = self._run.streams.get(LEDGER)
        if (known is not None and known.events) or self.start.get("plan_name") == COPY_PLAN:
            return
        accounts: dict[str, dict[str, Any]] = {}
        detectors: dict[str, list[tuple[AnnouncedArray, int]]] = {}
        for arrays in self._run.files.values():
            ids = [array for array in arrays if array.key.endswith("_unique_id")]
            if ids and not self._run.is_derived(arrays[0]) and ids[0].path.is_file():
                rows = min(self._available(array) for array in arrays)
                detectors.setdefault(self._run.detector(ids[0]), []).append((ids[0], rows))
        for detector, ids in detectors.items():
            try:
                accounts[detector] = self._account_of(detector, ids)
            except (OSError, KeyError) as error:
                self.notes.append(f"{detector}: no ledger, its file cannot be read: {error}")
        if accounts:
            documents = ledger_documents(self.start["uid"], accounts, ended, known.descriptor if known else None)
            yield from (Document(*document) for document in documents)

    def _account_of(self, detector: str, ids: list[tuple[AnnouncedArray, int]]) -> dict[str, Any]:
        pieces = (piece for array, rows in ids for piece in recovered_files.stored_ids(array.path, array.dataset, rows))
        steps = any(self._run.has_points(array) for array, _ in ids)
        return ledger_of(detector, sum(rows for _, rows in ids), pieces, steps=steps)

    def _available(self, array: AnnouncedArray) -> int:
        """Return the number of frames in the file."""
        uid = array.doc["uid"]
        if uid not in self._rows:
            self._rows[uid] = available = self._stored(array)
            if available < array.stop:
                self.notes.append(f"{array.key}: {array.stop} frames were announced, {array.path} holds {available}")
        return self._rows[uid]

    def _stored(self, array: AnnouncedArray) -> int:
        if not array.is_hdf5:
            self.notes.append(f"{array.key}: {array.path} is not HDF5, nothing beyond what was announced is counted")
            return array.stop
        try:
            each = math.prod(self._run.data_key(array)["shape"]) or 1
            return recovered_files.stored_elements(array.path, array.dataset) // each
        except (OSError, KeyError) as error:
            self.notes.append(f"{array.key}: {array.path} cannot be read: {error}")
            return array.stop


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
