"""Faults at single system calls: which ones a program makes, on a directory's files; one of them killed or failed.

``strace`` injects. It counts the calls of each thread by itself, so a place is a call's name and its number in the
thread that makes it.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

_LINE = re.compile(r"^(\d+) +(\w+)\(")
_KILL = "signal=KILL"
MOST = int(os.environ.get("BEAMSTREAM_FAULTS", "6"))
"""Places that a soak tries of each call and fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at one place."""

    call: str
    number: int
    what: str

    @property
    def kills(self) -> bool:
        """Whether the program ends there."""
        return self.what == _KILL

    @property
    def options(self) -> list[str]:
        """What strace is started with."""
        what, plus = self.what.removesuffix("+"), "+" if self.what.endswith("+") else ""
        return ["-e", f"trace={self.call}", "-e", f"inject={self.call}:{what}:when={self.number}{plus}"]

    def __str__(self) -> str:
        return f"{self.what} at {self.call} {self.number}"


def strace(*options: str) -> list[str]:
    """Return how strace is started: quietly, with all threads and children."""
    path = shutil.which("strace")
    if path is None:
        pytest.fail("strace asked for, there is none; apt install strace")
    return [path, "-f", "-qq", "-s", "4096", *options]


def places(trace: Path, *about: str) -> dict[str, list[int]]:
    """Return the numbers of the calls in whose line something stands, by call; of ``strace -f -y -o``."""
    counted: Counter[tuple[str, str]] = Counter()
    found: defaultdict[str, set[int]] = defaultdict(set)
    for line in trace.read_text(errors="replace").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        thread, call = match.groups()
        counted[thread, call] += 1
        if any(text in line for text in about):
            found[call].add(counted[thread, call])
    return {call: sorted(numbers) for call, numbers in found.items()}


def faults(there: Mapping[str, Sequence[int]], kinds: Mapping[str, Iterable[str]], most: int = MOST) -> list[Fault]:
    """Return what is to be tried: of each call at most so many places, spread evenly, the first and the last too.

    Parameters
    ----------
    there : Mapping
        See `places`.
    kinds : Mapping
        What happens (``"signal=KILL"``, ``"error=EIO"``, ``"error=ENOSPC+"`` from there on), and at which calls.
    most : int
    """
    made: list[Fault] = []
    for what, calls in kinds.items():
        for call in calls:
            numbers = there.get(call, [])
            step = max(1.0, (len(numbers) - 1) / max(1, most - 1))
            chosen = sorted({round(step * i) for i in range(min(most, len(numbers)))})
            made += [Fault(call, numbers[i], what) for i in chosen if i < len(numbers)]
    return made


class Attached:
    """strace on a process that runs, as long as the block does; the process may go on when it begins."""

    def __init__(self, pid: int, *options: str) -> None:
        self._command = [*strace(*options), "-p", str(pid)]
        self._command.remove("-qq")  # it tells when it is attached

    def __enter__(self) -> None:
        self._strace = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        assert self._strace.stderr is not None
        line = self._strace.stderr.readline()
        if "attached" not in line:
            self._strace.kill()
            pytest.fail(f"strace cannot attach: {line.strip()}")

    def __exit__(self, *_: object) -> None:
        self._strace.terminate()
        try:
            self._strace.communicate(timeout=2)
        except subprocess.TimeoutExpired:  # it waits for ever for a process that was killed under it
            self._strace.kill()
            self._strace.communicate(timeout=30)


@contextmanager
def waiting(script: Path, *arguments: object, stderr: "IO[Any] | int") -> "Iterator[subprocess.Popen[str]]":
    """Have a script that is ready, and waits for a line on its standard input."""
    command, pipe = [sys.executable, str(script), *map(str, arguments)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()
