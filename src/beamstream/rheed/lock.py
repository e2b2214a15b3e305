"""One worker an upload: the lock that says so, and who has it."""

import contextlib
import fcntl
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import IO, Any

from beamstream.errors import UploadError
from beamstream.rheed.job import JobDirectory, Owner

_TRIES = 10


@contextlib.contextmanager
def locked(directory: JobDirectory) -> Iterator[None]:
    """Keep other workers off; the file tells them who this is.

    Raises
    ------
    UploadError
        There is one already.
    """
    with directory.lock.open("a+") as file:
        if not _lock(file):
            file.seek(0)
            words = file.read()
            who = f" by process {json.loads(words)['pid']}" if words else ""
            raise UploadError(
                f"upload: {directory.path.name} asked for, it is being uploaded{who} already; leave it to that one, "
                "beamstream uploads shows how far it is"
            )
        with contextlib.suppress(OSError):  # a full disk: then it is not said who
            file.truncate(0)
            file.write(json.dumps(asdict(Owner.this())))
            file.flush()
        yield


def _lock(file: IO[Any]) -> bool:
    """Return whether nobody else has it; who only looks whether somebody has, has it for a moment."""
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False
