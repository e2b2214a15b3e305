"""Time series: scalar readings by channel, kept as they come, a run of events when they end."""

import logging
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.attempts import Attempts
from beamstream.callbacks.derived import descriptor_of
from beamstream.errors import BeamstreamError
from beamstream.ingest.catalogue import Catalogue, Item
from beamstream.ingest.documents import start_of, uid
from beamstream.ingest.journal import ResumableJournal
from beamstream.ingest.messages import Channel
from beamstream.ingest.refusal import Refusal
from beamstream.ingest.told import ToldRun

log = logging.getLogger(__name__)

_PAGE = 1000  # events a document
Series = tuple[NDArray[np.float64], NDArray[np.float64], str]


class Readings:
    """Keep time series; any thread.

    Parameters
    ----------
    catalogue : Catalogue
    journal : ResumableJournal
    """

    def __init__(self, catalogue: Catalogue, journal: ResumableJournal) -> None:
        self._catalogue, self._journal = catalogue, journal
        self._telling = threading.Lock()

    def keep(self, data_id: str, number: int, channels: Mapping[str, Channel]) -> dict[str, Any]:
        """Keep one chunk of some channels, all of them or none; the same one again changes nothing.

        Raises
        ------
        Refusal
            404: there is no such time series. 409: it has ended, or other values are stored there.
        """
        with self._catalogue.change() as db:
            item = self._catalogue.item(data_id, "readings")
            for name, channel in channels.items():
                times, values = (np.array(v, "<f8").tobytes() for v in (channel.timestamps, channel.values))
                if self._is_there(data_id, name, number, times, values):
                    where = (data_id, name, number)
                    db.execute(
                        "UPDATE readings SET again = again + 1 WHERE data_id = ? AND channel = ? AND number = ?", where
                    )
                    continue
                if item.ended is not None:
                    raise Refusal(409, f"ingest: chunk {number} of {data_id} came after the time series was ended")
                new = (data_id, name, number, channel.units, times, values)
                db.execute("INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, 0)", new)
        return {}

    def end(self, data_id: str) -> dict[str, Any]:
        """Close a time series and tell the archive of it, once."""
        self._catalogue.item(data_id, "readings")
        self._catalogue.end(data_id)
        with self._telling:
            item = self._catalogue.item(data_id)
            if not item.told and item.ended is not None:
                self._tell(item, item.ended)
        return {"data_id": data_id}

    def status(self, data_id: str) -> dict[str, Any]:
        """Return how much of a time series is stored: chunks of all channels, and readings."""
        item = self._catalogue.item(data_id, "readings")
        query = "SELECT count(*), coalesce(sum(length(times) / 8), 0), coalesce(sum(again), 0) FROM readings"
        chunks, readings, again = self._catalogue.rows(f"{query} WHERE data_id = ?", data_id)[0]
        return {"data_id": data_id, "chunks": chunks, "readings": readings, "again": again, "ended": item.ended}

    def resume(self, attempts: Attempts) -> None:
        """Tell the archive what a process before this one could not tell any more, but what it ended with."""
        for item in self._catalogue.untold():
            if item.kind != "readings" or item.ended is None:
                continue
            if attempts.ended(item.data_id):
                log.warning("ingest: time series %s ended the service and is left alone", item.data_id)
                continue
            try:
                with attempts.working(item.data_id):
                    self.end(item.data_id)
            except (OSError, sqlite3.Error, BeamstreamError) as error:
                log.warning("ingest: time series %s is not in the archive: %s", item.data_id, error)

    def _is_there(self, data_id: str, channel: str, number: int, times: bytes, values: bytes) -> bool:
        query = "SELECT times, readings FROM readings WHERE data_id = ? AND channel = ? AND number = ?"
        stored = self._catalogue.rows(query, data_id, channel, number)
        if stored and stored[0] != (times, values):
            raise Refusal(
                409, f"ingest: chunk {number} of {channel} came again with other readings; those that came first stay"
            )
        return bool(stored)

    def _tell(self, item: Item, ended: float) -> None:
        run = ToldRun(item, self._journal, self._catalogue)
        numbers: dict[str, int] = {}
        run.more(_documents(run, self._series(item.data_id), numbers))
        run.end(ended, "", numbers)
        self._catalogue.set_told(item.data_id)

    def _series(self, data_id: str) -> dict[str, Series]:
        query = "SELECT channel, units, times, readings FROM readings WHERE data_id = ? ORDER BY channel, number"
        found: dict[str, list[tuple[bytes, bytes]]] = {}
        units: dict[str, str] = {}
        for channel, unit, times, values in self._catalogue.rows(query, data_id):
            found.setdefault(channel, []).append((times, values))
            units[channel] = unit or units.get(channel, "")
        series: dict[str, Series] = {}
        for channel, pieces in found.items():
            times, values = (np.frombuffer(b"".join(column), "<f8") for column in zip(*pieces, strict=True))
            series[channel] = times, values, units[channel]
        return series


def _documents(
    run: ToldRun, series: dict[str, Series], numbers: dict[str, int]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a run: channels that were read together are one stream of events, others have one each."""
    yield "start", start_of(run.item)
    together: dict[bytes, list[str]] = {}
    for channel, (times, _, _) in series.items():
        together.setdefault(times.tobytes(), []).append(channel)
    for group in together.values():
        stream = "primary" if len(together) == 1 else group[0]
        numbers[stream] = len(series[group[0]][0])
        keys = {c: _data_key(run.item, series[c][2]) for c in group}
        descriptor = descriptor_of({"uid": run.item.run}, stream, {"readings": keys}, {})
        descriptor["uid"] = uid(run.item, f"descriptor {stream}")
        yield "descriptor", descriptor
        yield from _pages(run.item, descriptor["uid"], {c: series[c] for c in group})


def _pages(item: Item, descriptor: str, series: dict[str, Series]) -> Iterator[tuple[str, dict[str, Any]]]:
    times = next(iter(series.values()))[0].tolist()
    for start in range(0, len(times), _PAGE):
        part = slice(start, start + _PAGE)
        at = times[part]
        numbers = range(start + 1, start + 1 + len(at))
        yield (
            "event_page",
            {
                "uid": [uid(item, f"{descriptor}/{number}") for number in numbers],
                "descriptor": descriptor,
                "time": at,
                "seq_num": list(numbers),
                "data": {channel: values[part].tolist() for channel, (_, values, _) in series.items()},
                "timestamps": dict.fromkeys(series, at),
                "filled": {},
            },
        )


def _data_key(item: Item, units: str) -> dict[str, Any]:
    key = {"source": f"ingest/{item.data_id}", "dtype": "number", "shape": [], "dtype_numpy": "<f8"}
    return key | ({"units": units} if units else {})
