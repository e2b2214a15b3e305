"""What one process says to another: a line of JSON each."""

import json
import os
import threading
from collections import deque
from typing import Any

Message = dict[str, Any]


class Inbox:
    """Take messages from a pipe in a thread, so that whoever sends them need not wait.

    Parameters
    ----------
    fd : int
        Where to read, open as long as the process lives.

    Attributes
    ----------
    ended : bool
        Whether nothing more will come: the other end is closed, or its process gone.
    """

    def __init__(self, fd: int) -> None:
        self.ended = False
        self._messages: deque[Message] = deque()
        self._came = threading.Condition()
        threading.Thread(target=self._read, args=(fd,), name="inbox", daemon=True).start()

    def _read(self, fd: int) -> None:
        rest = b""
        while piece := os.read(fd, 1 << 16):  # not by a file object: Python aborts if it ends while one is being read
            *lines, rest = (rest + piece).split(b"\n")
            with self._came:
                self._messages.extend(map(json.loads, lines))
                self._came.notify()
        with self._came:
            self.ended = True
            self._came.notify()

    def take(self, timeout: float) -> list[Message]:
        """Return what has come, in order; wait up to `timeout` seconds for it."""
        with self._came:
            if not self._messages and not self.ended:
                self._came.wait(timeout)
            messages = list(self._messages)
            self._messages.clear()
            return messages


class Outbox:
    """Messages that wait to be written; `put` never waits.

    Parameters
    ----------
    most : int
        How many may wait; further ones are refused and counted.

    Attributes
    ----------
    refused : int
    """

    def __init__(self, most: int = 256) -> None:
        self.refused = 0
        self._most = most
        self._messages: dict[Any, Any] = {}
        self._serial = 0
        self._closed = False
        self._came = threading.Condition()

    def put(self, message: Any, key: object = None) -> bool:
        """Add a message, in place of a waiting one with the same key; return False if there is no room."""
        with self._came:
            if key is None:
                self._serial += 1
                key = self._serial
            if self._closed or (len(self._messages) >= self._most and key not in self._messages):
                self.refused += 1
                return False
            self._messages[key] = message
            self._came.notify()
            return True

    def get(self) -> Any:
        """Wait for a message; None when there are no more and it is closed."""
        with self._came:
            self._came.wait_for(lambda: self._messages or self._closed)
            if not self._messages:
                return None
            return self._messages.pop(next(iter(self._messages)))

    def close(self) -> None:
        """Take no more; what waits can still be got."""
        with self._came:
            self._closed = True
            self._came.notify()
