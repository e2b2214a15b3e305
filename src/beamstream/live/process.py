"""The process that serves the live page, as the one sees it who started it."""

import contextlib
import errno
import json
import logging
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from beamstream.children import last_words, read_line
from beamstream.errors import BeamstreamError, ConfigurationError
from beamstream.live.settings import Settings

log = logging.getLogger(__name__)

_LAST_WORDS = 600  # bytes of its log
_END = 5.0  # s that it has to end
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class LiveServer:
    """Show the spectra of a ring in browsers, live; ``with LiveServer("spectra-9798") as page: print(page.url)``.

    The server is a process of its own: however many look on, whoever receives and records does not notice. It
    follows the ring by its name, which may come later, end and come again, and ends when this process is gone.

    Parameters
    ----------
    ring : str
        Name of the ring; frames are (n_beams, n_channels), or one axis of channels.
    owner : int, optional
        Id of the process whose ring it has to be; any by default.
    host : str
        Beyond loopback only with a `key`.
    port : int
        0 takes a free one.
    frequency : sequence of float, optional
        Of each channel, MHz.
    band : (float, float), optional
        In its place, where the number of channels is not known yet: of channel 0, and from one to the next, MHz.
    title : str
        Heading of the page.
    decibel : bool
        Whether pages begin with a logarithmic scale, until somebody chooses; False for values that have a sign.
    rows : int
        Spectra to keep.
    key : str
        What readers have to know, at least 16 characters; never in logs nor in `url`.
    timeout : float
        Until it must listen, s.

    Raises
    ------
    ConfigurationError
        The whole network is to read without a key, or a number is out of range.
    """

    def __init__(
        self,
        ring: str,
        *,
        owner: int | None = None,
        host: str = "127.0.0.1",
        port: int = 9527,
        frequency: Sequence[float] | None = None,
        band: tuple[float, float] | None = None,
        title: str = "Spectra",
        decibel: bool = True,
        rows: int = 1200,
        key: str = "",
        timeout: float = 20.0,
    ) -> None:
        axis = None if frequency is None else [float(f) for f in frequency]
        self.settings = Settings(ring, owner, host, port, axis, band, title, decibel, rows, key)
        self.port = port
        """Where it listens; known after `start`."""
        self._timeout = timeout
        self._child: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115, a pipe would fill up

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where the page is; without the key."""
        host = self.settings.host
        if host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    @property
    def pid(self) -> int | None:
        """The server's process id; None before `start`."""
        return self._child.pid if self._child else None

    @property
    def alive(self) -> bool:
        """Whether the server's process is there."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> Self:
        """Start the server and wait until it listens.

        Raises
        ------
        ConfigurationError
            The port is in use, or the host is none of this machine.
        BeamstreamError
            The server ended for another reason, or did not come up in time; quotes its last words.
        """
        if self.alive:
            return self
        self._end()
        child = subprocess.Popen(
            [sys.executable, "-m", "beamstream.live"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **_ENVIRONMENT},
            start_new_session=True,  # Ctrl-C in the terminal is not for it
        )
        self._child = child
        try:
            self.port = self._hear(child)
        except BaseException:
            self._end(0.0)
            raise
        return self

    def update(self, **status: Any) -> bool:
        """Tell what ``/status`` shall say besides; what JSON can carry. Never waits; from one thread at a time.

        Returns
        -------
        bool
            False if the server did not get it: it is gone, or has not taken the last ones yet. Tell it again.

        Raises
        ------
        ValueError
            It is more than 4096 bytes.
        """
        line = json.dumps(status).encode() + b"\n"
        if len(line) > select.PIPE_BUF:
            raise ValueError(f"live page: a status of {len(line)} bytes given; use at most {select.PIPE_BUF}")
        if self._child is None or self._child.stdin is None or self._child.stdin.closed:
            return False
        try:
            # a line of this size goes into the pipe as a whole or not at all
            return os.write(self._child.stdin.fileno(), line) == len(line)
        except (BlockingIOError, BrokenPipeError):
            return False

    def close(self) -> None:
        """End the server, by force if need be; pages say so and wait for the next one."""
        self._end()
        self._log.close()

    def error_output(self) -> str:
        """Return the end of what the server wrote to its error output."""
        return last_words(self._log, _LAST_WORDS)

    def _hear(self, child: subprocess.Popen[bytes]) -> int:
        """Give the child its settings and return the port it listens on."""
        assert child.stdin is not None
        try:
            child.stdin.write(self.settings.to_line())
            child.stdin.flush()
        except BrokenPipeError:
            pass  # it is gone: `_first_line` says so
        os.set_blocking(child.stdin.fileno(), False)
        document = json.loads(self._first_line(child))
        if "error" in document:
            raise ConfigurationError(self._refused(document["errno"], document["error"]))
        return document["port"]

    def _first_line(self, child: subprocess.Popen[bytes]) -> bytes:
        assert child.stdout is not None
        try:
            line = read_line(child.stdout, self._timeout)
        except TimeoutError:
            raise BeamstreamError(f"live page: its server does not listen after {self._timeout} s") from None
        if not line.endswith(b"\n"):
            code = child.wait(self._timeout)
            raise BeamstreamError(f"live page: its server ended with {code} and said: {self.error_output()}")
        return line

    def _refused(self, number: int, reason: str) -> str:
        at = f"live page: port {self.settings.port} on {self.settings.host}"
        if number == errno.EADDRINUSE:
            return f"{at} is in use by another program; use --web-port with another one, 0 for any that is free"
        return f"{at} cannot be listened on: {reason}; use --web-port and --web-host"

    def _end(self, patience: float = _END) -> None:
        child = self._child
        if child is None:
            return
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it was gone before it had its settings
            child.stdin.close()
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()
