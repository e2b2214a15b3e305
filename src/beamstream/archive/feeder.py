"""Feeder: from the journal into the catalogue, live, and again until it is there."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beamstream.archive.documents import is_complete
from beamstream.archive.filing import Filing, tell_refusal
from beamstream.archive.filing_worker import REFUSED, UNAVAILABLE, FilingWorker
from beamstream.archive.refused import attempts_of, reason_of
from beamstream.archive.trouble import ServerInTrouble, TroubleHook, is_trouble
from beamstream.attempts import Attempts
from beamstream.errors import ArchiveError
from beamstream.locks import open_locked, unlock
from beamstream.private import make_directories

log = logging.getLogger(__name__)

POLL = 0.1  # s
_STEP = 2.0  # s that a step under way may take before its connection is closed
LONGEST_PAUSE = 5.0  # s between attempts while the server is away
LONGEST_WAIT = 15.0  # s between attempts at a run that the server is in trouble with
ATTEMPTS = 3  # at a run that the server answers with an error of ours
MOST_ENDED = 2  # processes that may end while they file a run
SAYS_NO = (400, 405, 406, 413, 415, 422)  # trying again would not help


class Feeder:
    """File every run of a journal directory into a tiled catalogue, in a thread.

    A run that is open is followed live. A run that is all there moves to ``<journal>/filed``. A run with a
    document that the server or TiledWriter refuses moves to ``<journal>/refused``, the reason beside it; it is tried
    once more whenever a feeder starts. While the server is away everything waits in the journal. A run that it
    answers with an error of its own waits, ever longer, while others go on. Nothing is ever deleted.

    A run with which a feeder's process ended is filed by a process of its own the next time, see `FilingWorker`. If
    that one ends as well, or the archive with it, the run is refused until `retry`; others go on.

    Parameters
    ----------
    journal : Path
    connect : callable
        Returns the root of the catalogue; called again whenever the server was away.

    Raises
    ------
    ArchiveError
        Another feeder works on this journal.
    """

    def __init__(self, journal: str | os.PathLike[str], connect: Callable[[], Any]) -> None:
        self.journal = Path(journal)
        self._connect = connect
        self._client: Any = None
        self._filings: dict[Path, Filing] = {}
        self._refused: dict[Path, str] = {}
        self._attempts: dict[Path, int] = {}
        self._waiting: dict[Path, tuple[float, float]] = {}  # until when (monotonic), and how long the wait is
        self._marks: Attempts | None = None
        self._worker: FilingWorker | None = None
        self._filed = 0
        self._pause = POLL
        self._away_since: float | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = -1

    def start(self) -> None:
        """Begin to file; returns at once."""
        for directory in (self.journal, self.journal / "filed", self.journal / "refused"):
            make_directories(directory)
        self._lock = _lock(self.journal)
        self._marks = Attempts(attempts_of(self.journal))
        self._take_refused()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="beamstream-feeder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; return when the thread is gone. Open runs are filed anew by the next feeder."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STEP)
        client = self._client
        if client is not None:
            client.context.close()  # ends a request that is being tried again and again
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self._end_worker()
            unlock(self._lock)

    def __enter__(self) -> "Feeder":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def statistics(self) -> dict[str, Any]:
        """Return ``waiting``, ``open``, ``filed``, ``refused`` (runs) and ``away`` (s without the server)."""
        away = 0.0 if self._away_since is None else time.monotonic() - self._away_since
        waiting = sum(1 for _ in self.journal.glob("*.jsonl"))
        numbers = {"waiting": waiting, "open": len(self._filings), "filed": self._filed}
        return {**numbers, "refused": len(self._refused), "away": away}

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                busy = self._round()
            except Exception:  # the thread must outlive what nobody thought of
                if not self._stopping.is_set():
                    log.exception("feeder: %s cannot be filed from; trying again", self.journal)
                busy, self._pause = False, LONGEST_PAUSE
            if not busy:
                self._stopping.wait(self._pause)

    def _round(self) -> bool:
        busy = False
        for path in sorted(self.journal.glob("*.jsonl"), key=_age):
            if self._stopping.is_set():
                break
            if path in self._refused and self._reason(path).exists():
                self._put_aside(path)
            elif self._waiting.get(path, (0.0, 0.0))[0] > time.monotonic():
                continue
            elif self._is_here():
                busy = self._step(path) or busy
        return busy

    def _is_here(self) -> bool:
        if self._client is not None:
            return True
        import httpx

        try:
            self._client = self._connect()
            TroubleHook().attach(self._client)
        except (ArchiveError, httpx.HTTPError) as error:
            self._gone(error)
            return False
        if self._away_since is not None:
            log.info("feeder: the archive is back")
        self._away_since, self._pause = None, POLL
        return True

    def _gone(self, error: Exception) -> None:
        """Forget the connection and what depended on it; each run begins anew when the server is back."""
        if self._client is not None:
            self._client.context.close()
        self._client = None
        self._filings.clear()
        if self._away_since is None:
            self._away_since = time.monotonic()
            log.warning("feeder: the archive is away, runs wait in %s: %s", self.journal, error)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _step(self, path: Path) -> bool:
        """Work at a run; return whether there was something to do."""
        assert self._marks is not None
        self._refused.pop(path, None)
        ended = self._marks.ended(path.stem)
        if ended >= MOST_ENDED:
            self._refuse(path, ArchiveError(f"{ended} processes ended while they filed it"))
            return True
        if ended and is_complete(path):
            return self._step_apart(path)
        filing = self._filings.get(path)
        try:
            if filing is not None and not filing.has_more:  # of most looks, and they leave no mark on the disk
                return False
            with self._marks.working(path.stem):
                return self._step_here(path)
        except OSError as error:  # the journal's own disk
            self._postpone(path, error)
            return False

    def _step_apart(self, path: Path) -> bool:
        """Have a process of its own file a run; return whether that has ended."""
        assert self._marks is not None
        if self._worker is None:
            self._marks.begin(path.stem)
            self._worker = FilingWorker(path, self._client)
        if self._worker.path != path or self._worker.status is None:
            return False
        status, output = self._worker.status, self._worker.error_output
        self._end_worker()
        if status == 0:
            self._done(path)
        elif status == REFUSED:
            self._refuse(path, ArchiveError(output))
        elif status == UNAVAILABLE:
            self._postpone(path, ArchiveError(output))
        else:
            self._marks.add(path.stem)
            self._refuse(path, ArchiveError(f"two processes ended while they filed it, with status {status}: {output}"))
        return True

    def _end_worker(self) -> None:
        assert self._marks is not None
        if self._worker is not None:
            self._worker.close()
            self._marks.finish(self._worker.path.stem)
            self._worker = None

    def _step_here(self, path: Path) -> bool:
        import httpx

        try:
            filing = self._filings.get(path)
            if filing is None:
                filing = self._filings[path] = Filing(path, self._client)
            busy = filing.step()
        except httpx.HTTPStatusError as error:
            return self._answered(path, error, error.response.status_code)
        except httpx.HTTPError as error:
            self._gone(error)
            return False
        except (ServerInTrouble, OSError) as error:  # or the journal's own disk
            self._postpone(path, error)
            return False
        except Exception as error:
            if not self._stopping.is_set():
                self._refuse(path, error)
            return True
        if filing.is_filed:
            self._done(path)
        return busy

    def _answered(self, path: Path, error: Exception, status: int) -> bool:
        """Decide what an error means: a wrong key concerns every run, the server's trouble passes, the rest is ours."""
        if status in (401, 403):
            self._gone(error)
            return False
        if not is_trouble(status):
            self._attempts[path] = self._attempts.get(path, 0) + 1
            if self._attempts[path] >= ATTEMPTS or status in SAYS_NO:
                self._refuse(path, error)
                return True
        self._postpone(path, error)
        return False

    def _postpone(self, path: Path, error: Exception) -> None:
        """Begin anew with a run later, ever later."""
        self._filings.pop(path, None)
        if path not in self._waiting:
            log.warning("feeder: run %s waits, it is tried again: %s", path.stem, error)
        wait = min(2 * self._waiting.get(path, (0.0, POLL))[1], LONGEST_WAIT)
        self._waiting[path] = time.monotonic() + wait, wait

    def _refuse(self, path: Path, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        beside = self._reason(path)
        try:
            beside.write_text(reason + "\n", errors="backslashreplace")
        except OSError as second:
            self._postpone(path, second)
            return
        self._refused[path] = reason
        log.warning("feeder: run %s is refused and kept in %s: %s", path.stem, beside.parent, reason)
        self._filings.pop(path, None)
        try:
            tell_refusal(self._client, path.stem, reason)
        except Exception as second:  # the reason is on disk already
            log.warning("feeder: %s could not be marked: %s", path.stem, second)
        self._put_aside(path)

    def _put_aside(self, path: Path) -> None:
        if is_complete(path):  # before that, its owner writes into it and recovery may have to find it
            path.replace(self.journal / "refused" / path.name)

    def _take_refused(self) -> None:
        """Try again what was refused before: server, network or a version may have been the reason."""
        assert self._marks is not None
        for path in (self.journal / "refused").glob("*.jsonl"):
            if self._marks.ended(path.stem) >= MOST_ENDED:
                continue
            if not (self.journal / path.name).exists():
                path.replace(self.journal / path.name)

    def _reason(self, path: Path) -> Path:
        return reason_of(self.journal, path.stem)

    def _done(self, path: Path) -> None:
        self._filings.pop(path, None)
        self._attempts.pop(path, None)
        self._waiting.pop(path, None)
        path.replace(self.journal / "filed" / path.name)
        self._reason(path).unlink(missing_ok=True)
        if self._marks is not None:
            self._marks.forget(path.stem)
        self._filed += 1
        log.info("feeder: run %s is filed", path.stem)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _lock(journal: Path) -> int:
    try:
        return open_locked(journal / ".feeder.lock")
    except BlockingIOError:
        raise ArchiveError(f"feeder: {journal} is filed from by another process; end that one first") from None
