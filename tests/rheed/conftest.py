"""Recorded files, uploads, workers, and a proxy before the service that can do all that networks do."""

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import zarr
from damaged_frames import compressed
from zarr.core.sync import cleanup_resources

from beamstream.frames import Frame, Geometry
from beamstream.ingest.process import IngestProcess
from beamstream.rheed.job import Job, JobDirectory, State
from beamstream.sinks.hdf5 import Hdf5Sink

START = 1_750_000_000.0


class Faults:
    """Stand before a service, as ``url``: pass everything on, but for what `answer` says otherwise.

    ``answer(method, path)`` returns None to pass on, a status to answer with, seconds to wait before passing on
    (float), or "cut" to close the connection.
    """

    def __init__(self, url: str) -> None:
        self.to = urlsplit(url).netloc
        self.answer: Callable[[str, str], Any] = lambda method, path: None
        self.asked: list[tuple[float, str, str, Any]] = []
        self._server: Any = None
        self._connections: set[socket.socket] = set()
        self._port = 0
        self.come()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def come(self) -> None:
        """Be there, at the same port as before."""
        server = self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler())
        server.daemon_threads = False  # joined when it goes
        self._port = server.server_address[1]
        self._thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        self._thread.start()

    def go(self) -> None:
        """Be away: connections are cut, new ones are refused."""
        server, self._server = self._server, None  # who waits sees it
        if server is None:
            return
        server.shutdown()
        server.socket.close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        server.server_close()
        self._thread.join()

    def count(self, part: str) -> int:
        """Return how many requests had this in their path."""
        return sum(part in path for _, _, path, _ in list(self.asked))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        faults = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                faults._connections.add(self.connection)

            def finish(self) -> None:
                faults._connections.discard(self.connection)
                with suppress(OSError):
                    super().finish()

            def log_message(self, *_: Any) -> None: ...

            def any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                what = faults.answer(self.command, self.path)
                try:
                    if what == "cut":
                        self.close_connection = True
                    elif isinstance(what, int):
                        self.say(what, b'{"detail": "as asked for"}')
                    else:
                        deadline = time.monotonic() + (what or 0.0)
                        while time.monotonic() < deadline and faults._server is not None:
                            time.sleep(0.01)
                        what = self.pass_on(body)
                except OSError:
                    self.close_connection = True
                faults.asked.append((time.monotonic(), self.command, self.path, what))

            do_GET = do_POST = do_PUT = any  # noqa: N815

            def pass_on(self, body: bytes) -> int:
                there = http.client.HTTPConnection(faults.to, timeout=30)
                try:
                    there.request(self.command, self.path, body, dict(self.headers))
                    answer = there.getresponse()
                    self.say(answer.status, answer.read(), answer.headers.get("content-type", ""))
                    return answer.status
                finally:
                    there.close()

            def say(self, status: int, body: bytes, kind: str = "application/json") -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler


class Film:
    """A file that is recorded, frame by frame, and what is in it."""

    def __init__(
        self, path: Path, shape: tuple[int, ...], dtype: str, fps: float, damaged: Collection[int] = ()
    ) -> None:
        self.geometry = Geometry(shape, dtype)
        self.damaged = damaged
        self.fps, self.kept = fps, 0
        self.black: tuple[range, ...] = ()
        recorded = replace(self.geometry, codec="zlib") if damaged else self.geometry
        self.sink = Hdf5Sink(path, recorded, name="rheed")
        self.sink.__enter__()

    def image(self, number: int) -> np.ndarray:
        if any(number in some for some in self.black):
            return np.zeros(self.geometry.shape, self.geometry.dtype)
        most = np.iinfo(self.geometry.dtype).max
        made = np.random.default_rng(number).integers(0, min(most, 4095), self.geometry.shape, endpoint=True)
        return made.astype(self.geometry.dtype)

    def grow(self, count: int) -> None:
        times = [START + number / self.fps for number in range(self.kept, self.kept + count)]
        numbers = range(self.kept, self.kept + count)
        frames = [Frame(self.image(n), self.geometry, n, t, t + 0.01) for n, t in zip(numbers, times, strict=True)]
        if self.damaged:
            frames = [compressed(frame, damaged=frame.unique_id in self.damaged) for frame in frames]
        self.sink.write(frames)
        self.kept += count

    def images(self) -> np.ndarray:
        """What was shown; black where it cannot be decoded."""
        return np.stack([self.image(number) * (number not in self.damaged) for number in range(self.kept)])

    def close(self) -> None:
        self.sink.__exit__(None, None, None)


class Upload:
    """A job directory and the worker that is at it."""

    def __init__(self, directory: JobDirectory, environment: dict[str, str]) -> None:
        self.directory, self.environment = directory, environment
        self.worker: subprocess.Popen[bytes] | None = None
        self.errors = directory.path / "errors"

    @property
    def state(self) -> State:
        return self.directory.state

    @property
    def log(self) -> str:
        return self.directory.log.read_text() if self.directory.log.exists() else ""

    def start(self, *options: str) -> "Upload":
        command = [sys.executable, "-m", "beamstream.rheed", str(self.directory.path), *options]
        with self.errors.open("w") as errors:
            self.worker = subprocess.Popen(command, env=self.environment, stderr=errors, start_new_session=True)
        return self

    def wait(self, timeout: float = 40.0) -> int:
        assert self.worker is not None
        try:
            return self.worker.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"not over within {timeout} s: {self.state}; {self.log[-2000:]}")

    def words(self) -> str:
        return self.errors.read_text()

    def kill(self) -> None:
        if self.worker is not None:
            self.worker.kill()
            self.worker.wait()


@pytest.fixture(scope="module")
def ingest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IngestProcess]:
    """A service for all tests of a module."""
    with IngestProcess(tmp_path_factory.mktemp("archive")) as service:
        yield service


@pytest.fixture
def faults(ingest: IngestProcess) -> Iterator[Faults]:
    """A proxy before the service."""
    proxy = Faults(ingest.url)
    yield proxy
    proxy.go()


@pytest.fixture
def film(tmp_path: Path) -> Iterator[Callable[..., Film]]:
    """Make a film: ``film(frames=100, shape=(12, 16), dtype="|u1", fps=10.0)``."""
    made: list[Film] = []

    def make(
        frames: int = 0,
        shape: tuple[int, ...] = (12, 16),
        dtype: str = "|u1",
        fps: float = 10.0,
        black: tuple[range, ...] = (),
        damaged: Collection[int] = (),
    ) -> Film:
        film = Film(tmp_path / f"film{len(made)}.h5", shape, dtype, fps, damaged)
        made.append(film)
        film.black = black
        if frames:
            film.grow(frames)
        return film

    yield make
    for film in made:
        film.close()


@pytest.fixture
def upload(tmp_path: Path, ingest: IngestProcess) -> Iterator[Callable[..., Upload]]:
    """Make an upload of a film or a file: ``upload(film, endpoint=…, total=…)``; workers end with the test."""
    made: list[Upload] = []
    environment = {**os.environ, "BEAMSTREAM_UPLOAD_KEY": ingest.key}

    def make(
        what: Film | Path, *, total: int | None = None, key: str | None = None, where: Path | None = None, **job: Any
    ) -> Upload:
        path = what.sink.path if isinstance(what, Film) else what
        plain = Job("rheed", "0123456789", "rheed", str(path), ingest.url, "a film")
        directory = JobDirectory.create((where or tmp_path) / f"upload{len(made)}", replace(plain, **job))
        if total is not None:
            directory.end(total)
        upload = Upload(directory, environment if key is None else environment | {"BEAMSTREAM_UPLOAD_KEY": key})
        made.append(upload)
        return upload

    yield make
    for some in made:
        some.kill()


@pytest.fixture
def stored(ingest: IngestProcess) -> Callable[[Upload], np.ndarray]:
    """Return what the service has of an upload."""

    def read(upload: Upload) -> np.ndarray:
        array = zarr.open_array(str(ingest.stream(upload.state.data_id)), mode="r")
        try:
            return np.asarray(array[:])
        finally:
            cleanup_resources()  # its threads

    return read
