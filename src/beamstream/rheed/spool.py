"""Which chunks have arrived: concluded from what the cloud's client counts and what it keeps on disk."""

import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from beamstream.private import make_directories

_ENTRY = re.compile(r"-c(\d+)\.zarr$")
_RETENTION = 1e8  # s; the recorded file is never too old
_LEAVE_FREE = 64 << 20  # bytes that the spool leaves on its disk
_MOST_BYTES = 1 << 40  # how much is in it, we decide
_DOUBTS = 20  # polls in a row that do not add up
_UNCLEAR = 10.0  # s that files and counts differ: the client does not try again to delete a file


@dataclass(frozen=True, slots=True)
class Look:
    """What became of chunks since the last call.

    Parameters
    ----------
    arrived : tuple of int
        The service has them.
    lost : tuple of int
        Not known to have arrived, nor waiting any more; they have to be pushed again.
    reason : str
        Why the last of them is lost, in the client's words.
    given_up : bool
        The client wants no more of this stream: it has to be started with an empty spool.
    """

    arrived: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()
    reason: str = ""
    given_up: bool = False


@dataclass(slots=True)
class _Account:
    """What was pushed into one streamer, and what is known of it."""

    pushed: Counter[int] = field(default_factory=Counter)
    under_way: set[int] = field(default_factory=set)
    arrived: int = 0
    doubts: int = 0
    unclear_since: float | None = None


class Spool:
    """Run one streamer of the cloud's client for one stream, and know what it has done.

    The client counts how many chunks have arrived, not which. A chunk's file is gone before the client counts it; when
    as many files are there as the client counted as waiting just before, then every other chunk is either listed
    as lost or has arrived. Otherwise nothing is concluded until the next call. One thread.

    Parameters
    ----------
    make : callable
        ``make(spool_dir=…, …)`` makes a `RHEEDStreamer`.
    begin : callable
        ``begin(streamer)`` opens the stream with it and returns its data_id.
    path : Path
        Its spool directory; emptied first.
    """

    def __init__(self, make: Callable[..., Any], begin: Callable[[Any], str], path: Path) -> None:
        self._make, self._begin, self._path = make, begin, path
        self._account = _Account()
        self._missing: set[int] = set()
        self._streamer: Any = None
        self.data_id = ""

    @property
    def waiting(self) -> int:
        """Chunks that were pushed and of which nothing is known."""
        return len(self._account.under_way)

    def start(self, *, empty: bool) -> None:
        """Start a streamer, also in place of one that is there: the client sleeps up to 30 s between two tries.

        Parameters
        ----------
        empty : bool
            Whether to forget what is in the spool; otherwise it is sent at once.

        Raises
        ------
        RuntimeError, OSError
            The stream cannot be opened; call it again.
        """
        self._streamer = None  # its threads have ended now
        if empty:
            shutil.rmtree(self._path, ignore_errors=True)
            make_directories(self._path)
        files = self._files()
        self._missing |= self._account.under_way - files
        self._account = _Account(Counter(files), files)
        streamer = self._make(
            spool_dir=str(self._path),
            spool_max_bytes=_MOST_BYTES,
            spool_min_free_bytes=_LEAVE_FREE,
            spool_retention_s=_RETENTION,
        )
        self.data_id = self._begin(streamer)
        self._streamer = streamer

    def room_for(self, nbytes: int) -> int:
        """Return how many bytes the disk lacks for so many more; 0 if there is room."""
        return max(0, nbytes + _LEAVE_FREE + (1 << 16) - shutil.disk_usage(self._path).free)

    def push(self, chunk: int, images: NDArray[Any], start_ms: int) -> None:
        """Encode a chunk and let it be sent; the GIL is free meanwhile, and `images` is not needed afterwards."""
        self._streamer.push(self.data_id, chunk, images, start_ms)
        self._account.pushed[chunk] += 1
        self._account.under_way.add(chunk)

    def look(self) -> Look:
        """Return what became known since the last call."""
        if self._missing:
            lost, self._missing = tuple(sorted(self._missing)), set()
            return Look(lost=lost)
        account = self._account
        if not account.under_way:
            return Look()
        report = self._streamer.spool_status()["streams"].get(self.data_id) if self._streamer else None
        if report is None or report["closed"] or account.doubts > _DOUBTS:
            return Look(given_up=True)
        files = self._files()  # after the report, see above
        if len(files) != report["chunks_pending"]:
            now = time.monotonic()
            account.unclear_since = account.unclear_since or now
            return Look(given_up=now - account.unclear_since > _UNCLEAR)
        account.unclear_since = None
        gone = account.under_way - files
        counted = Counter(chunk for chunk, _ in report["lost"])
        lost = {chunk for chunk in gone if counted[chunk] >= account.pushed[chunk]}
        if report["chunks_uploaded"] != account.arrived + len(gone - lost):
            account.doubts += 1
            return Look()
        account.doubts = 0
        account.under_way -= gone
        account.arrived += len(gone - lost)
        reason = report["lost"][-1][1] if lost else ""
        return Look(tuple(sorted(gone - lost)), tuple(sorted(lost)), reason)

    def finish(self) -> None:
        """Report to the service that the stream has ended.

        Raises
        ------
        RuntimeError
            It does not take that yet.
        """
        if self._streamer is None:
            self.start(empty=False)
            self.finish()
        else:
            self._streamer.finalize(self.data_id, 10.0)

    def _files(self) -> set[int]:
        found = (_ENTRY.search(path.name) for path in (self._path / self.data_id).glob("*.zarr"))
        return {int(match[1]) for match in found if match}
