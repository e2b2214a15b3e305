"""A process that a viewer starts for work that goes on beside it: it is told, it tells, and nobody ever waits."""

import contextlib
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from beamstream.children import last_words, python_module

_LAST_WORDS = 600  # bytes of its log
_END = 3.0  # s that it has to end
_MOST_UNREAD = 2**16  # bytes of a line that has no end
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


class Child:
    """Run ``python -m module``, say lines of JSON to it and hear its newest; it ends with this process.

    To be used from one thread; nothing here waits, but `close`.

    Parameters
    ----------
    module : str
    first : Mapping
        The first line that it is told.

    Attributes
    ----------
    status : dict
        What it said last, as of the last `look`; empty before its first word.
    """

    def __init__(self, module: str, first: Mapping[str, Any]) -> None:
        self.status: dict[str, Any] = {}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115, a pipe would fill up
        self._rest = b""
        self._ending: float | None = None
        self._process = subprocess.Popen(
            python_module(module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            env={**os.environ, **_ALONE},
            start_new_session=True,  # Ctrl-C in the terminal is not for it
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdin.fileno(), False)
        os.set_blocking(self._stdout.fileno(), False)
        self.say(first)

    @property
    def pid(self) -> int:
        """Its process id; also after its end."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it is there; one that was told to end and does not is killed after 3 s."""
        if self._process.poll() is not None:
            return False
        if self._ending is not None and time.monotonic() - self._ending > _END:
            self._process.kill()
        return True

    def say(self, document: Mapping[str, Any]) -> bool:
        """Tell it something, at most 4096 bytes of JSON; False if it cannot hear."""
        line = json.dumps(document).encode() + b"\n"
        if len(line) > select.PIPE_BUF or self._stdin.closed:
            return False
        try:  # a line of this size goes into the pipe as a whole or not at all
            return os.write(self._stdin.fileno(), line) == len(line)
        except (BlockingIOError, BrokenPipeError):
            return False

    def look(self) -> dict[str, Any]:
        """Read what it has said meanwhile; return the newest."""
        while not self._stdout.closed:
            try:
                piece = os.read(self._stdout.fileno(), 65536)
            except BlockingIOError:
                break
            if not piece:
                break
            *lines, self._rest = (self._rest + piece)[-_MOST_UNREAD:].split(b"\n")
            for line in lines:
                with contextlib.suppress(ValueError):
                    self.status = json.loads(line)
        return self.status

    def last_words(self) -> str:
        """Return the end of what it wrote to its error output, in one line."""
        return "nothing" if self._log.closed else last_words(self._log, _LAST_WORDS)

    def end(self) -> None:
        """Tell it to end; `alive` says whether it has."""
        if self._ending is None:
            self._ending = time.monotonic()
            self._stdin.close()

    def close(self, patience: float = _END) -> None:
        """End it, by force after `patience` s, and let go of everything. Calling it again does no harm."""
        self.end()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.look()
        self._stdout.close()
        self._log.close()


# the other end


def told() -> dict[str, Any] | None:
    """Return the first line that we are told, None if there is none; waits for it."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(_STDIN, 1)  # what follows is for whoever reads on
        if not byte:
            return None
        line += byte
    return json.loads(line)


def own_stdout() -> int:
    """Take stdout for what we have to say, and return where to write it: what others print goes to the log."""
    pipe = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    return pipe
