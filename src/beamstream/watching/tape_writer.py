"""Frames on their way to the disk: counted, and written in a thread of its own."""

import shutil
import threading
from collections import deque
from pathlib import Path

from beamstream.errors import BeamstreamError
from beamstream.frames import Frame
from beamstream.ledger import UniqueIds
from beamstream.sinks.base import Sink

_WAITING = 256 * 2**20  # bytes of frames that wait for the disk; further ones wait in the ring
_BATCH = 32 * 2**20  # bytes that are written at once
_RESERVE, _SHARE = 2 * 2**30, 0.05  # bytes, and part of the disk, that stay free: runs need them


class Account:
    """Count what came and what is missing, by the detector's own count.

    Attributes
    ----------
    received, lost : int
    restarts : int
        Times the count began anew.
    numbered : bool
        Whether the detector numbers its frames; if not, nobody knows what is missing.
    """

    def __init__(self) -> None:
        self.numbered = True
        self.received = self.lost = self.restarts = 0
        self._ids = UniqueIds()
        self._last: tuple[int, float] | None = None

    def had(self, frame: Frame) -> bool:
        """Whether a frame is none that comes after the last one: it was taken already, from whoever, or is older."""
        if self._last is None:
            return False
        number, timestamp = self._last
        return frame.stamped < timestamp or (frame.stamped == timestamp and frame.unique_id <= number)

    def see(self, frame: Frame) -> None:
        """Take note of a frame."""
        missing = self._ids.see(frame.unique_id)
        if missing is not None:
            self.lost += missing
        elif self._last is not None and frame.unique_id == self._last[0]:
            self.numbered = False
        else:
            self.restarts += 1
        self._last = frame.unique_id, frame.stamped
        self.received += 1


class Writer:
    """Write frames in a thread of its own, in their order, until it is finished.

    Parameters
    ----------
    sink : Sink
        Opened and closed in that thread.
    place : Path
        Somewhere on the disk that has to keep some room.

    Attributes
    ----------
    written : int
    undecoded : int
        Frames that are not written because their bytes do not decode.
    error : str
        Why it takes no more.
    """

    def __init__(self, sink: Sink, place: Path) -> None:
        self.written = self.undecoded = 0
        self.error = ""
        self._sink, self._place = sink, place
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._finishing = False
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="writer")
        self._thread.start()

    @property
    def full(self) -> bool:
        """Whether enough frames wait for the disk."""
        return self._bytes > _WAITING

    def put(self, frame: Frame) -> None:
        """Have a frame written; its memory is the writer's from now on."""
        with self._came:
            self._frames.append(frame)
            self._bytes += frame.payload.nbytes
            self._came.notify()

    def finish(self) -> None:
        """Write what waits and close the file; returns when that is done."""
        with self._came:
            self._finishing = True
            self._came.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._sink as sink:
                while batch := self._next():
                    self._keep_room()
                    self.written = sink.write(batch)
                    self.undecoded += len(sink.undecoded)
        except (BeamstreamError, OSError, ValueError) as error:
            self.error = str(error)

    def _next(self) -> list[Frame]:
        """Wait for frames; none at the end."""
        with self._came:
            self._came.wait_for(lambda: self._frames or self._finishing)
            batch, size = [], 0
            while self._frames and (not batch or size < _BATCH):
                batch.append(self._frames.popleft())
                size += batch[-1].payload.nbytes
            self._bytes -= size
            return batch

    def _keep_room(self) -> None:
        usage = shutil.disk_usage(self._place)
        least = min(_RESERVE, _SHARE * usage.total)
        if usage.free < least:
            raise OSError(
                f"recording: ended with {usage.free / 1e9:.1f} GB free in {self._place}; the last "
                f"{least / 1e9:.1f} GB are left to runs: make room, or choose another directory"
            )
