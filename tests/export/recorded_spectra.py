"""Recorded runs of spectra with their journals, as a session with a spectrometer leaves them."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from recorded_runs import Runs

from beamstream.callbacks.derived import descriptor_of, event_of
from beamstream.callbacks.journal import Journal
from beamstream.frames import Frame, Geometry
from beamstream.ops.spectra import Band
from beamstream.sinks.documents import SinkDocuments
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.sinks.hdf5_layout import NEXUS
from beamstream.sinks.hdf5_spectra import spectra_layout

BEGAN = 1_755_537_514.25  # s since 1970-01-01 UTC
CADENCE = 0.5  # s
TIME_TAG = 344_085_352_899_674_112
SHAPE = (1, 96, 4)
UNITS = "arb. u."
_TEXT = {"dtype": "string"}


def spectrum(number: int, shape: tuple[int, ...] = SHAPE) -> NDArray[np.float32]:
    """Return what a spectrometer measures at one time: no two values alike."""
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return values * np.float32(1.1) + np.float32(number * 1000.3)


def spectra(num: int, shape: tuple[int, ...] = SHAPE) -> NDArray[np.float32]:
    """Return the first spectra."""
    return np.stack([spectrum(number, shape) for number in range(num)])


def times(num: int) -> NDArray[np.float64]:
    """Return the times of the last samples in them, s since 1970-01-01 UTC."""
    return BEGAN + CADENCE * np.arange(num)


def frame(number: int, shape: tuple[int, ...] = SHAPE) -> Frame:
    """Return a spectrum as its source gives it; every tenth was lost."""
    then = BEGAN + CADENCE * number
    about = {"last_block_time": then, "delay": 0.25, "time_tag": TIME_TAG + number}
    geometry = Geometry(shape, "<f4")
    return Frame(spectrum(number, shape), geometry, 7 + number + number // 9, then + 0.5, then + 0.75, attributes=about)


class SpectraRuns(Runs):
    """Record runs of spectra into an archive directory, which may be there."""

    def __init__(self, directory: Path) -> None:
        if not (directory / "recordings").exists():
            super().__init__(directory)
        self.directory = directory
        self.journal = directory / "journal"
        self.recordings = directory / "recordings"

    def record(
        self,
        num: int = 40,
        *,
        shape: tuple[int, ...] = SHAPE,
        names: tuple[str, ...] = ("spec",),
        settings: Mapping[str, Any] | None = None,
        columns: bool = True,
        **md: Any,
    ) -> str:
        """Record spectra of spectrometers; return the run's uid.

        `settings` replaces what a device says of its channels: by name, without the device's; None takes one away.
        Without `columns` nothing but ids and times of arrival is kept beside the spectra.
        """
        journal = Journal(self.journal)
        start: Any = {"uid": str(uuid4()), "time": time.time(), "scan_id": 1, "plan_name": "record", **md}
        journal("start", start)
        for name in names:
            self._spectrometer(journal, start, name, num, shape, settings or {}, columns)
        events = {"primary": num} | {f"{name}_stream": num for name in names[1:]}
        stop = {"uid": str(uuid4()), "run_start": start["uid"], "time": time.time(), "exit_status": "success"}
        journal("stop", stop | {"num_events": events})
        journal.close()
        return start["uid"]

    def _spectrometer(
        self,
        journal: Journal,
        start: Any,
        name: str,
        num: int,
        shape: tuple[int, ...],
        settings: Mapping[str, Any],
        columns: bool,
    ) -> None:
        frequency = Band().axis(shape[1])
        layout = spectra_layout(frequency, ("beam", "frequency", "polarization")[: len(shape)], UNITS)
        layout = layout if columns else replace(NEXUS, dims=layout.dims)
        path = self.recordings / f"{name}_{start['uid'][:8]}.h5"
        with Hdf5Sink(path, Geometry(shape, "<f4"), name=name, layout=layout) as sink:
            documents = SinkDocuments(sink, name, start=start, pixels="spectrum")
            said = {"frequency": frequency.tolist(), "polarization": "all", "channel_averaging": 1, **settings}
            configuration = {f"{name}_{key}": value for key, value in said.items() if value is not None}
            stream = "primary" if name == "spec" else f"{name}_stream"
            keys = {name: documents.data_keys("zmq://127.0.0.1:9798")}
            descriptor: Any = descriptor_of(start, stream, keys, {name: configuration})
            for key in configuration.keys() & {f"{name}_frequency"}:
                descriptor["configuration"][name]["data_keys"][key]["units"] = "MHz"
            journal("descriptor", descriptor)
            for first in range(0, num, 16):
                sink.write([frame(number, shape) for number in range(first, min(num, first + 16))])
                for kind, doc in documents.up_to(sink.kept, descriptor):
                    journal(kind, doc)

    def steps(self, positions: list[float]) -> str:
        """Record a step scan of a motor: a spectrum and an event a position, but for the last no event."""
        journal = Journal(self.journal)
        start: Any = {"uid": str(uuid4()), "time": time.time(), "scan_id": 2, "plan_name": "scan"}
        journal("start", start)
        frequency = Band().axis(SHAPE[1])
        layout = spectra_layout(frequency, ("beam", "frequency", "polarization"), UNITS)
        path = self.recordings / f"spec_{start['uid'][:8]}.h5"
        with Hdf5Sink(path, Geometry(SHAPE, "<f4"), name="spec", layout=layout) as sink:
            documents = SinkDocuments(sink, "spec", start=start, pixels="spectrum")
            motor = {"source": "made up", "dtype": "number", "shape": [], "units": "deg"}
            keys = {"spec": documents.data_keys("zmq://X"), "motor": {"motor": motor, "say": motor | _TEXT}}
            settings = {"spec": {"spec_frequency": frequency.tolist()}}
            descriptor: Any = descriptor_of(start, "primary", keys, settings)
            journal("descriptor", descriptor)
            for number, position in enumerate(positions):
                sink.write([frame(number)])
                for kind, doc in documents.up_to(sink.kept, descriptor):
                    journal(kind, doc)
                if number + 1 < len(positions):
                    read = {"motor": position, "say": "x"}
                    journal("event", event_of(descriptor, number + 1, read))
        stop = {"uid": str(uuid4()), "run_start": start["uid"], "time": time.time(), "exit_status": "abort"}
        journal("stop", stop | {"num_events": {"primary": len(positions) - 1}})
        journal.close()
        return start["uid"]
