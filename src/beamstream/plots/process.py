"""The process that draws, as the one sees it who started it."""

import json
import logging
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable

from beamstream.children import last_words, python_module
from beamstream.plots.inbox import Message, Outbox

log = logging.getLogger(__name__)

_ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
_LAST_WORDS = 600  # bytes of its log
_HANGS, _STARTS = 5.0, 60.0  # s without an answer; the first start on a machine looks for fonts
_ACCOUNTS = 16  # runs


class PlotProcess:
    """Start the process that draws, and talk with it without ever waiting.

    Everything is done in two threads of this object: one starts the process and writes to it, one reads. The
    process has a session of its own, so that Ctrl-C in the terminal does not reach it, and ends when this process
    is gone.

    Parameters
    ----------
    name : str
        For threads and warnings.
    options : dict
        See `beamstream.plots.program.Program`; also ``directory`` and ``fallback``, both paths.

    Attributes
    ----------
    pid : int or None
    screen : str
        Where it draws; ``""`` before it is ready.
    """

    def __init__(self, name: str, options: Message) -> None:
        self.pid: int | None = None
        self.screen = ""
        self._name = name
        self._options = options
        self._outbox = Outbox()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115, a pipe would fill up
        self._child: subprocess.Popen[bytes] | None = None
        self._accounts: dict[str, Message] = {}
        self._asked: dict[str, float] = {}  # when, by run: for an answer that has not come
        self._closing = False
        self._over = False
        self._warned = False
        self._heard = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"{name}-plots", daemon=True)
        self._thread.start()

    # what it is told; any thread

    def tell(self, message: Message | Callable[[], Message], key: object = None) -> bool:
        """Send a message, or what a function returns that is called in the writing thread; does not wait.

        Returns
        -------
        bool
            False if too much waits already; the message is dropped.
        """
        return self._outbox.put(message, key)

    def end(self, run: str) -> None:
        """Say that a run has ended; `account` has the answer, soon."""
        if self.tell({"do": "end", "run": run}):
            with self._heard:
                self._asked[run] = time.monotonic()

    # what it answers

    @property
    def alive(self) -> bool:
        """Whether it is there, or will be; it may hang."""
        return not self._over

    @property
    def hangs(self) -> bool:
        """Whether it owes an answer for too long."""
        patience = _HANGS if self.screen else _STARTS
        with self._heard:
            return any(time.monotonic() - asked > patience for asked in self._asked.values())

    @property
    def refused(self) -> int:
        """Messages that were dropped."""
        return self._outbox.refused

    def account(self, run: str) -> Message:
        """Return what it said last about a run: ``drawn``, ``errors``, ``error``, and ``is``."""
        with self._heard:
            return self._accounts.get(run, {})

    def wait_for(self, condition: Callable[[], object], timeout: float) -> bool:
        """Wait until something that it says makes a condition true, or it is gone; return whether it is true."""
        with self._heard:
            self._heard.wait_for(lambda: condition() or self._over, timeout)
            return bool(condition())

    def warn(self, text: str) -> None:
        """Say what is wrong with it; once."""
        if not self._warned:
            self._warned = True
            log.warning("%s: %s; runs go on, and the next one gets a new process", self._name, text)

    # its end

    def close(self, timeout: float = 5.0) -> None:
        """Let it finish what it was told, then end it; by force after `timeout` seconds."""
        self._closing = True
        self._outbox.close()
        self._thread.join(0.0 if self._asked and self._warned else timeout)
        self.kill()
        self._thread.join()

    def kill(self) -> None:
        """End it by force, without waiting for that."""
        self._closing = True
        self._outbox.close()
        if self._child is not None and self._child.poll() is None:
            self._child.kill()

    # the threads

    def _run(self) -> None:
        with self._log:
            try:
                child = self._start()
            except OSError as error:
                self.warn(f"the process that draws cannot be started: {error}")
            else:
                self._talk(child)
            self._outbox.close()
            self._gone()

    def _talk(self, child: subprocess.Popen[bytes]) -> None:
        reader = threading.Thread(target=self._read, args=(child,), name=f"{self._name}-answers", daemon=True)
        reader.start()
        assert child.stdin is not None
        try:
            while (message := self._outbox.get()) is not None:
                message = message() if callable(message) else message
                child.stdin.write(json.dumps(message).encode() + b"\n")
                child.stdin.flush()
        except OSError:
            pass  # it is gone; the reader says so
        finally:
            try:
                child.stdin.close()
            except OSError:
                pass
        reader.join()

    def _start(self) -> subprocess.Popen[bytes]:
        self._child = subprocess.Popen(
            python_module("beamstream.plots", json.dumps(self._options)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **_ALONE},
            start_new_session=True,
        )
        self.pid = self._child.pid
        return self._child

    def _read(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        with child.stdout:
            for line in child.stdout:
                self._hear(json.loads(line))
        code = child.wait()
        if not self._closing:
            self.warn(f"the process that draws ended with {code} and said: {last_words(self._log, _LAST_WORDS)}")
        self._outbox.close()

    def _hear(self, message: Message) -> None:
        with self._heard:
            match message["is"]:
                case "ready":
                    self.screen = message["screen"]
                    log.info("%s: draws into %s", self._name, self.screen)
                case "counts" | "ended" | "done":
                    self._accounts[message["run"]] = message
                    if len(self._accounts) > _ACCOUNTS:
                        del self._accounts[next(iter(self._accounts))]
                    if message["is"] != "counts":
                        self._asked.pop(message["run"], None)
                case "file":
                    log.info("%s: %s", self._name, message["path"])
                case "error":
                    log.warning("%s: %s; the run goes on", self._name, message["error"])
            self._heard.notify_all()

    def _gone(self) -> None:
        with self._heard:
            self._over = True
            self._heard.notify_all()
