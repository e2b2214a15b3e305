"""Where the server of an archive listens: written by the server, read by its clients."""

import http.client
import os
import socket
import time

from beamstream.archive.layout import Layout, read_key
from beamstream.errors import ArchiveError, NotOurServer
from beamstream.locks import is_locked, open_locked
from beamstream.network import listening
from beamstream.network.address import KEY_VARIABLE, Address
from beamstream.network.proof import proved_connection


def published_address(layout: Layout) -> Address:
    """Return where an archive is served, as its server wrote it: to be displayed; no key may be sent there.

    Raises
    ------
    ArchiveError
        No server runs, or one that died left its address behind.
    """
    address = _read(layout)
    if not is_locked(layout.lock):
        raise _ended(layout, address)
    return address


def find_server(layout: Layout, timeout: float = 5.0) -> Address:
    """Return where an archive is served, by a server that has just proved to be the one that wrote this address.

    The proof holds for one connection; for clients with several see `beamstream.network.proved_http`.

    Parameters
    ----------
    layout : Layout
    timeout : float
        Until it must have answered, s.

    Raises
    ------
    ArchiveError
        No server runs, it does not answer, or another program has its port.
    """
    address = _read(layout)
    if not (address.secret or is_locked(layout.lock)):  # of an earlier version
        raise _ended(layout, address)
    try:
        proved_connection(address, timeout).close()
    except NotOurServer as error:
        raise ArchiveError(f"archive: {error}; end that program or choose another port, then start ours") from None
    except (OSError, http.client.HTTPException) as error:
        if not is_locked(layout.lock):
            raise _ended(layout, address) from None
        raise ArchiveError(
            f"archive: process {address.pid} has {layout.directory} and does not answer at {address.url} ({error}); "
            f"wait if it just started, otherwise end it"
        ) from None
    return address


def server_and_key(layout: Layout, key: str | None = None) -> tuple[Address, str | None]:
    """Return where an archive is served, and the key to show there: the only place where the two come together.

    Parameters
    ----------
    layout : Layout
    key : str, optional
        Without it: ``BEAMSTREAM_API_KEY`` from the environment, then the key file if it can be read, then none.

    Raises
    ------
    ArchiveError
        See `find_server` and `beamstream.archive.layout.read_key`.
    """
    address = find_server(layout)
    key = key or os.environ.get(KEY_VARIABLE)
    if key is None and os.access(layout.key, os.R_OK):
        key = read_key(layout.key)
    return address, key


def _read(layout: Layout) -> Address:
    try:
        return Address.read(layout.address)
    except FileNotFoundError:
        raise ArchiveError(f"archive: nobody serves {layout.directory}; start `beamstream serve`") from None
    except NotOurServer as error:
        raise ArchiveError(f"archive: {error}") from None


def _ended(layout: Layout, address: Address) -> ArchiveError:
    return ArchiveError(
        f"archive: the server of {layout.directory} (process {address.pid}, {address.url}) has ended; "
        "start `beamstream serve`"
    )


def claim(layout: Layout, timeout: float = 1.0) -> int:
    """Lock an archive for one server; return the descriptor that holds the lock until it is closed.

    Raises
    ------
    ArchiveError
        Another server has it.
    """
    deadline = time.monotonic() + timeout  # a client that tests the lock holds the lock for an instant
    while True:
        try:
            return open_locked(layout.lock)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ArchiveError(f"archive: {layout.directory} is served already{_by_whom(layout)}") from None
            time.sleep(0.02)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens, see `beamstream.network.listening.listen`.

    Raises
    ------
    ArchiveError
        The port is in use, or the host is none of this machine.
    """
    try:
        return listening.listen(host, port)
    except OSError as error:
        raise ArchiveError(
            f"archive: {host}:{port} cannot be listened on: {error.strerror}; choose another port, or 0 for a free one"
        ) from error


def _by_whom(layout: Layout) -> str:
    try:
        address = Address.read(layout.address)
    except OSError:
        return "; end that server first"
    return f" by process {address.pid} at {address.url}; use it or end it first"
