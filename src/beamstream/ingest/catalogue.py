"""The ingest's own catalogue: streams, their chunks, samples, tags; durable when a method returns."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from beamstream.ingest.refusal import Refusal
from beamstream.ingest.tokens import Chunk

Names = Literal["samples", "tags"]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (id TEXT PRIMARY KEY, name TEXT NOT NULL, folded TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS tags    (id TEXT PRIMARY KEY, name TEXT NOT NULL, folded TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS items   (data_id TEXT PRIMARY KEY, kind TEXT NOT NULL, settings TEXT NOT NULL,
    created REAL NOT NULL, run TEXT NOT NULL, ended REAL, told INTEGER NOT NULL DEFAULT 0,
    sample TEXT REFERENCES samples (id));
CREATE INDEX IF NOT EXISTS open_items ON items (told) WHERE told = 0;
CREATE TABLE IF NOT EXISTS item_tags (data_id TEXT NOT NULL REFERENCES items, tag TEXT NOT NULL REFERENCES tags,
    PRIMARY KEY (data_id, tag)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tracking (project TEXT NOT NULL, sample TEXT NOT NULL REFERENCES samples,
    active INTEGER NOT NULL, PRIMARY KEY (project, sample)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks  (data_id TEXT NOT NULL REFERENCES items, number INTEGER NOT NULL,
    frames INTEGER NOT NULL, about TEXT NOT NULL, size INTEGER NOT NULL, crc32c INTEGER NOT NULL,
    received REAL NOT NULL, again INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (data_id, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS readings (data_id TEXT NOT NULL REFERENCES items, channel TEXT NOT NULL,
    number INTEGER NOT NULL, units TEXT, times BLOB NOT NULL, readings BLOB NOT NULL,
    again INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (data_id, channel, number)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Item:
    """What somebody asked for: a RHEED stream or a time series.

    Parameters
    ----------
    data_id : str
    kind : {"rheed", "readings"}
    settings : dict
        As asked for.
    created : float
        s since 1970-01-01 UTC.
    run : str
        uid of its run in the archive.
    ended : float, optional
        When its client said that nothing more comes.
    told : bool
        Whether the archive has all of it, the stop document included.
    sample : (str, str), optional
        Id and name of the physical sample.
    tags : tuple of str
        Names.
    """

    data_id: str
    kind: Literal["rheed", "readings"]
    settings: Mapping[str, Any]
    created: float
    run: str
    ended: float | None
    told: bool
    sample: tuple[str, str] | None
    tags: tuple[str, ...]


class Catalogue:
    """Keep what is known of uploads in one SQLite file; any thread.

    Parameters
    ----------
    path : Path

    Raises
    ------
    sqlite3.Error
        From every method: the disk is full or damaged; nothing of that call is kept.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Do several things as one: all of them are kept, or none."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite itself takes back some
                    self._db.execute("ROLLBACK")
                raise

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def listed(self, kind: Names) -> list[dict[str, str]]:
        """Return all samples, or all tags."""
        return [{"id": i, "name": n} for i, n in self.rows(f"SELECT id, name FROM {kind} ORDER BY name")]

    def add_name(self, kind: Names, name: str) -> tuple[str, bool]:
        """Return the id of a sample or tag, and whether it is new; upper and lower case are the same."""
        with self.change() as db:
            folded = name.casefold()
            found = db.execute(f"SELECT id FROM {kind} WHERE folded = ?", (folded,)).fetchone()
            if found:
                return found[0], False
            made = str(uuid4())
            db.execute(f"INSERT INTO {kind} VALUES (?, ?, ?)", (made, name, folded))
            return made, True

    def add_item(self, kind: Literal["rheed", "readings"], settings: Mapping[str, Any]) -> str:
        """Return the id of a new stream."""
        made = str(uuid4())
        with self.change() as db:
            values = (made, kind, json.dumps(settings), time.time(), made)
            db.execute("INSERT INTO items (data_id, kind, settings, created, run) VALUES (?, ?, ?, ?, ?)", values)
        return made

    def item(self, data_id: str, kind: str | None = None) -> Item:
        """Return what is known of a stream.

        Raises
        ------
        Refusal
            404: there is none, or one of another kind.
        """
        query = (
            "SELECT kind, settings, created, run, ended, told, sample, samples.name FROM items"
            " LEFT JOIN samples ON samples.id = items.sample WHERE data_id = ?"
        )
        found = self.rows(query, data_id)
        if not found or kind not in (None, found[0][0]):
            what = {"rheed": "RHEED stream", "readings": "time series"}.get(kind or "", "stream")
            raise Refusal(404, f"ingest: {what} {data_id} asked for, there is none; begin one first")
        of, settings, created, run, ended, told, sample, name = found[0]
        tags = self.rows("SELECT name FROM item_tags JOIN tags ON id = tag WHERE data_id = ? ORDER BY name", data_id)
        about = (sample, name) if sample else None
        names = tuple(tag for (tag,) in tags)
        return Item(data_id, of, json.loads(settings), created, run, ended, bool(told), about, names)

    def untold(self) -> list[Item]:
        """Return the streams whose runs are open, or not begun."""
        return [self.item(i) for (i,) in self.rows("SELECT data_id FROM items WHERE told = 0 ORDER BY created")]

    def link(self, data_ids: list[str], *, sample: str | None = None, tags: list[str] | None = None) -> None:
        """Say which sample streams belong to, and which tags they have.

        Raises
        ------
        Refusal
            404: one of them is not known.
        """
        with self.change() as db:
            for tag in tags or ():
                self._known("tags", tag)
            if sample is not None:
                self._known("samples", sample)
            for data_id in data_ids:
                self.item(data_id)
                if sample is not None:
                    db.execute("UPDATE items SET sample = ? WHERE data_id = ?", (sample, data_id))
                pairs = ((data_id, tag) for tag in tags or ())
                db.executemany("INSERT OR IGNORE INTO item_tags VALUES (?, ?)", pairs)

    def track(self, project: str, sample: str, *, active: bool) -> None:
        """Add a sample to those that a project follows."""
        with self.change() as db:
            self._known("samples", sample)
            if active:
                db.execute("UPDATE tracking SET active = 0 WHERE project = ?", (project,))
            db.execute("INSERT OR REPLACE INTO tracking VALUES (?, ?, ?)", (project, sample, active))

    def set_run(self, data_id: str, run: str) -> None:
        """Tell a stream in another run."""
        with self.change() as db:
            db.execute("UPDATE items SET run = ? WHERE data_id = ?", (run, data_id))

    def end(self, data_id: str) -> None:
        """Keep that nothing more comes; the first time counts."""
        with self.change() as db:
            db.execute("UPDATE items SET ended = ? WHERE data_id = ? AND ended IS NULL", (time.time(), data_id))

    def set_told(self, data_id: str) -> None:
        """Keep that the archive has all of a stream."""
        with self.change() as db:
            db.execute("UPDATE items SET told = 1 WHERE data_id = ?", (data_id,))

    def chunks(self, data_id: str) -> list[Chunk]:
        """Return the chunks that are stored, in order."""
        found = self.rows("SELECT about FROM chunks WHERE data_id = ? ORDER BY number", data_id)
        return [Chunk(**json.loads(about)) for (about,) in found]

    def add_chunk(self, chunk: Chunk, size: int, crc32c: int) -> None:
        """Keep that a chunk is stored."""
        about = json.dumps(asdict(chunk))
        values = (chunk.data_id, chunk.number, chunk.frames, about, size, crc32c, time.time())
        with self.change() as db:
            db.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, 0)", values)

    def again(self, data_id: str, number: int) -> None:
        """Count that a stored chunk came once more."""
        with self.change() as db:
            db.execute("UPDATE chunks SET again = again + 1 WHERE data_id = ? AND number = ?", (data_id, number))

    def _known(self, kind: Names, identity: str) -> None:
        if not self.rows(f"SELECT 1 FROM {kind} WHERE id = ?", identity):
            raise Refusal(404, f"ingest: {kind[:-1]} {identity} asked for, there is none; make it first")
