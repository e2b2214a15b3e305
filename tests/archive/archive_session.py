"""A session to record with: a camera that writes HDF5 in SWMR mode, plans, a RunEngine with a journal."""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import h5py
import numpy as np
from bluesky import RunEngine
from event_model import compose_run, compose_stream_resource
from ophyd import Component, Device, DeviceStatus, Signal

from beamstream.callbacks.journal import Journal
from beamstream.sinks.documents import SinkDocuments

SHAPE = (24, 32)


def frame(number: int) -> np.ndarray:
    """Return what the camera sees at one moment: no two alike."""
    rows, columns = np.indices(SHAPE)
    return (rows * 257 + columns * 3 + number * 1009).astype("<u2")


class Ledger(Device):
    """Counts of one detector, as the real device publishes them."""

    received = Component(Signal, value=0)
    recorded = Component(Signal, value=0)
    lost = Component(Signal, value=0)


class Camera(Device):
    """Write `num` frames a kickoff, one a `period`, and announce at most `announce` of them."""

    def __init__(self, name: str, directory: Path, *, num: int, period: float = 0.0, announce: int = 10**9) -> None:
        super().__init__(name=name)
        self.ledger = Ledger(name=f"{name}_ledger")
        self.num, self.period, self.announce, self.loses = num, period, announce, 0
        self.hold, self.pause_at = threading.Event(), -1
        self.hold.set()
        self._directory = directory
        self._written = self._emitted = 0

    def stage(self) -> list[object]:
        self.path = self._directory / f"{self.name}-{time.time_ns()}.h5"
        self._file = h5py.File(self.path, "w", libver="latest")
        self._data = self._file.create_dataset(
            "entry/data/data", (0, *SHAPE), "<u2", maxshape=(None, *SHAPE), chunks=(1, *SHAPE)
        )
        self._file.swmr_mode = True
        self._bundle, self._written, self._emitted = None, 0, 0
        return super().stage()

    def unstage(self) -> list[object]:
        self._file.close()
        return super().unstage()

    def _write(self, count: int, status: DeviceStatus) -> None:
        for _ in range(count):
            if self._written == self.pause_at:
                self.hold.clear()
            self.hold.wait(30)
            time.sleep(self.period)
            self._data.resize(self._written + 1, axis=0)
            self._data[self._written] = frame(self._written)
            self._data.flush()
            self._written += 1
        self.ledger.received.put(self._written + self.loses)
        self.ledger.recorded.put(self._written)
        self.ledger.lost.put(self.loses)
        status.set_finished()

    def trigger(self) -> DeviceStatus:
        status = DeviceStatus(self, timeout=30)
        threading.Thread(target=self._write, args=(1, status)).start()
        return status

    def kickoff(self) -> DeviceStatus:
        self._fly = DeviceStatus(self, timeout=60)
        threading.Thread(target=self._write, args=(self.num, self._fly)).start()
        status = DeviceStatus(self)
        status.set_finished()
        return status

    def complete(self) -> DeviceStatus:
        return self._fly

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), **self.describe_collect()}

    def describe_collect(self) -> dict[str, Any]:
        key = {"source": "made up", "dtype": "array", "shape": [*SHAPE], "dtype_numpy": "<u2"}
        return {f"{self.name}_image": {**key, "external": "STREAM:"}}

    def get_index(self) -> int:
        return min(self._written, self.announce)

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, Any]]:
        end = self.get_index() if index is None else min(index, self.get_index())
        if end <= self._emitted:
            return
        if self._bundle is None:
            self._bundle = compose_stream_resource(
                data_key=f"{self.name}_image",
                mimetype="application/x-hdf5",
                uri=f"file://localhost{self.path}",
                parameters={"dataset": "/entry/data/data", "chunk_shape": (1, *SHAPE), "swmr": True},
            )
            yield "stream_resource", dict(self._bundle.stream_resource_doc)
        yield "stream_datum", self._bundle.compose_stream_datum(indices={"start": self._emitted, "stop": end})
        self._emitted = end


def fly(cameras: list[Camera], **metadata: Any):
    """Record one fly run, and its ledger."""

    @bpp.stage_decorator(cameras)
    @bpp.run_decorator(md={"plan_name": "fly", **metadata})
    def inner():
        yield from bps.declare_stream(*cameras, name="primary", collect=True)
        yield from bps.kickoff_all(*cameras, wait=True)
        yield from bps.collect_while_completing(cameras, cameras, flush_period=0.05, stream_name="primary")
        yield from bps.create("ledger")
        for camera in cameras:
            yield from bps.read(camera.ledger)
        yield from bps.save()

    return (yield from inner())


def journaled(directory: Path, events: int) -> str:
    """Journal a run as fast as documents can be made; return its uid."""
    run, journal = compose_run(), Journal(directory)
    journal("start", run.start_doc)
    key = {"source": "test", "dtype": "number", "shape": []}
    stream = run.compose_descriptor(name="primary", data_keys={"x": key})  # type: ignore[arg-type]
    journal("descriptor", stream.descriptor_doc)
    for number in range(events):
        journal("event", stream.compose_event(data={"x": number}, timestamps={"x": time.time()}, validate=False))
    journal("stop", run.compose_stop())
    journal.close()
    return run.start_doc["uid"]


def recorded_run(journal: Path, sink: Any, frames: list[Any]) -> str:
    """Write frames to a sink and journal their run; return its uid."""
    run, write = compose_run(metadata={"plan_name": "recorded", "scan_id": 1}), Journal(journal)
    write("start", run.start_doc)
    documents = SinkDocuments(sink, "cam", start=run.start_doc)
    stream = run.compose_descriptor(name="primary", data_keys=documents.data_keys("made up"))
    write("descriptor", stream.descriptor_doc)
    with sink:
        kept = sink.write(frames)
        for name, doc in documents.up_to(kept, stream.descriptor_doc):
            write(name, doc)
    write("stop", {**run.compose_stop(), "num_events": {"primary": kept}})
    write.close()
    return run.start_doc["uid"]


def make_engine(journal: Path) -> RunEngine:
    """Return a RunEngine that journals."""
    engine = RunEngine({}, call_returns_result=False, context_managers=[])  # runs in threads, too
    engine.subscribe(Journal(journal))
    return engine


if __name__ == "__main__":  # a session that somebody kills: it announces 25 of its frames and goes on forever
    archive = Path(sys.argv[1])
    camera = Camera("cam", archive / "recordings", num=10_000, period=0.01, announce=25)
    make_engine(archive / "journal")(fly([camera], sample="doomed"))
