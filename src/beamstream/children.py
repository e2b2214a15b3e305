"""How a child process is started, what is read from it, and how it ends with its parent."""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import IO

PYTHON = (sys.executable, "-P")
"""How Python begins for a child of ours: with `-P` it imports nothing from the directory that it is started in, where
somebody else may have put a numpy.py. A variable of the environment would change programs of the user as well."""


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module, ``beamstream.plots``, in a process of its own."""
    return [*PYTHON, "-m", module, *arguments]


def read_line(stream: IO[bytes], timeout: float) -> bytes:
    """Return the next line of a pipe; less than a line if the other side ended before.

    Raises
    ------
    TimeoutError
        There was none within `timeout` seconds.
    """
    deadline, line = time.monotonic() + timeout, b""
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            raise TimeoutError
        piece = os.read(stream.fileno(), 65536)
        if not piece:
            break
        line += piece
    return line


def tail(log: IO[bytes], most: int) -> str:
    """Return the end of a file that a child writes to, at most so many bytes of it."""
    size = os.fstat(log.fileno()).st_size
    start = max(0, size - most)  # by pread: the child shares the file position
    return os.pread(log.fileno(), size - start, start).decode(errors="replace")


def last_words(log: IO[bytes], most: int) -> str:
    """Return that in one line, for an error's text."""
    return " ".join(tail(log, most).split()) or "nothing"


def end_with_parent(end: Callable[[], object] = lambda: os.kill(os.getpid(), signal.SIGTERM)) -> None:
    """In a child: end when standard input does, which is when the parent closes it or dies.

    Parameters
    ----------
    end : callable
        Called in a thread of its own; without it the process sends itself SIGTERM.
    """

    def wait() -> None:
        while os.read(0, 4096):
            pass
        end()

    threading.Thread(target=wait, name="parent", daemon=True).start()
