"""Refusal: a request that is answered with a no, and with words."""

import errno
import sqlite3
from typing import Any

from beamstream.errors import IngestError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FULL = "ingest: the disk is full, nothing of this was kept; make room there, then send it again"


class Refusal(IngestError):
    """Answer a request with an HTTP status and the reason.

    Parameters
    ----------
    status : int
    message : str
    detail : object, optional
        What the body has under ``detail`` in place of the message; what JSON can carry.
    """

    def __init__(self, status: int, message: str, *, detail: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.detail = message if detail is None else detail


def is_no_room(error: BaseException | None) -> bool:
    """Return whether an error, or what caused it, is a disk without space."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return True
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        error = error.__cause__
    return False
