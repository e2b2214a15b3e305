"""A server in a process of its own, as the one sees it who started it."""

import contextlib
import errno
import json
import logging
import os
import select
import subprocess
import tempfile
from types import TracebackType
from typing import Any, Protocol, Self

from beamstream.children import last_words, python_module, read_line
from beamstream.errors import BeamstreamError, ConfigurationError
from beamstream.live.settings import page_url
from beamstream.network.tls import unencrypted_warning

log = logging.getLogger(__name__)

_LAST_WORDS = 600  # bytes of its log
_END = 5.0  # s that it has to end
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class ServerSettings(Protocol):
    """What every such server is told."""

    @property
    def host(self) -> str:
        """Address or name to listen on."""
        ...

    @property
    def port(self) -> int:
        """Port to listen on, 0 for a free one."""
        ...

    @property
    def tls_cert(self) -> str:
        """File of the certificate that it speaks TLS with; "" for none."""
        ...

    def to_line(self) -> bytes:
        """Return one line of JSON."""
        ...


class ServerProcess:
    """Start a server, know where it listens, and end it; it also ends by itself when this process is gone.

    Parameters
    ----------
    module : str
        Run with ``python -m``; reads its settings and then more lines from stdin, answers with one line of JSON.
    settings : ServerSettings
    timeout : float
        Until it must listen, s.
    options : str
        The options of the command line that choose another address; named where this one cannot be had.
    """

    def __init__(self, module: str, settings: ServerSettings, timeout: float, options: tuple[str, str]) -> None:
        self.settings = settings
        self.port = settings.port
        """Where it listens; known after `start`."""
        self._module, self._timeout, self._options = module, timeout, options
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
        return page_url(self.settings.host, self.port, tls=bool(self.settings.tls_cert))

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
            python_module(self._module),
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
        if warning := unencrypted_warning("live page", self.settings.host, self.settings.tls_cert):
            log.warning("%s", warning)
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
        for_port, for_host = self._options
        if number == errno.EADDRINUSE:
            return f"{at} is in use by another program; use {for_port} with another one, 0 for any that is free"
        return f"{at} cannot be listened on: {reason}; use {for_port} and {for_host}"

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
