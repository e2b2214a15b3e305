"""One HTTP connection with deadlines, and all of a server's with a bound.

uvicorn 0.54.0 ends a connection that is silent only after its first answer, and bounds neither the size nor the time
of a request; its `limit_concurrency` refuses the newest, which is the one that has something to ask.
"""

import json
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from beamstream.network.limits import Limits

_WITHOUT_PROGRESS = 0.05  # s after which a request that waits for its client may be dropped for another one
_LEAST_BODY = 1 / 9  # of what comes in chunks is body: one byte in each still is
_WORKING = (9, 0.0)


class Connections(ServerState):
    """All connections of one server; belongs to the thread of its event loop.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self.http: dict[Connection, None] = {}  # the oldest first
        self._peers: Counter[str] = Counter()

    def admit(self, new: "Connection") -> bool:
        """Take a new connection, in place of one that waits for its client where there are too many."""
        crowded = bool(new.peer) and self._peers[new.peer] >= self.limits.a_peer
        if crowded or len(self.http) >= self.limits.room:
            last = self._last(new.peer if crowded else None)
            if last is None:
                return False
            last.drop()
        self.http[new] = None
        self._peers[new.peer] += 1
        return True

    def _last(self, peer: str | None) -> "Connection | None":
        """Return what is dropped for a new connection: the oldest that never asked, else what waits longest."""
        among = [each for each in self.http if peer is None or each.peer == peer]
        silent = next((each for each in among if each.silent), None)
        last = silent or min(among, key=Connection.rank, default=None)
        return None if last is None or last.rank() == _WORKING else last

    def discard(self, connection: "Connection") -> None:
        """Forget a connection that ended, or became a websocket."""
        if connection in self.http:
            del self.http[connection]
            self._peers[connection.peer] -= 1
            if not self._peers[connection.peer]:
                del self._peers[connection.peer]

    def check(self) -> None:
        """End the connections whose deadline is over."""
        for connection in list(self.http):
            connection.check()

    @property
    def websockets(self) -> int:
        """How many websockets are open."""
        return sum(not isinstance(each, Connection) for each in self.connections)


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, with a deadline for each thing that it waits for; see `Limits`."""

    server_state: Connections

    def __init__(self, config: Any, server_state: Connections, *args: Any, **options: Any) -> None:
        super().__init__(config, server_state, *args, **options)
        self.server_state = server_state
        self.limits = server_state.limits
        self.peer = ""
        self._end: Callable[[], object] = lambda: None
        self._in_head = False
        self._lines = 0  # of the head, and of what may follow a body in chunks
        self._fed = self._body = 0  # bytes that came for the head, or after it; those of the body
        self._before = 0  # bytes of the body that had come when its present period began
        self._progress = self._since = self.loop.time()  # of the last bytes; when what is waited for began

    @property
    def silent(self) -> bool:
        """Whether nothing was ever asked."""
        return self.cycle is None and not self._in_head

    def accepted(self, client: tuple[str, int], end: Callable[[], object]) -> bool:
        """Count before TLS is agreed on, with all deadlines; return whether there is room.

        Parameters
        ----------
        client : (str, int)
            Address and port.
        end : callable
            Ends the connection.
        """
        self.peer, self._end = _peer(client), end
        return self.server_state.admit(self)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._end = transport.abort
        if self in self.server_state.http:
            return
        self.peer = _peer(self.client)
        if not self.server_state.admit(self):
            self._refuse(503, "too many connections are open; try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        self.server_state.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._progress = self.loop.time()
        self._fed += len(data)
        super().data_received(data)
        if self._fed > self.limits.head_bytes + self._body / _LEAST_BODY:
            self._refuse(431, f"a head of more than {self.limits.head_bytes} bytes came; send less")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._lines, self._fed, self._body = True, 0, 0, 0
        self._since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.head_bytes:
            raise ValueError("the address is too long")  # the parser passes it on to `send_400_response`

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines += 1
        if self._lines > self.limits.headers or len(name) + len(value) > self.limits.head_bytes:
            raise ValueError("the head is too large")
        if self._in_head:  # uvicorn would add what follows a body to the headers that were checked
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._fed, self._before = False, 0, 0
        self._since = self.loop.time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        self._since = self._progress = self.loop.time()
        super().on_response_complete()

    def resume_writing(self) -> None:
        self._progress = self.loop.time()
        super().resume_writing()

    def handle_websocket_upgrade(self) -> None:
        if self.server_state.websockets >= self.limits.websocket_room:
            self._refuse(503, "too many websockets are open; try again later")
            return
        self.server_state.discard(self)
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        if self._lines > self.limits.headers:
            self._refuse(431, f"more than {self.limits.headers} headers came; send fewer")
        else:
            self._refuse(400, msg)

    def check(self) -> None:
        """End the connection if what it waits for is overdue."""
        now, limits, cycle = self.loop.time(), self.limits, self.cycle
        waited = now - self._since
        if self.transport is None:
            if waited > limits.head:
                self.drop()
        elif self.flow.write_paused and now - self._progress > limits.stalled:
            self.drop()
        elif self.flow.read_paused or self.flow.write_paused:
            self._since, self._before = now, self._body  # it is the server that takes its time
        elif self._in_head:
            if waited > limits.head:
                self._refuse(408, f"the head of the request was not complete after {limits.head:g} s")
        elif cycle is None or cycle.response_complete:
            if waited > (limits.head if cycle is None else limits.linger if cycle.more_body else limits.idle):
                self.drop()
        elif cycle.more_body and not cycle.waiting_for_100_continue and waited > limits.body:
            came = self._body - self._before
            if came < limits.body_bytes:
                self._refuse(408, f"{came} bytes of the body came within {limits.body:g} s; send it again")
            self._since, self._before = now, self._body

    def rank(self) -> tuple[int, float]:
        """Return what is least for the connection to be dropped first: what it waits for, and since when."""
        cycle = self.cycle
        if self._in_head or cycle is None or cycle.response_complete:
            return 0 if self.silent else 1 if cycle is None else 2, self._progress
        waits = self.flow.write_paused or (cycle.more_body and not self.flow.read_paused)
        if waits and self.loop.time() - self._progress > _WITHOUT_PROGRESS:
            return 3, self._progress
        return _WORKING

    def drop(self) -> None:
        """End the connection at once, whatever is still to be sent."""
        self.server_state.discard(self)
        self._end()

    def _refuse(self, status: int, reason: str) -> None:
        """Answer in place of the application, unless it has begun to, and end the connection."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.drop()
                return
        self.server_state.discard(self)
        self.transport.write(_refusal(status, reason))
        self.transport.close()


def _refusal(status: int, reason: str) -> bytes:
    body = json.dumps({"detail": reason, "error": reason}).encode()
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    ).encode() + body


def _peer(client: tuple[str, int] | None) -> str:
    """Return whom a connection counts for: an address, or the network of an IPv6 one; "" for this machine."""
    try:
        address = ip_address(client[0].partition("%")[0]) if client else None
    except ValueError:
        return str(client)
    if address is None or address.is_loopback:
        return ""
    return str(address) if address.version == 4 else address.exploded[:19]
