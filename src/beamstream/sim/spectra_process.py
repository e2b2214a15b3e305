"""A simulated spectrometer in a process of its own, for tests, demonstrations and benchmarks."""

import json
import os
import select
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any, Self

from beamstream.children import python_module
from beamstream.errors import BeamstreamError
from beamstream.sim.child import ChildProcess
from beamstream.sim.spectra_faults import SpectraFaults
from beamstream.sim.spectrometer import Spectrometer, SpectrometerSpec

_PARENT_POLL = 0.2  # s


class SpectraSim(ChildProcess):
    """Run a spectrometer as a child process; ``with SpectraSim(SpectrometerSpec(rate=100)) as sim: sim.address``.

    It publishes from the start, unless the specification says to wait for subscribers; what is sent before a
    subscriber is connected is lost to it. After the last of ``number`` messages the child stays, connected, until it
    is closed. It ends when this process is gone, however that came about.

    Parameters
    ----------
    spec : SpectrometerSpec, optional
        With a free port, unless it says another.
    faults : SpectraFaults, optional
        From the start.
    environment, timeout
        As in `ChildProcess`.
    """

    def __init__(
        self,
        spec: SpectrometerSpec | None = None,
        *,
        faults: SpectraFaults | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = 20.0,
    ) -> None:
        self.spec, self.faults = spec or SpectrometerSpec(), faults or SpectraFaults()
        super().__init__("simulated spectrometer", (), environment=environment, timeout=timeout)

    @property
    def address(self) -> str:
        """Where it publishes, ``tcp://host:port``; the same after a restart."""
        return self.ready["address"]

    @property
    def uri(self) -> str:
        """The same as commands and configurations want it, ``zmq://host:port``."""
        return self.address.replace("tcp://", "zmq://", 1)

    def start(self) -> Self:
        """Start the child, at the same port as the last time, and wait until it is bound.

        Raises
        ------
        NotConnected
            It ended, or was not ready in time; the message has the end of its error output.
        """
        doc = {"spec": self.spec.to_dict(), "faults": self.faults.to_dict()}
        if self.ready:
            doc["spec"]["address"] = self.address
        self.command = python_module("beamstream.sim.spectra_process", str(os.getpid()), json.dumps(doc))
        return super().start()

    def set_faults(self, faults: SpectraFaults | None = None) -> None:
        """Have other things go wrong from the next message on; None ends all, a stall included."""
        self.ask({"faults": (faults or SpectraFaults()).to_dict()})

    def counters(self) -> dict[str, Any]:
        """Return what became of the messages so far, as `Spectrometer.counters`."""
        return self.ask({})


def main(parent: int, doc: Mapping[str, Any]) -> None:
    """Publish until a signal comes, standard input ends or the parent is another process.

    Each line of standard input, ``{"faults": {…}}`` or ``{}``, is answered by the counters.
    """
    with Spectrometer(SpectrometerSpec.from_dict(doc["spec"]), SpectraFaults.from_dict(doc["faults"])) as spectrometer:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: spectrometer.stop())
        _say({"ready": True, "pid": os.getpid(), "address": spectrometer.address})
        threading.Thread(target=_listen, args=(spectrometer, parent), daemon=True).start()
        spectrometer.run()
        spectrometer.rest()


def _listen(spectrometer: Spectrometer, parent: int) -> None:
    """Answer the parent as long as there is one."""
    read = b""
    while os.getppid() == parent:  # a forked sibling may hold the pipe open
        if not select.select([0], [], [], _PARENT_POLL)[0]:
            continue
        piece = os.read(0, 65536)
        if not piece:
            break
        *lines, read = (read + piece).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "faults" in said:
                spectrometer.set_faults(SpectraFaults.from_dict(said["faults"]))
            _say(spectrometer.counters())
    spectrometer.stop()


def _say(doc: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(doc) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), json.loads(sys.argv[2]))
    except (BeamstreamError, ValueError) as error:
        sys.exit(str(error))
