"""A simulation in a process of its own that can be suspended, killed and started again."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from beamstream.children import read_line, tail
from beamstream.errors import NotConnected


class ChildProcess:
    """Run a program that prints one line of JSON when it is ready; ``with`` starts and ends it.

    The program gets a copy of the environment, and a pipe as its standard input: it answers each line with one, and
    at the end of input its parent is gone, however that came about. One thread at a time.

    Parameters
    ----------
    who : str
        For error messages.
    command : sequence of str
    environment : Mapping, optional
        In place of ``os.environ`` at the time of the start.
    timeout : float
        s until it must be ready, must have answered, must have ended.

    Attributes
    ----------
    ready : dict
        The line that it printed at its last start.
    """

    def __init__(
        self,
        who: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        timeout: float = 20.0,
    ) -> None:
        self.who, self.command = who, list(command)
        self.ready: dict[str, Any] = {}
        self._environment, self._timeout = environment, timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, a pipe would fill up

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
    def pid(self) -> int:
        """The child's process id; also after its end."""
        return self._child().pid

    @property
    def running(self) -> bool:
        """Whether the child lives, suspended included."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start the child and wait until it is ready.

        Raises
        ------
        NotConnected
            It ended, or was not ready in time; the message has the end of its error output.
        """
        if self.running:
            return self
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            env=dict(os.environ if self._environment is None else self._environment),
            # a group of its own: Ctrl-C is ours to pass on, and when we die while it is suspended,
            # the kernel wakes orphaned groups with SIGHUP and SIGCONT
            process_group=0,
        )
        try:
            self.ready = json.loads(self._line("ready"))
        except BaseException:
            self.kill()
            raise
        return self

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Write a line of JSON to the child and return the one that it answers.

        Raises
        ------
        NotConnected
            There is no answer in time; it is suspended, or gone.
        """
        stdin = self._child().stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(question).encode() + b"\n")
        except (BrokenPipeError, ValueError):  # it is gone; and we know
            raise NotConnected(f"{self.who}: asked {dict(question)}, it has ended; start it") from None
        return json.loads(self._line("answer"))

    def stop(self) -> int:
        """End the child with SIGTERM; return its exit status, 0 after a clean end.

        Raises
        ------
        subprocess.TimeoutExpired
            It did not end in time; it is killed then.
        """
        child = self._child()
        try:
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)  # a suspended process takes no SIGTERM
                child.terminate()
            return child.wait(self._timeout)
        finally:
            self.kill()

    def kill(self) -> None:
        """End the child with SIGKILL, as a crash would; nothing happens when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()

    def restart(self) -> Self:
        """Kill the child and start it again."""
        self.kill()
        return self.start()

    def suspend(self) -> None:
        """Stop the child without ending it (SIGSTOP); it stands still when this returns.

        Connections stay, nothing comes.
        """
        self._child().send_signal(signal.SIGSTOP)
        # until it is really so: the kernel wakes an orphaned group only if it was stopped before
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a suspended child go on (SIGCONT)."""
        self._child().send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the child, by force if need be, and let go of everything."""
        try:
            if self.running:
                self.stop()
        finally:
            self.kill()
            self._errors.close()

    def error_output(self) -> str:
        """Return the last 2000 characters that the child wrote to its error output."""
        return tail(self._errors, 2000).strip()

    def _child(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise NotConnected(f"{self.who}: its process asked for, it was not started; call start()")
        return self._process

    def _line(self, what: str) -> bytes:
        process = self._child()
        assert process.stdout is not None
        try:
            line = read_line(process.stdout, self._timeout)
        except TimeoutError:
            raise NotConnected(self._failure(f"no {what} within {self._timeout} s")) from None
        if not line.endswith(b"\n"):
            raise NotConnected(self._failure(f"ended with status {process.wait(self._timeout)} before its {what}"))
        return line

    def _failure(self, what: str) -> str:
        return f"{self.who}: {what}; its error output ends with: {self.error_output() or 'nothing'}"
