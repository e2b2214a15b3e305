"""Streams: what comes is stored, durable before it is acknowledged, and told to the archive."""

import logging
import sqlite3
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from beamstream.attempts import Attempts
from beamstream.errors import BeamstreamError
from beamstream.ingest.catalogue import Catalogue
from beamstream.ingest.documents import StreamDocuments
from beamstream.ingest.files import StreamFiles
from beamstream.ingest.journal import ResumableJournal
from beamstream.ingest.refusal import Refusal
from beamstream.ingest.shard import Shard
from beamstream.ingest.stream import Stream
from beamstream.ingest.tokens import Chunk
from beamstream.ingest.told import ToldRun

log = logging.getLogger(__name__)


class Streams:
    """Keep the chunks of all RHEED streams; any thread.

    Parameters
    ----------
    directory : Path
        Where streams lie, each a directory of its name.
    catalogue : Catalogue
    journal : ResumableJournal
        Of the archive that shows them.
    """

    def __init__(self, directory: Path, catalogue: Catalogue, journal: ResumableJournal) -> None:
        self.directory = directory
        self._catalogue, self._journal = catalogue, journal
        self._lock = threading.RLock()
        self._open: dict[str, Stream] = {}  # those that may still grow
        self._refused: dict[str, str] = {}
        self._attempts: Attempts | None = None

    def resume(self, attempts: Attempts) -> None:
        """Bring the archive up to date with what a process before this one had stored.

        A stream with which the process ended then is left alone, and its requests are refused, until it is forgotten
        in `attempts`.
        """
        self._attempts = attempts
        for item in self._catalogue.untold():
            if item.kind != "rheed":
                continue
            if attempts.ended(item.data_id):
                log.warning("ingest: stream %s ended the service and is left alone", item.data_id)
                continue
            with self._lock, attempts.working(item.data_id):
                try:
                    self._tell(self._stream(item.data_id))
                except (OSError, sqlite3.Error, BeamstreamError) as error:
                    log.warning("ingest: stream %s is not up to date in the archive: %s", item.data_id, error)

    def admit(self, chunk: Chunk) -> None:
        """Check that a chunk may come.

        Raises
        ------
        Refusal
            404: there is no such stream. 409: the chunk does not belong to it.
        """
        with self._lock:
            stream = self._stream(chunk.data_id)
            try:
                stream.admit(chunk)
            except Refusal as refusal:
                self.refused(chunk, str(refusal))
                raise

    def keep(self, chunk: Chunk, part: Path, shard: Shard, crc32c: int) -> bool:
        """Store a chunk; return whether it is new. The same one again changes nothing.

        Parameters
        ----------
        chunk : Chunk
        part : Path
            A file with its shard, checked and durable; taken when the chunk is new.
        shard : Shard
            That shard, open.
        crc32c : int
            Of the bytes that came.

        Raises
        ------
        Refusal
            409: the chunk does not belong to the stream, or is not the one that is stored.
        OSError, sqlite3.Error, BeamstreamError
            It could not be kept, or the archive could not be told; when it comes again that is done again.
        """
        with self._lock:
            stream = self._stream(chunk.data_id)
            stream.admit(chunk)
            if not stream.has(chunk.number):
                if stream.first is None:
                    self._make(stream, chunk)
                stream.files.put(part, chunk)
                self._catalogue.add_chunk(chunk, shard.end, crc32c)
                stream.add(chunk)
                self._refused.pop(chunk.data_id, None)
                self._tell(stream)
                return True
        decoding = nullcontext() if self._attempts is None else self._attempts.working(chunk.data_id)
        stream.compare(chunk, shard, decoding)  # what is stored does not change, and others need not wait
        self._catalogue.again(chunk.data_id, chunk.number)
        with self._lock:
            self._tell(stream)
        return False

    def end(self, data_id: str) -> dict[str, Any]:
        """Close a stream, once; return what is known of it."""
        with self._lock:
            stream = self._stream(data_id)
            self._catalogue.end(data_id)
            stream.item = self._catalogue.item(data_id)
            self._tell(stream)
            return self.status(data_id)

    def refused(self, chunk: Chunk, reason: str) -> None:
        """Remember why a chunk was not kept, for who asks; until one is."""
        log.warning("%s", reason)
        with self._lock:
            if chunk.data_id in self._open:
                self._refused[chunk.data_id] = reason

    def status(self, data_id: str) -> dict[str, Any]:
        """Return how much of a stream is stored."""
        with self._lock:
            stream = self._stream(data_id)
            again = self._catalogue.rows("SELECT total(again) FROM chunks WHERE data_id = ?", data_id)[0][0]
            return {
                "data_id": data_id,
                "run": stream.told.item.run,
                "chunks": len(stream.frames),
                "consecutive": stream.consecutive,
                "frames": stream.total,
                "rows": stream.rows,
                "again": int(again),
                "ended": stream.item.ended,
                "refused": self._refused.get(data_id, ""),
            }

    def _stream(self, data_id: str) -> Stream:
        stream = self._open.get(data_id)
        if stream is None:
            if self._attempts is not None and self._attempts.ended(data_id):
                raise Refusal(
                    409,
                    f"ingest: stream {data_id} is left alone, the service ended when it was resumed; "
                    f"beamstream runs retry {data_id}",
                )
            item = self._catalogue.item(data_id, "rheed")
            files = StreamFiles(self.directory / item.data_id)
            told = ToldRun(item, self._journal, self._catalogue)
            stream = Stream(item, files, told, self._catalogue.chunks(data_id))
            if not item.told:
                self._open[data_id] = stream
        return stream

    def _make(self, stream: Stream, first: Chunk) -> None:
        """Make the files of a stream that has none; what its client told since it began counts from here on."""
        item = self._catalogue.item(stream.item.data_id)
        stream.item = stream.told.item = item
        about = {"data_id": item.data_id, "stream_name": item.settings.get("data_item_name", ""), **item.settings}
        about |= {"tags": list(item.tags), "physical_sample": item.sample and item.sample[1]}
        stream.files.make(first, {**about, "creator": "beamstream"})

    def _tell(self, stream: Stream) -> None:
        """Show readers, and tell the archive, what is stored and was not told yet."""
        item, first = stream.item, stream.first
        if item.told:
            return
        if first is not None and stream.rows != stream.published:
            stream.files.publish(first, stream.rows)
            stream.published = stream.rows
        if first is not None:
            stream.told.rows(stream.files, first, stream.rows)
        if item.ended is not None:
            self._tell_end(stream, item.ended)

    def _tell_end(self, stream: Stream, ended: float) -> None:
        num_events: dict[str, int] = {}
        if stream.first is not None:
            stream.files.publish(stream.first, stream.rows, durable=True)
            documents = StreamDocuments(stream.told.item, stream.files, stream.first)
            stream.told.more(documents.account(stream.total, stream.rows))
            num_events = {"primary": stream.rows, "ledger": 1}
        stream.told.end(ended, stream.reason(), num_events)
        self._catalogue.set_told(stream.item.data_id)
        self._open.pop(stream.item.data_id, None)
        self._refused.pop(stream.item.data_id, None)
