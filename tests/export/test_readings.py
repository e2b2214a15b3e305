"""What was read beside a frame goes with it, whichever stream of the run it is in."""

import math
from typing import Any

import numpy as np

from beamstream.export.readings import Readings
from beamstream.frames import Frame, Geometry

NUMBER: dict[str, Any] = {"source": "PV:X", "dtype": "number", "shape": []}
GEOMETRY = Geometry((2, 3), "|u1")


def datum(stream: str, start: int, stop: int, seq_num: int) -> tuple[str, dict[str, Any]]:
    rows, numbers = {"start": start, "stop": stop}, {"start": seq_num, "stop": seq_num + stop - start}
    return "stream_datum", {"stream_resource": "file", "descriptor": stream, "indices": rows, "seq_nums": numbers}


def event(stream: str, seq_num: int, **data: float) -> tuple[str, dict[str, Any]]:
    return "event", {"descriptor": stream, "seq_num": seq_num, "data": data}


def test_rows_have_the_readings_of_their_own_stream():
    readings = Readings()
    for name, doc in (
        ("descriptor", {"uid": "dark", "data_keys": {"shutter": NUMBER}}),
        ("descriptor", {"uid": "primary", "data_keys": {"motor": NUMBER | {"units": "mm"}, "shutter": NUMBER}}),
        datum("dark", 0, 1, 1),
        event("dark", 1, shutter=0.0),
        datum("primary", 1, 2, 1),
        event("primary", 1, motor=1.5, shutter=1.0),
        datum("primary", 2, 3, 2),
        event("primary", 2, motor=2.5, shutter=1.0),
        datum("dark", 3, 4, 2),
        event("dark", 2, shutter=0.5),
    ):
        readings.take(name, doc)
    found = readings.of("file")
    frames = found.beside([Frame(np.zeros((2, 3), np.uint8), GEOMETRY, n, 0.0, 0.0) for n in range(4)], 0)
    assert {column.name: column.units for column in found.columns} == {"shutter": "", "motor": "mm"}
    assert [frame.attributes["shutter"] for frame in frames] == [0.0, 1.0, 1.0, 0.5]
    motors = [frame.attributes["motor"] for frame in frames]
    assert motors[1:3] == [1.5, 2.5]
    assert math.isnan(motors[0])
    assert math.isnan(motors[3])
