"""What `/state` says: what runs, what ran last, and whether there is room for more."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from beamstream.live.beside import ArchiveServer
from beamstream.live.disk import Disk
from beamstream.live.last_runs import LastRuns
from beamstream.watching.presence import present

_FRESH = 0.4  # s
_REST = 5.0  # times what a look took: a page that looks on must cost a recording nothing
_RUNS = 10
_RUNS_FRESH = 1.0  # s
_BESIDE_FRESH = 3.0  # s
_NEEDED = {"uid", "plan", "started"}  # of a run that a session tells of


class Places(Protocol):
    """Where to look; `beamstream.live.settings` has them."""

    @property
    def archive(self) -> str:
        """Directory of the archive, "" for none."""
        ...

    @property
    def archive_url(self) -> str:
        """Where it is served; "": as its directory says."""
        ...

    @property
    def recordings(self) -> str:
        """Directory of recordings, "" for the archive's."""
        ...


class State:
    """Gather the state for all pages together, in threads, a few times a second at most, and only while they ask.

    Parameters
    ----------
    settings : Places
        E.g. the hub's settings.
    """

    def __init__(self, settings: Places) -> None:
        self._archive = Path(settings.archive) if settings.archive else None
        where = settings.recordings or settings.archive or "."
        self._disk = Disk(Path(where).expanduser().absolute())
        self._runs = LastRuns(self._archive / "journal") if self._archive else None
        self._server = ArchiveServer(self._archive, settings.archive_url) if self._archive else None
        self._last = _Kept(self._last_runs, _RUNS_FRESH)
        self._document: dict[str, Any] = {}
        self._beside: dict[str, Any] = {"archive": {"url": "", "words": "being asked", "tone": "idle", "waiting": 0}}
        self._lock = asyncio.Lock()
        self._next = self._next_beside = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def document(self) -> dict[str, Any]:
        """Return everything, as JSON can carry it; never raises for what it looks at.

        Returns
        -------
        dict
            ``time``; ``sessions``: see `beamstream.watching.presence`; ``runs``: see `LastRuns.newest`, each with
            ``link``, its place in the archive's own page, or None; ``disk``: see `Disk.document`; ``archive`` and
            ``uploads``: see `ArchiveServer`.
        """
        async with self._lock:
            began = time.monotonic()
            if began >= self._next:
                self._document = await asyncio.to_thread(self._look)
                ended = time.monotonic()
                self._next = ended + max(_FRESH, _REST * (ended - began))
        self._ask_beside()
        document = {**self._document, **self._beside}
        url = self._beside["archive"]["url"]
        document["runs"] = [{**run, "link": _link(url, run)} for run in document["runs"]]
        return document

    def _look(self) -> dict[str, Any]:
        sessions = _sessions(self._archive) if self._archive else []
        running = tuple(session["run"]["uid"] for session in sessions if session.get("run"))
        return {
            "time": time.time(),
            "sessions": sessions,
            "runs": self._last.value(running),
            "disk": self._disk.document(),
        }

    def _last_runs(self) -> list[dict[str, Any]]:
        return self._runs.newest(_RUNS) if self._runs else []

    def _ask_beside(self) -> None:
        """Ask the archive's server anew, now and then; nobody waits for what it says."""
        if self._asking is not None or time.monotonic() < self._next_beside:
            return
        self._asking = asyncio.create_task(self._asked())

    async def _asked(self) -> None:
        try:
            began = time.monotonic()
            self._beside = await asyncio.to_thread(self._look_beside)
            self._next_beside = time.monotonic() + max(_BESIDE_FRESH, _REST * (time.monotonic() - began))
        finally:
            self._asking = None

    def _look_beside(self) -> dict[str, Any]:
        if self._server is None or self._runs is None:
            return {"archive": {"url": "", "words": "no archive is configured", "tone": "idle", "waiting": 0}}
        running = sum(run["status"] == "running" for run in self._document.get("runs", ()))
        archive = self._server.document(max(0, self._runs.waiting() - running))
        return {"archive": archive, "uploads": self._server.uploads(archive["url"])}


class _Kept:
    """What a look showed, until it is old or what it depends on is another."""

    def __init__(self, look: Callable[[], Any], fresh: float) -> None:
        self._look, self._fresh = look, fresh
        self._next = float("-inf")
        self._of: object = None
        self._value: Any = None

    def value(self, of: object) -> Any:
        began = time.monotonic()
        if began >= self._next or of != self._of:
            self._value, self._of = self._look(), of
            ended = time.monotonic()
            self._next = ended + max(self._fresh, 2 * _REST * (ended - began))
        return self._value


def _link(url: str, run: dict[str, Any]) -> str | None:
    """Return where the archive's own page shows a run; it knows runs as soon as they begin to be filed."""
    return f"{url}/ui/browse/{run['uid']}" if url and not run["refused"] else None


def _sessions(archive: Path) -> list[dict[str, Any]]:
    """Return what living sessions do; a word that is none of ours is passed over."""
    try:
        return [said for said in present(archive) if said["run"] is None or said["run"].keys() >= _NEEDED]
    except (ValueError, TypeError, KeyError, AttributeError):  # somebody wrote nonsense there by hand
        return []
