"""A ring written by a test, and a server that shows it."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

import numpy as np

from beamstream.frames import Frame, Geometry
from beamstream.live import LiveServer
from beamstream.ring import Ring


class Writer:
    """Write spectra as a source of spectra does; `values` has all of them, by number."""

    def __init__(self, name: str, n_channels: int = 16, n_beams: int = 1, slots: int = 2048) -> None:
        self.shape = (n_beams, n_channels)
        self.values: list[np.ndarray] = []
        self.times: list[float] = []
        self.name, self._slots = name, slots
        self._ring: Ring | None = None
        self.open()

    def open(self) -> None:
        """Make the ring."""
        self._ring = Ring(self.name, slots=self._slots)

    def put(self, values: Any = None, *, unique_id: int | None = None, measured: float | None = None) -> None:
        """Write one spectrum: these values, or some that depend on its number."""
        number = len(self.values)
        if values is None:
            values = np.arange(np.prod(self.shape)) * 0.5 + number
        image = np.asarray(values, "<f4").reshape(self.shape)
        now = time.time()
        measured = now - 0.3 if measured is None else measured
        attributes = {"last_block_time": measured, "delay": 0.25, "time_tag": number}
        geometry = Geometry(self.shape, "<f4")
        assert self._ring is not None
        unique_id = number if unique_id is None else unique_id
        self._ring.put(Frame(image, geometry, unique_id, now - 0.25, now, attributes=attributes))
        self.values.append(image)
        self.times.append(measured)

    def reshape(self, n_beams: int, n_channels: int) -> None:
        """Go on with spectra of another shape."""
        self.shape = (n_beams, n_channels)

    def close(self) -> None:
        """End the ring."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None


def get(server: LiveServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of one request."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(server.url.rstrip("/") + path, method=method, headers=names)
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        return None


def get_json(server: LiveServer, path: str, **headers: str) -> Any:
    """Return the JSON of one request that succeeds; strict, no NaN."""
    status, answered, body = get(server, path, **headers)
    assert status == 200, body
    assert answered["content-type"] == "application/json"
    return json.loads(body, parse_constant=_no_constant)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")
