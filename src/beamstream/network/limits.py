"""Deadlines of a server, and bounds on what its clients may send and keep open."""

import contextlib
import resource
from dataclasses import dataclass

_MANY_FILES = 16384  # sockets and files of a process that serves
_RESERVE = 256  # descriptors that stay free for files
_LEAST = 16  # connections, however few files a process may open


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server.

    Parameters
    ----------
    head : float
        s until the first request has begun, and for all of a request's head.
    idle : float
        s between an answer and the next request.
    body : float
        s within which `body_bytes` of a body have to come: an upload over a slow line may take hours.
    body_bytes : int
    stalled : float
        s for which a client may receive nothing of an answer.
    linger : float
        s for which the rest of a body is read, and dropped, that was refused: the client may read why.
    head_bytes, headers : int
        Size of a request's head, and how many lines it has.
    connections : int
        Open at once, websockets apart; at most what the limit of open files leaves.
    a_peer : int
        The same for one address that is not this machine.
    websockets : int
        Open at once, with the same proviso; pages that are forgotten in a tab hold one each.
    """

    head: float = 10.0
    idle: float = 75.0
    body: float = 30.0
    body_bytes: int = 1 << 14
    stalled: float = 120.0
    linger: float = 5.0
    head_bytes: int = 1 << 16
    headers: int = 200
    connections: int = 512
    a_peer: int = 128
    websockets: int = 4096

    @property
    def room(self) -> int:
        """Connections that this process can have open now, websockets apart."""
        return min(self.connections, max(_LEAST, _descriptors() // 2))

    @property
    def websocket_room(self) -> int:
        """Websockets that this process can have open now."""
        return min(self.websockets, max(_LEAST, _descriptors() - self.room))


def _descriptors() -> int:
    """Return how many sockets this process can have."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MANY_FILES if files == resource.RLIM_INFINITY else files
    return files - min(_RESERVE, files // 2)


def allow_many_files() -> None:
    """Raise the limit of open files, as far as it may be; for a process that does nothing but serve."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        many = _MANY_FILES if hard == resource.RLIM_INFINITY else min(_MANY_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (many, hard))
