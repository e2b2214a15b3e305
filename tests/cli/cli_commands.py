"""The command as people run it: a process of its own, its output, its exit status."""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND
from PIL import Image

from beamstream.frames import Geometry
from beamstream.sim.beamline import CameraSpec

GEOMETRY = Geometry((128, 160), "<u2")
CONTROLLED = CameraSpec("CLI:CAM", GEOMETRY, period=0.005)
FREE = CameraSpec("CLI:FREE", GEOMETRY, period=0.01, free_running=True)


@dataclass(frozen=True)
class Done:
    """What a command left."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def failed_with(self, *words: str, status: int = 1) -> None:
        """Check that standard error has these words, and no traceback."""
        assert self.status == status, self
        text = " ".join(self.err.replace("│", " ").split())
        assert "Traceback" not in text, self.err
        for word in words:
            assert word in text, text


def environment(tmp: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment (EPICS on loopback), without what decides about beamstream."""
    names = ("BEAMSTREAM_CONFIG", "BEAMSTREAM_API_KEY", "BEAMSTREAM_DEBUG", "COLUMNS", "FORCE_COLOR")
    kept = {key: value for key, value in os.environ.items() if key not in names}
    return kept | {"BEAMSTREAM_CONFIG": str(configuration(tmp))} | dict(more or {})


def configuration(tmp: Path) -> Path:
    """Write a configuration for the simulated devices, archive and all below `tmp`."""
    file = tmp / "beamstream.toml"
    if not file.exists():
        file.write_text(
            '[archive]\ndirectory = "archive"\nport = 0\n[live]\nenabled = false\nport = 0\n'
            "[recording]\nring_memory_mb = 32\n"
            '[devices.camera]\nkind = "pva_detector"\npv = "CLI:CAM:Pva1:Image"\ncontrol = "CLI:CAM:cam1:"\n'
            '[devices.free]\nkind = "pva_detector"\npv = "CLI:FREE:Pva1:Image"\n'
            '[devices.motor]\nkind = "motor"\npv = "CLI:MTR1"\n'
            '[devices.shutter]\nkind = "signal"\npv = "CLI:CAM:sim1:Shutter"\n'
        )
    return file


class Running:
    """A command that runs until it gets a signal."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process, self._log = process, log
        self._read = b""  # and not returned yet

    def line(self, timeout: float = 60.0) -> str:
        """Return its next line of output; an empty one at its end."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout
        while b"\n" not in self._read:
            if not select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                pytest.fail(f"no line within {timeout} s; {self._read.decode()} {self.err}")
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                break
            self._read += piece
        line, end, self._read = self._read.partition(b"\n")
        return (line + end).decode()

    @property
    def err(self) -> str:
        return self._log.read_text()

    def end(self, *signals: signal.Signals, timeout: float = 30.0) -> Done:
        """Send signals, a moment apart, and return what it left."""
        for number in signals or (signal.SIGINT,):
            if self.process.poll() is None:
                self.process.send_signal(number)
                time.sleep(0.15)  # two at once would be one
        self.process.wait(timeout)
        assert self.process.stdout is not None
        return Done(self.process.returncode, (self._read + self.process.stdout.read()).decode(), self.err)


def image(path: Path) -> Image.Image:
    """Return a picture, its file closed."""
    with Image.open(path) as opened:
        opened.load()
        return opened


@contextmanager
def started(tmp: Path, *arguments: object, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Start a command; kill it at the end if it still lives."""
    log = tmp / f"{'-'.join(map(str, arguments[:2])).replace('/', '_').replace(':', '_')}.err"
    with (
        log.open("w") as file,
        subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=tmp,
            env=environment(tmp, env),
            stdout=subprocess.PIPE,
            stderr=file,
            bufsize=0,
        ) as process,
    ):
        try:
            yield Running(process, log)
        finally:
            if process.poll() is None:
                process.kill()
