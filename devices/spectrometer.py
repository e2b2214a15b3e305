"""A spectrometer that sends averaged spectra over ZeroMQ, as bluesky wants it: step and fly, recorded on the way."""

from pathlib import Path
from typing import Any

import numpy as np
from event_model import DataKey
from numpy.typing import NDArray
from ophyd import Component as Cpt
from ophyd import Signal
from ophyd.signal import SignalRO

from beamstream.frames import Geometry
from beamstream.ops.spectra import Band, Polarization, Selection
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.sinks.hdf5_spectra import spectra_layout
from beamstream.sources.spectra import SpectraSource
from devices.statistics import SpectrumStatistics
from devices.stream_detector import StreamDetector, value_of

UNITS = "arb. u."
"""Of the power, unless the recorder is calibrated."""


def polarization(said: object) -> Polarization:
    """Return a polarisation as `Selection` wants it; a number may be said in digits."""
    text = str(said)
    return int(text) if text.isdigit() else text  # pyright: ignore[reportReturnType]


class FrequencyAxis(SignalRO):
    """Where the recorded channels lie, MHz: an array of float64."""

    def describe(self) -> dict[str, DataKey]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the data key."""
        channels = len(value_of(self))
        key = DataKey(source=f"PY:{self.name}", dtype="array", shape=[channels], dtype_numpy="<f8", units="MHz")
        key["dims"] = ["frequency"]
        return {self.name: key}

    def put_axis(self, frequency: NDArray[np.float64]) -> None:
        """Say where the channels lie from now on, MHz."""
        Signal.put(self, frequency.tolist(), force=True)


class ZmqSpectrometer(StreamDetector):
    """Record every spectrum of a ZeroMQ publisher, in step scans and in flight.

    Works unchanged in bluesky's `count`, `scan`, `grid_scan`: one spectrum a trigger, the first whose average was
    begun after it. In flight (`kickoff`, `complete`) it takes `num_images` spectra, or all until `complete` when
    that is 0. Either way they are in one HDF5 file a run, with their frequency axis, and documents say which rows
    belong to which event. Stage it anew for each run.

    The publisher is left to run as it does. What is lost shows in its count, or, for a publisher that does not
    count, as a jump of ``last_block_time`` against the cadence.

    Parameters
    ----------
    address : str
        Of the publisher, ``tcp://127.0.0.1:9798``.
    name : str
    polarization : {"all", "I", "V"} or int
        What to record: all of them, Stokes I or V, or one.
    channel_averaging : int
        Record the mean of so many neighbouring channels.
    band : Band
        Where the publisher's channels lie; OVRO-LWA's by default.
    **kwargs
        ``directory``, ``on_loss``, ``timeout``, ``ring_memory``: see `StreamDetector`.

    Attributes
    ----------
    polarization, channel_averaging : Signal
        As above; what is put there counts from the next stage on.
    frequency : FrequencyAxis
        Of the channels that are recorded, MHz.
    stats : SpectrumStatistics
        Mean, extremes and the strongest channel of the last trigger's spectrum.
    """

    polarization = Cpt(Signal, value="all", kind="config")
    channel_averaging = Cpt(Signal, value=1, kind="config")
    frequency = Cpt(FrequencyAxis, value=[], kind="config")
    stats = Cpt(SpectrumStatistics, kind="normal")

    _pixels = "spectrum"

    def __init__(
        self,
        address: str,
        *,
        name: str = "",
        polarization: Polarization = "all",
        channel_averaging: int = 1,
        band: Band | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(address, SpectraSource(address, name=name), name=name, **kwargs)
        self.polarization.put(polarization)
        self.channel_averaging.put(channel_averaging)
        self._band = band or Band()
        self._selection = Selection()

    def _geometry(self, timeout: float) -> Geometry:
        source: Any = self._source
        self._selection = Selection(polarization(value_of(self.polarization)), int(value_of(self.channel_averaging)))
        source.treat = self._selection
        geometry = source.connect(timeout)
        channels = geometry.shape[1] * self._selection.average
        self.frequency.put_axis(self._selection.axis(self._band.axis(channels)))
        return geometry

    def _sink(self, path: Path, geometry: Geometry) -> Hdf5Sink:
        layout = spectra_layout(np.array(value_of(self.frequency)), self._selection.dims, UNITS)
        attributes = {"source": self._source.uri, "polarization": str(self._selection.polarization)}
        return Hdf5Sink(path, geometry, name=self.name, attributes=attributes, layout=layout)

    @property
    def _frame_time(self) -> float:
        source: Any = self._source
        return source.period or 0.0
