"""What worker and client process say to each other: lines of JSON."""

import json
import os
import select
from collections.abc import Callable, Mapping
from typing import Any

from beamstream.errors import UploadError
from beamstream.rheed.job import JobDirectory

Say = Callable[[Mapping[str, Any]], None]
"""Tells the worker something."""


class Cannot(UploadError):
    """The job as it is cannot be done; only a person can change that."""


class Orders:
    """What the worker says, as it comes on stdin; from one thread."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, timeout: float | None) -> list[dict[str, Any]]:
        """Return what has come, after waiting up to `timeout` s for something.

        Raises
        ------
        EOFError
            The worker is gone.
        """
        if not select.select([0], [], [], timeout)[0]:
            return []
        more = os.read(0, 65536)
        if not more:
            raise EOFError
        *lines, self._rest = (self._rest + more).split(b"\n")
        return [json.loads(line) for line in lines]


def answer_pipe() -> Say:
    """Take stdout for the worker: what others print, the cloud's client does, goes to the log."""
    pipe = os.dup(1)
    os.dup2(2, 1)

    def say(document: Mapping[str, Any]) -> None:
        line = json.dumps(document).encode() + b"\n"
        while line:
            line = line[os.write(pipe, line) :]

    return say


def rows_in_all(directory: JobDirectory, rows: Callable[[], int]) -> int | None:
    """Return how many rows there will ever be, None while that is not known; `rows` counts those on disk."""
    recording = directory.is_recording  # before the rows are counted: the last may come between
    return None if recording else rows()
