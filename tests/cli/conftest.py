"""The command as people run it, and the simulated cameras that it records."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for cli_commands

from cli_commands import COMMAND, CONTROLLED, FREE, Done, environment

from beamstream.sim.beamline import Beamline, MotorSpec
from beamstream.sim.process import SimProcess

Run = Callable[..., Done]


@pytest.fixture
def beamstream(tmp_path: Path) -> Run:
    """Run a command to its end: ``beamstream("record", "camera", "--num", "3")``."""

    def run(*arguments: object, env: Mapping[str, str] | None = None, timeout: float = 60.0) -> Done:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            env=environment(tmp_path, env),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="module")  # one at a time: beamlines of one environment share ports
def beamline() -> Iterator[SimProcess]:
    """Two cameras, one to be controlled and one that runs by itself, and a motor."""
    with SimProcess(Beamline(cameras=(CONTROLLED, FREE), motors=(MotorSpec("CLI:MTR1"),))) as sim:
        yield sim
