"""Keeper: the workers of uploads are started, and started again when they die."""

import logging
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from beamstream.children import last_words
from beamstream.errors import UploadError
from beamstream.rheed.job import JobDirectory
from beamstream.rheed.starting import AT_ONCE, is_over, is_running, reap, start_worker, unfinished

log = logging.getLogger(__name__)

_LOOK = 1.0  # s between two looks
_STEADY = 30.0  # s; a worker that lived so long is started again without delay
_LONGEST = 60.0  # s
_LAST_WORDS = 400  # bytes


class Keeper:
    """Keep workers at work as long as this process lives; afterwards they go on, but nobody starts them again.

    Its thread begins with the first upload and ends when all of them are over.

    Parameters
    ----------
    key : str
        Of the service, for workers that have no key file; otherwise the environment's.
    """

    def __init__(self, key: str = "") -> None:
        self._key = key
        self._kept: dict[Path, _Kept] = {}
        self._unseen: list[Path] = []  # directories that were not looked through yet
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def keep(self, job: JobDirectory) -> None:
        """Start a worker on an upload, and see to it that there is one from now on; waits for nothing."""
        with self._lock:
            one = self._kept.setdefault(job.path, _Kept(job))
            if self._room():
                one.look(self._key)  # here, and not in a thread that ends with a session which is about to end
            self._wake()

    def resume(self, uploads: Path) -> None:
        """See to it that all uploads of an archive are worked on that are not over; returns at once."""
        with self._lock:
            self._unseen.append(uploads)
            self._wake()

    def close(self) -> None:
        """Start nothing any more; the workers go on."""
        self._closing.set()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _wake(self) -> None:
        if self._thread is None and not self._closing.is_set():
            self._thread = threading.Thread(target=self._run, name="upload-keeper", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._look_for_more()
            with self._lock:
                for one in list(self._kept.values()):
                    if one.look(self._key, start=self._room()):
                        del self._kept[one.job.path]
                if not self._kept and not self._unseen:
                    self._thread = None
                    break
            self._closing.wait(_LOOK)
        reap()

    def _room(self) -> bool:
        """Return whether one more worker may be started."""
        return sum(one.alive for one in self._kept.values()) < AT_ONCE

    def _look_for_more(self) -> None:
        with self._lock:
            unseen, self._unseen = self._unseen, []
        for job in [job for uploads in unseen for job in unfinished(uploads)]:
            with self._lock:
                self._kept.setdefault(job.path, _Kept(job))


@dataclass(slots=True)
class _Kept:
    """One upload, and how it went with its workers."""

    job: JobDirectory
    child: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    delay: float = 0.0

    @property
    def alive(self) -> bool:
        """Whether a worker of ours lives."""
        return self.child is not None and self.child.poll() is None

    def look(self, key: str, *, start: bool = True) -> bool:
        """Start a worker where there is none, if `start`; return whether the upload is over, or lost sight of."""
        try:
            return self._look(key, start)
        except Exception as error:  # one that is damaged must not keep the others from being looked at
            log.warning("upload %s: %s; nobody sees to it any more", self.job.path.name, error)
            return True

    def _look(self, key: str, start: bool) -> bool:
        if self.alive:
            return is_over(self.job)
        if not self.job.path.is_dir() or is_over(self.job):
            return True
        if is_running(self.job):
            return False
        if self.child is not None:
            self._died(self.child)
        if start and time.monotonic() >= self.started + self.delay:
            self._start(key)
        return False

    def _died(self, child: "subprocess.Popen[bytes]") -> None:
        """Note that a worker ended before its upload was; wait longer each time that happens soon."""
        self.child = None
        lived = time.monotonic() - self.started
        self.delay = 0.0 if lived > _STEADY else min(_LONGEST, max(2 * _LOOK, 2 * self.delay))
        with self.job.log.open("rb") as file:
            said = f"its worker ended with {child.returncode} and said: {last_words(file, _LAST_WORDS)}"
        log.warning("upload %s: %s; it is started again", self.job.path.name, said)

    def _start(self, key: str) -> None:
        self.started = time.monotonic()
        try:
            self.child = start_worker(self.job, key)
        except UploadError as error:
            self.delay = _LONGEST
            log.warning("%s; tried again in %g s", error, self.delay)
