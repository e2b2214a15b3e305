"""A simulated spectrometer in a process of its own, and receivers of it that are stopped in any case."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beamstream.receiver import SpectraReceiver
from beamstream.sim.spectra_process import SpectraSim

Receive = Callable[..., SpectraReceiver]


@pytest.fixture
def receive(tmp_path: Path) -> Iterator[Receive]:
    """Make a receiver, not started: ``receive(sim, average=1)``; without pictures unless asked for."""
    made: list[SpectraReceiver] = []

    def make(sim: SpectraSim | int, **options) -> SpectraReceiver:
        port = sim if isinstance(sim, int) else int(sim.address.rpartition(":")[2])
        made.append(SpectraReceiver("127.0.0.1", port, **{"plot_interval": 0, "plot_dir": tmp_path / "figs"} | options))
        return made[-1]

    yield make
    for receiver in made:
        receiver.stop()
