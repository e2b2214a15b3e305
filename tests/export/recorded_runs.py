"""Recorded runs with their journals, as a session leaves them."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from damaged_frames import compressed
from numpy.typing import NDArray

from beamstream.archive.documents import Tail
from beamstream.callbacks.derived import descriptor_of
from beamstream.callbacks.journal import Journal
from beamstream.frames import Frame, Geometry
from beamstream.sim.pattern import Pattern
from beamstream.sinks.documents import SinkDocuments
from beamstream.sinks.hdf5 import Hdf5Sink

GEOMETRY = Geometry((48, 64), "<u2")
EXPOSURE = 0.005  # s


class Runs:
    """Record runs into an archive directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.journal = directory / "journal"
        self.recordings = directory / "recordings"
        self.recordings.mkdir(parents=True, exist_ok=True)

    def record(
        self,
        num: int = 40,
        *,
        geometry: Geometry = GEOMETRY,
        names: tuple[str, ...] = ("cam",),
        damaged: Collection[int] = (),
        pixel: Mapping[str, Any] | None = None,
        motors: Mapping[str, tuple[str, Sequence[float]]] | None = None,
        period: float = 1.0,
        times: Sequence[float] | None = None,
        read: int | None = None,
        streams: Mapping[str, int] | None = None,
        **md,
    ) -> str:
        """Record frames of detectors, the `damaged` ones of the first as they came; return the run's uid.

        `pixel` is what data keys hold of a pixel's size, `motors` the unit and the positions of motors, one a frame;
        the events with these are those of the first detector's frames. Frames come every `period` s, or at `times`;
        the first `read` have an event. `streams` is in which streams the first detector's frames are, and how many.
        """
        journal = Journal(self.journal)
        at = [1e9 + seconds for seconds in times or [number * period for number in range(num)]]
        start: Any = {"uid": str(uuid4()), "time": time.time(), "scan_id": 1, "plan_name": "record", **md}
        journal("start", start)
        for name in names:
            first = name == names[0]
            scan = motors if first and motors else {}
            of = streams if first and streams else {"primary" if name == "cam" else name: num}
            self._detector(journal, start, name, of, geometry, damaged if first else (), pixel or {}, scan, at, read)
        journal("stop", {"uid": str(uuid4()), "run_start": start["uid"], "time": time.time(), "exit_status": "success"})
        return start["uid"]

    def _detector(
        self,
        journal: Journal,
        start: Any,
        name: str,
        streams: Mapping[str, int],
        geometry: Geometry,
        damaged: Collection[int],
        pixel: Mapping[str, Any],
        motors: Mapping[str, tuple[str, Sequence[float]]],
        at: Sequence[float],
        read: int | None,
    ) -> None:
        with Hdf5Sink(self.recordings / f"{name}_{start['uid'][:8]}.h5", geometry, name=name) as sink:
            documents = SinkDocuments(sink, name, start=start)
            settings = {name: {f"{name}_control_acquire_time": EXPOSURE}}
            keys: Any = documents.data_keys("pva://X")
            keys[f"{name}_image"] |= pixel
            positions: Any = {
                motor: {motor: {"source": "PV:X", "dtype": "number", "shape": [], "units": units}}
                for motor, (units, _) in motors.items()
            }
            end = 0
            for stream, num in streams.items():
                begin, end = end, end + num
                moving = positions if stream == "primary" else {}
                descriptor: Any = descriptor_of(start, stream, {name: keys, **moving}, settings)
                journal("descriptor", descriptor)
                for first in range(begin, end, 16):
                    ids = range(first, min(end, first + 16))
                    sink.write([_frame(geometry, i, at[i], damaged=i in damaged) for i in ids])
                    for kind, doc in documents.up_to(sink.kept, descriptor):
                        journal(kind, doc)
                for point in range(num if read is None else read) if moving else ():
                    data = {motor: places[point] for motor, (_, places) in motors.items()}
                    journal("event", _event(descriptor, begin + point, data))

    def documents(self, uid: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Read the documents of a run back."""
        return Tail(self.journal / f"{uid}.jsonl").read(1 << 30)

    def raw(self, uid: str, name: str = "cam") -> Path:
        return self.recordings / f"{name}_{uid[:8]}.h5"


def _event(descriptor: Any, row: int, data: dict[str, float]) -> dict[str, Any]:
    times = dict.fromkeys(data, time.time())
    event = {"uid": str(uuid4()), "descriptor": descriptor["uid"], "seq_num": row + 1, "time": time.time()}
    return event | {"data": data, "timestamps": times, "filled": {}}


def _frame(geometry: Geometry, number: int, at: float, *, damaged: bool) -> Frame:
    plain = replace(geometry, codec="")
    frame = Frame(Pattern(plain).image(number), plain, number, at, at)
    return compressed(frame, geometry.codec, damaged=damaged) if geometry.codec else frame


def shown(num: int, geometry: Geometry = GEOMETRY) -> NDArray[Any]:
    """Return what the camera showed."""
    return np.stack([Pattern(geometry).image(number) for number in range(num)])
