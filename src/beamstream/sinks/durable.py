"""Bring what a sink writes to the disk behind its writer, and check that it is still where documents name it."""

import os
import stat
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from beamstream.errors import BeamstreamError, SinkError
from beamstream.sinks.disk import explained, still_there, sync_directory, sync_file

_PERIOD = 1.0  # s between two syncs; what a power cut may cost
_ENDS = 60.0  # s that the last sync may take once it is not waited for any more
_rescued: list[int] = []  # descriptors of deleted files: what is in them lives as long as they are open

Files = Callable[[int, int], Iterable[Path]]


class Durable:
    """Sync the files of one sink once a second in a thread of its own, so that its writer never waits for it.

    What takes a write may still be unable to keep it: a thin volume, a disk that fails. Only a sync shows it. Its error
    is kept, and raised by `check`, `sync` and everything that comes after.

    Parameters
    ----------
    who : str
        Whose frames they are, for errors.
    path : Path
        The file that grows, or the directory of those that do. It exists.
    kept : callable
        Returns how many frames are written by now.
    files : callable
        ``files(start, stop)`` returns the other files that changed with these frames.
    """

    def __init__(self, who: str, path: Path, kept: Callable[[], int], files: Files) -> None:
        self._who, self._path, self._kept, self._files = who, path, kept, files
        self._synced = -1  # frames; the empty file is synced as well
        self._error: BeamstreamError | None = None
        self._alone = threading.Lock()  # one sync at a time
        self._ending = threading.Event()
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._sync_until_closed, name=f"{who}-sync", daemon=True)
        self._thread.start()

    @property
    def safe(self) -> int:
        """Frames as of the last sync; 0 if the file is gone."""
        return max(self._synced, 0)

    def check(self) -> None:
        """Raise what the last sync found; returns at once.

        Raises
        ------
        DiskFull, SinkError
            What was written cannot be kept, or is not there any more.
        """
        if self._error is not None:
            raise self._error

    def sync(self) -> None:
        """Return when the frames that are written by now would survive a power cut.

        Raises
        ------
        DiskFull, SinkError
            As `check`.
        """
        with self._alone:
            self.check()
            try:
                self._sync()
            except BeamstreamError as error:
                self._error = error
                raise

    def close(self) -> None:
        """End the thread; nothing is synced here."""
        self._ending.set()
        self._thread.join(_ENDS)
        fd, self._fd = self._fd, -1
        if fd >= 0 and not self._thread.is_alive():
            os.close(fd)

    def _sync_until_closed(self) -> None:
        while not self._ending.wait(_PERIOD):
            try:
                self.sync()
            except BeamstreamError:
                return  # kept for `check`

    def _sync(self) -> None:
        start, stop = max(self._synced, 0), self._kept()
        with explained(self._who, f"bring frames {start}:{stop} to the disk in", self._path):
            if not still_there(self._fd, self._path):
                self._synced = 0
                raise SinkError(self._gone(stop))
            if stop == self._synced:
                return
            for path in self._files(start, stop):
                sync_file(path)
            os.fdatasync(self._fd)
            if self._synced < 0:
                sync_directory(self._path.parent)
        self._synced = stop

    def _gone(self, kept: int) -> str:
        what = f"{self._who}: {kept} frames written to {self._path}, which was deleted, replaced or unmounted meanwhile"
        if stat.S_ISDIR(os.fstat(self._fd).st_mode):
            return f"{what}; record them again, and leave a directory alone while it is recorded to"
        _rescued.append(os.dup(self._fd))
        rescue = f"cp /proc/{os.getpid()}/fd/{_rescued[-1]} rescued_{self._path.name}"
        return f"{what}; get the frames before this process ends, with `{rescue}`"
