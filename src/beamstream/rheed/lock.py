"""One worker an upload: its lock, and who has it."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict

from beamstream.errors import UploadError
from beamstream.locks import open_locked, unlock
from beamstream.rheed.job import JobDirectory, Owner

_TRIES = 10


@contextlib.contextmanager
def locked(directory: JobDirectory) -> Iterator[None]:
    """Keep other workers off; the file names this one to them.

    Raises
    ------
    UploadError
        There is one already.
    """
    fd = _lock(directory)
    try:
        with contextlib.suppress(OSError):  # a full disk: then its owner is not in it
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps(asdict(Owner.this())).encode(), 0)
        yield
    finally:
        unlock(fd)


def _lock(directory: JobDirectory) -> int:
    """Return the descriptor that holds the lock; whoever asks whether there is a lock has it for a moment."""
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            return open_locked(directory.lock)
        time.sleep(0.05)
    words = directory.lock.read_text()
    who = f" by process {json.loads(words)['pid']}" if words else ""
    raise UploadError(
        f"upload: {directory.path.name} asked for, it is being uploaded{who} already; leave it to that one, "
        "beamstream uploads shows how far it is"
    )
