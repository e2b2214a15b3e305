"""Runs that go on where a killed process left them."""

import os
import time
from pathlib import Path

from beamstream.archive.documents import Document, decode
from beamstream.callbacks.journal import Journal, _OpenRun
from beamstream.errors import ArchiveError, IngestError
from beamstream.forks import open_unshared
from beamstream.locks import lock, unlock

_PATIENCE = 5.0  # s that somebody else may hold a journal: recovery looks at it


class ResumableJournal(Journal):
    """A journal whose open runs outlive the process: `resume` takes one up again.

    A document that the disk did not take is given again later, and no plan has to end. Everything else is
    `beamstream.callbacks.journal.Journal`.
    """

    _repeats = True

    def resume(self, run: str) -> list[Document]:
        """Take up a run that has no stop document; return its documents, none if there is no such run.

        Half a line that a kill left is cut. A run that somebody closed meanwhile, as `beamstream recover` does, ends
        with its stop document, and is not open.

        Raises
        ------
        IngestError
            Somebody else holds it.
        ArchiveError
            It is damaged.
        """
        path = self.directory / f"{run}.jsonl"
        with self._lock:
            try:
                fd = open_unshared(path, os.O_RDWR | os.O_APPEND)
            except FileNotFoundError:
                return self._filed(run)
            try:
                _claim(fd, path)
                documents, size = _whole(path)
                os.ftruncate(fd, size)
            except BaseException:
                unlock(fd)
                raise
            if documents and documents[-1].name == "stop":
                unlock(fd)
                return documents
            names = {d.doc["uid"] for d in documents if d.name in ("descriptor", "stream_resource")}
            self._runs[run] = _OpenRun(run, path, fd, size, names)
            return documents

    def _filed(self, run: str) -> list[Document]:
        for place in ("filed", "refused"):
            path = self.directory / place / f"{run}.jsonl"
            if path.exists():
                return _whole(path)[0]
        return []


def _whole(path: Path) -> tuple[list[Document], int]:
    """Return the documents of a journal, and how many bytes of it they are."""
    data = path.read_bytes()
    size = data.rfind(b"\n") + 1
    documents = [decode(line) for line in data[:size].splitlines()]
    if not documents or documents[0].name != "start":
        raise ArchiveError(f"ingest: {path} does not begin with a start document; move it away")
    return documents, size


def _claim(fd: int, path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return lock(fd)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise IngestError(f"ingest: {path} is written by another process; end that one first") from None
            time.sleep(0.02)
