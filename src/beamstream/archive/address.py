"""Where the server of an archive listens: written by it, read by everybody else."""

import json
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from beamstream.archive.layout import Layout
from beamstream.errors import ArchiveError
from beamstream.locks import is_locked, open_locked


@dataclass(frozen=True, slots=True)
class Address:
    """Who serves an archive, and where.

    Parameters
    ----------
    url : str
        ``http://host:port``, never with a key.
    pid : int
    certificate : str
        File of the certificate that it shows; "" where it speaks no TLS.
    """

    url: str
    pid: int
    certificate: str = ""

    def write(self, path: Path) -> None:
        """Replace the file at once, so that nobody reads half of it."""
        hidden = path.with_suffix(".new")
        hidden.write_text(json.dumps(asdict(self)) + "\n")
        hidden.replace(path)


def find_server(layout: Layout) -> Address:
    """Return where an archive is served.

    Raises
    ------
    ArchiveError
        Nobody serves it, or a server that died left its address behind.
    """
    try:
        address = Address(**json.loads(layout.address.read_text()))
    except FileNotFoundError:
        raise ArchiveError(f"archive: nobody serves {layout.directory}; start `beamstream serve`") from None
    except (OSError, ValueError, TypeError) as error:
        raise ArchiveError(f"archive: {layout.address} cannot be read ({error}); start the server again") from error
    if not is_locked(layout.lock):
        raise ArchiveError(
            f"archive: the server of {layout.directory} (process {address.pid}, {address.url}) is gone; "
            "start `beamstream serve`"
        )
    return address


def claim(layout: Layout, patience: float = 1.0) -> int:
    """Lock an archive for one server; return the descriptor that holds the lock until it is closed.

    Raises
    ------
    ArchiveError
        Another server has it.
    """
    deadline = time.monotonic() + patience  # a client that looks holds the lock for an instant
    while True:
        try:
            return open_locked(layout.lock)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ArchiveError(f"archive: {layout.directory} is served already{_by_whom(layout)}") from None
            time.sleep(0.02)


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket; port 0 takes a free one.

    Raises
    ------
    ArchiveError
        The port is in use, or the host is none of ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)  # claims the port now: two that only bind may both succeed
    except (OSError, OverflowError) as error:
        sock.close()
        why = error.strerror if isinstance(error, OSError) else error
        raise ArchiveError(
            f"archive: {host}:{port} cannot be listened on: {why}; choose another port, or 0 for a free one"
        ) from error
    return sock


def url_of(sock: socket.socket, tls: object = None) -> str:
    """Return ``http://host:port`` of a bound socket, ``https`` with something to speak TLS with."""
    host, port = str(sock.getsockname()[0]), int(sock.getsockname()[1])
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _by_whom(layout: Layout) -> str:
    try:
        address = Address(**json.loads(layout.address.read_text()))
    except (OSError, ValueError, TypeError):
        return "; end that server first"
    return f" by process {address.pid} at {address.url}; use it or end it first"
