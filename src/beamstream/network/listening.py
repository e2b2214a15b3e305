"""Sockets that servers listen on, and the URLs of these."""

import errno
import socket

_BACKLOG = 128  # until the server, which listens with its own, has started


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; of a name with addresses of both kinds, at the one of IPv4.

    Parameters
    ----------
    host : str
        Address or name of this machine.
    port : int
        0 takes a free one.

    Raises
    ------
    OSError
        The port is in use or no port, or the host is none of this machine.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)  # a port above 65535 would be cut to 16 bits
    family, kind, protocol, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address[0], port, *address[2:]))
        listening.listen(_BACKLOG)  # claims the port now: two that only bind may both succeed
    except OverflowError:
        listening.close()
        raise OSError(errno.EINVAL, "ports are 0 to 65535") from None
    except BaseException:
        listening.close()
        raise
    return listening


def url_of(sock: socket.socket, tls: object = None) -> str:
    """Return ``http://host:port`` of a socket that listens, ``https`` with something to speak TLS with."""
    host, port = str(sock.getsockname()[0]), int(sock.getsockname()[1])
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
