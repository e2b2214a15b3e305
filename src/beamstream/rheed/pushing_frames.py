"""Frames of the recorded file, pushed chunk by chunk: in the client's process."""

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from beamstream.errors import BeamstreamError, SinkError
from beamstream.rheed.job import JobDirectory
from beamstream.rheed.orders import Cannot, Orders, Say, rows_in_all
from beamstream.rheed.pieces import LEAST_SECONDS, Piece, check_chunk, check_rows, measured_rate, read_piece, rule_of
from beamstream.rheed.rows import RecordedRows
from beamstream.rheed.spool import Spool

_UNDER_WAY = (2, 16)  # chunks: two keep it going, sixteen keep eight senders busy
_UNDER_WAY_BYTES = 1 << 30
_AHEAD_BYTES = 256 << 20  # a chunk larger than that is not read before its turn
_POLL = 0.1  # s
_AGAIN = 1.0  # s
_REPORT = 1.0  # s; a report at least, so that the worker knows that we live


class PushingFrames:
    """Push what is on disk and not at the service; report what has arrived.

    Parameters
    ----------
    streamers : module
        Of the cloud's client.
    directory : JobDirectory
    first : Mapping
        The worker's first message: relay, key, state.
    orders, say
        From and to the worker.
    """

    def __init__(
        self, streamers: Any, directory: JobDirectory, first: Mapping[str, Any], orders: Orders, say: Say
    ) -> None:
        self._directory, self._job = directory, directory.job
        self._path = directory.path / self._job.path
        self._orders, self._say = orders, say
        self._linked = bool(first["linked"])
        state = first["state"]
        self._next, self._beyond = int(state["confirmed"]), set(state["beyond"])
        self._fps, self._chunk_size = float(state["fps"]), int(state["chunk_size"])
        self._again: set[int] = set()
        self._black: set[int] = set()
        self._total: int | None = None
        self._on_disk = 0
        self._rule = rule_of(self._job)
        self._ahead: Future[Piece] | None = None
        self._reader = ThreadPoolExecutor(1, "reader")
        self._reported = (0.0, {})

        def make(**spool: Any) -> Any:
            verbosity = max(2, self._job.verbosity)  # from 2 on it prints what is wrong
            return streamers.RHEEDStreamer(first["key"], first["relay"], verbosity, **spool)

        self._spool = Spool(make, self._begin, Path(first["spool"]))

    def run(self) -> None:
        """Push until the stream has ended.

        Raises
        ------
        Cannot
            This file cannot be uploaded so.
        EOFError
            The worker is gone.
        """
        with self._open() as self._rows:
            if not self._settle():
                self._say({"rows": 0, "total": 0, "waiting": 0})
                return
            self._insist(lambda: self._spool.start(empty=True))
            self._say({"initialized": self._spool.data_id})
            while True:
                pushed = self._push_one()
                self._look()
                if self._obey(0.0 if pushed else _POLL):
                    return

    def _open(self) -> RecordedRows:
        """Return the file, as soon as it is there."""
        while True:
            try:
                return RecordedRows(self._path, self._job.dataset)
            except SinkError as error:
                self._abandon_if_not_recorded(error)
                self._say({"trouble": str(error)})
                self._obey(_AGAIN)

    def _abandon_if_not_recorded(self, error: SinkError) -> None:
        if not self._directory.is_recording and not self._path.exists():
            raise Cannot(f"{error}; and its recorder has ended")

    def _settle(self) -> bool:
        """Find out rate and length of a chunk, once, and both hold to the end; False if there are no frames at all."""
        job = self._job
        check_rows(self._rows, self._rule, self._directory.path.name)
        while not self._fps:
            self._total = rows_in_all(self._directory, lambda: len(self._rows))
            if self._total == 0:
                return False
            rate = job.fps or measured_rate(self._rows, self._total)
            if rate:
                size = job.chunk_size or math.ceil(max(job.chunk_seconds, LEAST_SECONDS) * rate)
                self._fps, self._chunk_size = rate, size
            else:
                self._report()
                self._obey(_POLL)
        check_chunk(job.name, self._fps, self._chunk_size)
        self._say({"settled": {"fps": self._fps, "chunk_size": self._chunk_size}})
        return True

    def _begin(self, streamer: Any) -> str:
        """Open the stream; sample and tags are attached once."""
        job = self._job
        links = {} if self._linked else job.links
        try:
            data_id = streamer.initialize(
                self._fps, job.rotations_per_min, self._chunk_size, job.stream_name, azimuth=job.azimuth, **links
            )
        except ValueError as error:
            raise Cannot(f"upload: the cloud's client does not take {job.stream_name}: {error}") from error
        self._linked = True
        return data_id

    def _insist(self, act: Callable[[], None]) -> None:
        """Do it, again until it does not raise."""
        while True:
            try:
                return act()
            except (RuntimeError, OSError) as error:
                self._say({"trouble": f"upload: {self._job.stream_name}: {error}"})
                self._obey(_AGAIN)

    def _obey(self, timeout: float) -> bool:
        """Act on the worker's messages; return whether the stream has ended."""
        for order in self._orders.take(timeout):
            match order["do"]:
                case "renew" if self._spool.data_id:
                    self._insist(lambda: self._spool.start(empty=False))
                case "arrived":
                    self._black.discard(order["chunk"])
                case "finish":
                    self._insist(self._spool.finish)
                    self._say({"finished": True})
                    return True
        return False

    def _push_one(self) -> bool:
        """Push the next chunk, if it is there and has room; return whether it was."""
        if self._ahead is None:
            self._read_ahead()
        if self._ahead is None:
            return False
        try:
            piece = self._ahead.result()
        except BeamstreamError as error:
            self._ahead = None
            self._say({"trouble": str(error)})
            self._obey(_AGAIN)
            return False
        if not piece.black and not self._has_room(piece.images.nbytes):
            return False
        self._ahead = None
        self._done_with(piece.chunk)
        if piece.undecoded:
            self._say({"undecoded": piece.undecoded})
        if piece.black:
            self._black.add(piece.chunk)
            self._say({"black": {"chunk": piece.chunk, "dims": piece.images.shape, "start_ms": piece.start_ms}})
            return True
        if piece.images.nbytes <= _AHEAD_BYTES:
            self._read_ahead(more=1)
        self._spool.push(piece.chunk, piece.images, piece.start_ms)
        return True

    def _has_room(self, nbytes: int) -> bool:
        lacking = self._spool.room_for(nbytes)
        if lacking:
            words = (
                f"upload: the disk of {self._directory.path} lacks {lacking / 1e6:.0f} MB; make room, it goes on then"
            )
            self._say({"trouble": words})
            self._obey(_AGAIN)
        return not lacking

    def _read_ahead(self, more: int = 0) -> None:
        """Let the next chunk be read, if it is on disk and so few are under way that it may follow."""
        least, most = _UNDER_WAY
        nbytes = self._chunk_size * math.prod(self._rows.shape)
        allowed = max(least, min(most, _UNDER_WAY_BYTES // max(1, nbytes)))
        if self._spool.waiting + len(self._black) + more >= allowed:
            return
        chunk = min(self._again, default=self._next)
        stop = self._stop(chunk)
        if stop is not None:
            start = chunk * self._chunk_size
            self._ahead = self._reader.submit(read_piece, self._rows, self._rule, chunk, start, stop)

    def _stop(self, chunk: int) -> int | None:
        """Return the row after a chunk; None if it is not complete on disk, or there is none."""
        start, stop = chunk * self._chunk_size, (chunk + 1) * self._chunk_size
        if self._total is not None:
            stop = min(stop, self._total)
        return stop if start < stop <= self._on_disk else None

    def _done_with(self, chunk: int) -> None:
        self._again.discard(chunk)
        if chunk == self._next:
            self._next += 1
            while self._next in self._beyond:
                self._next += 1

    def _look(self) -> None:
        """Find out what has arrived and what has been recorded, and report it."""
        look = self._spool.look()
        if look.given_up:
            self._insist(lambda: self._spool.start(empty=True))
        self._again |= set(look.lost)
        self._on_disk = len(self._rows)
        self._total = rows_in_all(self._directory, lambda: len(self._rows))
        if look.arrived:
            self._say({"arrived": look.arrived})
        if look.reason:
            self._say({"trouble": f"upload: chunk {look.lost[-1]} is pushed again; the cloud's client: {look.reason}"})
            self._obey(_AGAIN)
        self._report()

    def _note(self) -> str:
        """Return a note on a file that has less than it should."""
        counted = self._directory.total
        if counted is None or self._total is None or counted <= self._total:
            return ""
        return (
            f"upload: the recorder of {self._path} counted {counted} frames, it holds {self._total}; these are "
            "uploaded, the others are lost"
        )

    def _report(self) -> None:
        """Report how much there is, when it has changed, and now and then."""
        report = {"rows": len(self._rows), "total": self._total, "waiting": self._spool.waiting}
        when, last = self._reported
        if report["total"] != last.get("total", 0) or time.monotonic() - when > _REPORT:
            self._reported = time.monotonic(), report
            self._say(report | {"note": self._note()})
