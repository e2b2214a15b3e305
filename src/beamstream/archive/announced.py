"""What the documents of a run announce: its streams, the arrays of its files, and which frames of these they name."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beamstream.archive import recovered_files
from beamstream.archive.documents import Document
from beamstream.errors import ArchiveError
from beamstream.file_uri import path_of
from beamstream.places import RECORDINGS

HDF5 = "application/x-hdf5"


@dataclass(slots=True)
class AnnouncedArray:
    """One array of a recorded file, and the rows of it that are in a stream.

    Parameters
    ----------
    doc : dict
        Its stream_resource.
    stream : str
        The latest that has rows of it.
    rows : list of (int, int)
        Announced, in any stream.
    """

    doc: dict[str, Any]
    stream: str = ""
    rows: list[tuple[int, int]] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Its data key."""
        return self.doc["data_key"]

    @property
    def is_hdf5(self) -> bool:
        """Whether its file is one that can be read here."""
        return self.doc.get("mimetype") == HDF5

    @property
    def path(self) -> Path:
        """Where its file is."""
        return path_of(self.doc.get("uri", ""))

    @property
    def dataset(self) -> str:
        """Where it is in its file."""
        return self.doc["parameters"]["dataset"]

    @property
    def stop(self) -> int:
        """The row after the last that was announced."""
        return self.rows[-1][1] if self.rows else 0

    def announce(self, start: int, stop: int) -> None:
        """Add rows that were announced."""
        if self.rows and self.rows[-1][1] == start:
            start = self.rows.pop()[0]
        self.rows.append((start, stop))


@dataclass(slots=True)
class AnnouncedStream:
    """One stream: its newest descriptor, how many events it has, and the arrays that it goes on with, by data key."""

    descriptor: dict[str, Any]
    events: int = 0
    arrays: dict[str, AnnouncedArray] = field(default_factory=dict)
    next_seq_nums: dict[str, int] = field(default_factory=dict)

    @property
    def external(self) -> list[str]:
        """Its data keys that are in files."""
        return [key for key, about in self.descriptor["data_keys"].items() if "external" in about]


class AnnouncedRun:
    """Follow the documents of one run; of them only descriptors, resources and counters are kept.

    Parameters
    ----------
    start : dict
        The run's start document.

    Attributes
    ----------
    ended : bool
        Whether the newest document is a stop document.
    streams : dict of str to AnnouncedStream
    arrays : dict of str to AnnouncedArray
        By the uid of their stream_resource.
    recordings : dict of str to dict
        What the start document or an event has about a file, by its URI.
    """

    def __init__(self, start: dict[str, Any]) -> None:
        self.start = start
        self.ended = False
        self.streams: dict[str, AnnouncedStream] = {}
        self.arrays: dict[str, AnnouncedArray] = {}
        self.recordings: dict[str, dict[str, Any]] = {r["uri"]: r for r in start.get(RECORDINGS, ())}
        self._names: dict[str, str] = {}  # of streams, by the uid of their descriptors

    def add(self, document: Document) -> None:
        """Follow one more document.

        Raises
        ------
        ArchiveError
            It refers to one that is not there.
        """
        self.ended = document.name == "stop"
        add = getattr(self, f"_{document.name}", None)
        if add is None:
            return
        try:
            add(document.doc)
        except KeyError as missing:
            raise ArchiveError(
                f"journal: {document.name} {document.doc.get('uid')} refers to {missing}, which is not there; "
                "look at its session's log"
            ) from missing

    def _descriptor(self, doc: dict[str, Any]) -> None:
        name = doc.get("name", "primary")
        self._names[doc["uid"]] = name
        if name in self.streams:
            self.streams[name].descriptor = doc
        else:
            self.streams[name] = AnnouncedStream(doc)

    def _event(self, doc: dict[str, Any]) -> None:
        self.streams[self._names[doc["descriptor"]]].events += 1
        for key, value in doc["data"].items():
            if key.endswith("_recorded_to") and value:
                recording = json.loads(value)
                self.recordings[recording["uri"]] = recording

    def _event_page(self, doc: dict[str, Any]) -> None:
        self.streams[self._names[doc["descriptor"]]].events += len(doc["seq_num"])

    def _stream_resource(self, doc: dict[str, Any]) -> None:
        array = self.arrays[doc["uid"]] = AnnouncedArray(doc)
        homes = [name for name, stream in self.streams.items() if array.key in stream.external]
        if homes:  # the first stream_datum corrects this
            self._assign(array, homes[-1])

    def _stream_datum(self, doc: dict[str, Any]) -> None:
        array = self.arrays[doc["stream_resource"]]
        name = self._names[doc["descriptor"]]
        self._assign(array, name)
        array.announce(doc["indices"]["start"], doc["indices"]["stop"])
        self.streams[name].next_seq_nums[array.key] = doc["seq_nums"]["stop"]

    def _assign(self, array: AnnouncedArray, stream: str) -> None:
        if array.stream not in ("", stream) and self.streams[array.stream].arrays.get(array.key) is array:
            del self.streams[array.stream].arrays[array.key]
        array.stream = stream
        self.streams[stream].arrays[array.key] = array

    @property
    def files(self) -> dict[str, list[AnnouncedArray]]:
        """The arrays of each recorded HDF5 file, by its URI."""
        files: dict[str, list[AnnouncedArray]] = {}
        for array in self.arrays.values():
            if array.is_hdf5:
                files.setdefault(array.doc["uri"], []).append(array)
        return files

    def data_key(self, array: AnnouncedArray) -> dict[str, Any]:
        """Return the data key of an array: from a descriptor, or from its file if no descriptor has it.

        Raises
        ------
        OSError, KeyError
            It cannot be read.
        """
        stream = self._described(array)
        if stream is not None:
            return stream.descriptor["data_keys"][array.key]
        return recovered_files.array_data_key(array.path, array.dataset, array.doc["uri"])

    def detector(self, array: AnnouncedArray) -> str:
        """Return the name of the detector that an array is of."""
        stream = self._described(array)
        objects = stream.descriptor.get("object_keys", {}) if stream is not None else {}
        named = self.recordings.get(array.doc["uri"], {}).get("detector")
        return next(
            (name for name, keys in objects.items() if array.key in keys), named or array.key.rpartition("_")[0]
        )

    def configuration(self, array: AnnouncedArray) -> dict[str, Any] | None:
        """Return the configuration of the detector that an array is of; None where no stream has it."""
        stream = self._described(array)
        return stream and stream.descriptor.get("configuration", {}).get(self.detector(array))

    def is_derived(self, array: AnnouncedArray) -> bool:
        """Return whether an array was made of another one of the run."""
        return "derived_from" in (self.configuration(array) or {}).get("data", {})

    def has_points(self, array: AnnouncedArray) -> bool:
        """Return whether a file's frames were taken one by one; where no stream has them, the first was not saved."""
        stream = self._described(array)
        return stream is None or stream.events > 0

    def _described(self, array: AnnouncedArray) -> AnnouncedStream | None:
        """Return a stream that describes an array: the one that it is in, or another."""
        streams = [self.streams[array.stream]] if array.stream else []
        streams += self.streams.values()
        return next((stream for stream in streams if array.key in stream.descriptor["data_keys"]), None)
