"""A page without a browser: what it gets over its websocket, taken apart."""

import json
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from hub_rig import KEY
from websockets.sync.client import ClientConnection, connect

from beamstream.live.image_wire import HEAD

_TYPES = ("u1", "<u2", "<f4")


@dataclass(frozen=True)
class Shown:
    """A frame as a page has it; `values` are counts, shape (rows, cols) or (rows, cols, 3)."""

    values: np.ndarray
    pixels: np.ndarray
    refined: bool
    treated: bool
    deflated: bool
    factor: int
    serial: int
    index: int
    unique_id: int
    received: float
    region: tuple[int, int, int, int]
    notes: dict[str, Any]
    nbytes: int


def decoded(message: bytes) -> Shown:
    """Take a binary message apart, as its description says."""
    head = HEAD.unpack_from(message)
    kind, flags, dtype, channels, encoding, _, factor, serial, rows, cols, scale, offset, n_notes = head[:13]
    assert kind == 2
    assert n_notes % 8 == 0
    notes = json.loads(message[88 : 88 + n_notes])
    data = message[88 + n_notes :]
    if encoding:
        data = zlib.decompress(data, -15)
    pixels = np.frombuffer(data, _TYPES[dtype]).reshape((rows, cols, channels) if channels > 1 else (rows, cols))
    values = pixels * float(scale) + float(offset)
    index, unique_id, _, received, _, *region = head[13:]
    return Shown(
        values,
        pixels,
        bool(flags & 1),
        bool(flags & 2),
        bool(encoding),
        factor,
        serial,
        index,
        unique_id,
        received,
        tuple(region),
        notes,
        len(message),
    )


class Viewer:
    """One page of a stream; acknowledges by itself unless told otherwise."""

    def __init__(self, url: str, *, control: bool = False, patience: float = 10.0, **headers: str) -> None:
        given = {"Authorization": f"Bearer {KEY}"} if control else {}
        address = url.replace("http", "ws", 1) + "ws"
        self._opening = connect(
            address, max_size=None, compression=None, additional_headers={**given, **headers}, proxy=None
        )
        self.patience = patience
        self.last: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        self.socket: ClientConnection = self._opening.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opening.__exit__(kind, error, trace)

    def say(self, **message: Any) -> None:
        """Send one message."""
        self.socket.send(json.dumps(message))

    def view(self, rows: int, cols: int, *, row: float = 0, col: float = 0, width: int = 0, height: int = 0) -> None:
        """Ask for a region; by default in a window that has a pixel for each of its own."""
        self.say(
            view={"row": row, "col": col, "rows": rows, "cols": cols, "width": width or cols, "height": height or rows}
        )

    def hear(self) -> Shown | dict[str, Any]:
        """Return the next message, whatever it is."""
        message = self.socket.recv(timeout=self.patience)
        if isinstance(message, bytes):
            return decoded(message)
        text = json.loads(message)
        self.last[text["is"]] = text
        return text

    def frame(self, wanted: Any = lambda shown: True, *, ack: bool = True) -> Shown:
        """Return the next frame that is wanted; acknowledge all."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            heard = self.hear()
            if isinstance(heard, Shown):
                if ack:
                    self.say(ack=heard.serial)
                if wanted(heard):
                    return heard
        raise AssertionError("no such frame came")

    def text(self, kind: str, wanted: Any = lambda text: True) -> dict[str, Any]:
        """Return the next text of a kind that is wanted; acknowledge frames that come before."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            heard = self.hear()
            if isinstance(heard, Shown):
                self.say(ack=heard.serial)
            elif heard["is"] == kind and wanted(heard):
                return heard
        raise AssertionError(f"no such {kind} came; the last: {self.last.get(kind)}")

    def do(self, what: str, **more: Any) -> dict[str, Any]:
        """Ask for something to be done, and return the answer."""
        name = f"{what}-{time.monotonic_ns()}"
        self.say(do=what, id=name, **more)
        return self.text("answer", lambda answer: answer["to"] == name)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        return None


def ask(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of one request; redirections are not followed."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, method=method, headers=names)
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()
