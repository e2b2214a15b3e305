"""Readings of a run, pushed chunk by chunk: in the client's process."""

import json
import math
import time
from collections.abc import Mapping
from typing import IO, Any

from beamstream.rheed.job import JobDirectory
from beamstream.rheed.orders import Cannot, Orders, Say

_LINES = 50  # a chunk, where the job says nothing
_UNDER_WAY = 32  # chunks
_POLL = 0.2  # s
_AGAIN = 1.0  # s
_ONCE_MORE = 60.0  # s; the client does not say what it lost on its way to the relay
_REPORT = 1.0  # s


class PushingReadings:
    """Push the lines that are on disk and not at the service; the relay delivers them, and says which have arrived.

    A chunk is always the same lines, so that it may be pushed twice.

    Parameters
    ----------
    streamers : module
        Of the cloud's client.
    directory : JobDirectory
    first : Mapping
        What the worker said first: relay, key, state.
    orders, say
        From and to the worker.
    """

    def __init__(
        self, streamers: Any, directory: JobDirectory, first: Mapping[str, Any], orders: Orders, say: Say
    ) -> None:
        self._directory, self._job = directory, directory.job
        self._orders, self._say = orders, say
        state = first["state"]
        self._size = int(state["chunk_size"]) or self._job.chunk_size or _LINES
        self._next, self._beyond = int(state["confirmed"]), set(state["beyond"])
        self._linked = bool(first["linked"])
        self._lines: list[bytes] = []  # of the chunk that comes next
        self._rows = 0
        self._total: int | None = None
        self._pushed: dict[int, tuple[float, dict[str, Any]]] = {}
        self._reported = 0.0
        self._streamer = streamers.TimeseriesStreamer(
            first["key"], first["relay"], self._size, max(2, self._job.verbosity)
        )

    def run(self) -> None:
        """Push until the time series has ended.

        Raises
        ------
        Cannot
            There is no such file, and nobody left who would make it.
        EOFError
            The worker is gone.
        """
        with self._open() as self._file:
            for _ in range(self._next * self._size):
                self._file.readline()
                self._rows += 1
            self._say({"settled": {"chunk_size": self._size}})
            self._data_id = self._begin()
            self._say({"initialized": self._data_id})
            while not self._obey(_POLL):
                self._read()
                self._push_again()
                self._report()

    def _open(self) -> IO[bytes]:
        """Return the file, as soon as it is there."""
        while True:
            try:
                return (self._directory.path / self._job.path).open("rb")
            except OSError as error:
                words = f"upload: {self._job.path} cannot be read: {error.strerror}"
                if not self._directory.is_recording and not (self._directory.path / self._job.path).exists():
                    raise Cannot(f"{words}; and its recorder has ended") from error
                self._say({"trouble": words})
                self._obey(_AGAIN)

    def _begin(self) -> str:
        """Open the time series, as soon as that works; sample and tags are attached once."""
        job = self._job
        links = {} if self._linked else job.links
        while True:
            try:
                return self._streamer.initialize(stream_name=job.stream_name, **links)
            except RuntimeError as error:
                self._say({"trouble": f"upload: {job.stream_name}: {error}"})
                self._obey(_AGAIN)

    def _obey(self, timeout: float) -> bool:
        """Do what the worker says; return whether the time series has ended."""
        for order in self._orders.take(timeout):
            match order["do"]:
                case "arrived":
                    self._pushed.pop(order["chunk"], None)
                case "finish":
                    return self._finish()
        return False

    def _finish(self) -> bool:
        while True:
            try:
                self._streamer.finalize(self._data_id)
            except RuntimeError as error:
                self._say({"trouble": f"upload: {self._job.stream_name}: {error}"})
                self._obey(_AGAIN)
            else:
                self._say({"finished": True})
                return True

    def _read(self) -> None:
        """Push what has become complete."""
        recording = self._directory.is_recording  # before the lines are read: the last may come between
        while len(self._pushed) < _UNDER_WAY:
            line = self._file.readline()
            if not line.endswith(b"\n"):
                self._file.seek(-len(line), 1)  # nothing, or somebody is writing it
                self._total = None if recording else self._rows
                break
            self._lines.append(line)
            self._rows += 1
            if len(self._lines) == self._size:
                self._push()
        if self._lines and self._rows == self._total:
            self._push()

    def _push(self) -> None:
        channels = _channels(self._lines)
        chunk, self._lines = self._next, []
        self._next += 1
        if chunk in self._beyond:
            return
        if not channels:  # nothing that can be sent, and so nothing that can be missing
            self._say({"arrived": [chunk]})
            return
        self._pushed[chunk] = time.monotonic(), channels
        self._streamer.push_multi(self._data_id, chunk, channels)

    def _push_again(self) -> None:
        for chunk, (pushed, channels) in self._pushed.items():
            if time.monotonic() - pushed > _ONCE_MORE:
                self._pushed[chunk] = time.monotonic(), channels
                self._streamer.push_multi(self._data_id, chunk, channels)

    def _report(self) -> None:
        if time.monotonic() - self._reported > _REPORT:
            self._reported = time.monotonic()
            self._say({"rows": self._rows, "total": self._total, "waiting": len(self._pushed)})


def _channels(lines: list[bytes]) -> dict[str, dict[str, Any]]:
    """Return readings by channel; a line that is none is left out."""
    channels: dict[str, dict[str, Any]] = {}
    for line in lines:
        try:
            said = json.loads(line)
            name, when, value = str(said["channel"]), float(said["time"]), float(said["value"])
        except (ValueError, KeyError, TypeError):
            continue
        if math.isfinite(when) and math.isfinite(value):
            channel = channels.setdefault(name, {"timestamps": [], "values": []})
            channel["timestamps"].append(when)
            channel["values"].append(value)
            if said.get("units"):
                channel["units"] = str(said["units"])
    return channels
