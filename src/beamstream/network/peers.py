"""The user at the other end of a connection: for one on this machine, the kernel reports it."""

import ipaddress
import socket
import struct
from collections.abc import Mapping
from typing import Any

ELSEWHERE = "elsewhere"
"""What a peer is that is not on this machine, or that the kernel does not know."""
_SOCK_DIAG, _BY_FAMILY, _REQUEST, _ESTABLISHED = 4, 20, 1, 1  # of linux/netlink.h, linux/sock_diag.h, net/tcp_states.h
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_QUESTION = struct.Struct("=BBBxI")  # family, protocol, extensions, states
_CONNECTION = struct.Struct("!HH16s16s12s")  # ports, addresses, interface and cookie
_ANSWER = struct.Struct("=BBBB48sIIIII")  # family, state, 2 of timers, connection, expires, 2 queues, uid, inode
_ANY = bytes(4) + b"\xff" * 8


def peer_of(scope: Mapping[str, Any]) -> str:
    """Return whose connection an ASGI scope belongs to: ``"user 1000"``, or `ELSEWHERE`.

    Users of one machine share its addresses; a cookie that one got hold of, which was another's, comes over a
    connection of his own.
    """
    client, server = scope.get("client"), scope.get("server")
    if not client or not server or server[1] is None:
        return ELSEWHERE
    uid = connection_owner((client[0], client[1]), (server[0], server[1]))
    return ELSEWHERE if uid is None else f"user {uid}"


def connection_owner(local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """Return the id of the user on this machine who has a TCP connection; None if there is none.

    Asked of the kernel for just this one: to search /proc/net/tcp takes 6 ms where there is much memory.
    """
    try:
        ours, theirs = _ip_address(local[0]), _ip_address(remote[0])
        family = socket.AF_INET if ours.version == 4 else socket.AF_INET6
        what = _CONNECTION.pack(local[1], remote[1], ours.packed, theirs.packed, _ANY)
        body = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 1 << _ESTABLISHED) + what
        head = _HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST, 0, 0)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
            kernel.settimeout(1.0)
            kernel.send(head + body)
            answer = kernel.recv(4096)
        kind = _HEADER.unpack_from(answer)[1]
        _, state, *_, uid, _ = _ANSWER.unpack_from(answer, _HEADER.size) if kind == _BY_FAMILY else (0, 0, 0, 0)
    except (OSError, ValueError, struct.error):
        return None
    return uid if state == _ESTABLISHED else None  # of one that was closed the kernel forgets the owner


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
