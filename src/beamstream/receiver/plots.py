"""Pictures of a stream of spectra, every few seconds, drawn in a process of their own."""

import contextlib
import json
import logging
import os
import select
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from beamstream.children import last_words, python_module
from beamstream.errors import SinkError
from beamstream.receiver.drawing import Options

logger = logging.getLogger(__name__)

_ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_PATIENCE = 60.0  # s for a picture; the first one on a machine looks for fonts
_ENDING = 5.0  # s to finish the one under way
_LAST_WORDS = 400  # bytes of its log

Facts = Callable[[], dict[str, Any] | None]


class Plots:
    """Have a picture drawn every `interval` seconds, in a thread that only waits for the process that draws.

    An error is counted, and said once until a picture succeeds again; a process that died or hangs is replaced at
    the next picture.

    Parameters
    ----------
    name : str
        Who speaks in the log.
    options : Options
    interval : float
        s.
    facts : callable
        Returns what stands above the picture (see `beamstream.receiver.picture.draw`) and ``average``; None where
        there is nothing new to draw. Called in the thread.

    Attributes
    ----------
    drawn, failed : int
        Pictures.
    last_time : float or None
        When the last one was written, s since 1970-01-01 UTC.
    last_path, error : str or None
        The last picture, and what is wrong at present.
    """

    def __init__(self, name: str, options: Options, interval: float, facts: Facts) -> None:
        self.drawn = self.failed = 0
        self.last_time: float | None = None
        self.last_path: str | None = None
        self.error: str | None = None
        self._name, self._options, self._interval, self._facts = name, options, interval, facts
        self._child: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115, a pipe would fill up
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{name}-plots", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether pictures are being made."""
        return self._thread.is_alive() and not self._ending.is_set()

    @property
    def pid(self) -> int | None:
        """Of the process that draws, while there is one."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def close(self) -> None:
        """End the thread and the process; a picture under way is finished. Calling it again does no harm."""
        self._ending.set()
        self._thread.join(_ENDING)
        child = self._child
        if child is not None:
            child.kill()
        self._thread.join()
        self._discard()
        self._log.close()

    def _run(self) -> None:
        due = time.monotonic() + self._interval
        with contextlib.suppress(OSError):  # said when it is asked for a picture
            self._ready()
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            facts = self._facts()
            if facts is not None:
                self._draw(facts)
            due = max(due + self._interval, time.monotonic())

    def _draw(self, facts: dict[str, Any]) -> None:
        try:
            said = self._ask(facts)
        except (OSError, ValueError) as error:
            said = {"error": f"the process that draws {error}; it said: {last_words(self._log, _LAST_WORDS)}"}
            self._discard()
        if "error" in said:
            if not self._ending.is_set():
                self._complain(said["error"])
        elif said["path"]:
            if self.error is not None:
                logger.info("%s: pictures are written again, %d are missing", self._name, self.failed)
            self.error = None
            self.drawn += 1
            self.last_time, self.last_path = time.time(), said["path"]
            logger.debug("%s: %s, %d spectra in %.2f s", self._name, said["path"], said["spectra"], said["seconds"])

    def _complain(self, error: str) -> None:
        self.failed += 1
        if error != self.error:
            logger.warning("%s: no picture: %s; receiving goes on", self._name, error)
        self.error = error

    def _ask(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Return what the process answers.

        Raises
        ------
        OSError, ValueError
            It is gone, hangs, or writes nonsense; the message continues "the process that draws".
        """
        child = self._ready()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(facts).encode() + b"\n")
            child.stdin.flush()
        except BrokenPipeError:
            raise OSError("is gone") from None
        if not select.select([child.stdout], [], [], _PATIENCE)[0]:
            raise OSError(f"did not answer within {_PATIENCE:g} s")
        line = child.stdout.readline()
        if not line.endswith(b"\n"):
            raise OSError(f"ended with status {child.wait()}")
        return json.loads(line)

    def _ready(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._child = subprocess.Popen(
                python_module("beamstream.receiver", json.dumps(asdict(self._options))),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                bufsize=0,
                env={**os.environ, **_ALONE},
                start_new_session=True,  # Ctrl-C in the terminal is for us alone
            )
        return self._child

    def _discard(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()


def check_directory(name: str, directory: Path) -> None:
    """Make the directory, and see that a file can be written there.

    Raises
    ------
    SinkError
        It cannot.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise SinkError(
            f"{name}: pictures in {directory} asked for, {error.strerror}; "
            "choose another directory (plot_dir), or none (plot_interval 0)"
        ) from None
