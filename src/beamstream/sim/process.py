"""A simulated beamline in a process of its own, for tests, demonstrations and benchmarks."""

import json
import os
from collections.abc import Mapping
from typing import Any, Self

from beamstream.children import python_module
from beamstream.sim.beamline import Beamline
from beamstream.sim.child import ChildProcess


class SimProcess(ChildProcess):
    """Run a beamline as a child process; ``with SimProcess() as beamline:`` starts and ends it.

    The child gets a copy of the environment, EPICS variables included, and ends when this process is
    gone, however that came about. Two beamlines in one environment share ports, and the second is not
    found by everyone: put all the cameras into one, or give each an environment.

    Parameters
    ----------
    beamline : Beamline, optional
        Default one camera and one motor.
    environment : Mapping, optional
        In place of ``os.environ`` at the time of the start.
    timeout : float
        s until it must be ready, and s that it has to end.
    """

    def __init__(
        self,
        beamline: Beamline | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        timeout: float = 20.0,
    ) -> None:
        self.beamline = beamline or Beamline()
        super().__init__("simulated beamline", (), environment=environment, timeout=timeout)

    @property
    def names(self) -> dict[str, Any]:
        """The line that the child printed: PV names and pid; of the last start."""
        return self.ready

    def start(self) -> Self:
        """Start the child and wait until its PVs answer: same names, same ports, ids from 1.

        Raises
        ------
        NotConnected
            It ended, or was not ready in time; the message has the end of its error output.
        """
        self.command = python_module("beamstream.sim.beamline", "--parent", str(os.getpid()))
        self.command += ["--json", json.dumps(self.beamline.to_dict())]
        return super().start()
