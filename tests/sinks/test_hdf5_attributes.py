"""What frames carry beside their pixels comes back from an HDF5 recording as it was, whatever happens to it."""

import json
import math
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest

from beamstream.errors import DiskFull
from beamstream.frames import Geometry
from beamstream.recorded import RecordedFrames
from beamstream.sinks.attribute_columns import attribute_columns
from beamstream.sinks.contract import made_frames
from beamstream.sinks.hdf5 import Hdf5Sink

PLAIN = Geometry((48, 64), "<u2")
GROUP = "entry/instrument/NDAttributes"
FIRST = {"ColorMode": 0, "Temperature": 20.5, "Gain": 3, "Cooled": True, "Sample": "GaAs 7"}


def with_attributes(attributes, first=0):
    """Return frames that carry these, one after the other."""
    frames = made_frames(PLAIN, first, first + len(attributes))
    return [replace(frame, attributes=own) for frame, own in zip(frames, attributes, strict=True)]


def recorded(path, attributes, *, batch=7, template=FIRST):
    """Record frames that carry these; return the sink."""
    frames = with_attributes(attributes)
    with Hdf5Sink(path, PLAIN, name="cam", frame_attributes=template) as sink:
        for start in range(0, len(frames), batch):
            sink.write(frames[start : start + batch])
    return sink


def read(path, start=0, stop=None):
    """Return the attributes of recorded frames."""
    with RecordedFrames(path) as frames:
        stop = len(frames) if stop is None else stop
        return [dict(frame.attributes) for batch in frames.read(start, stop) for frame in batch]


def exact(attributes):
    """Return them so that 1, 1.0 and True are three, and NaN is equal to itself."""
    return [sorted((key, repr(value)) for key, value in own.items()) for own in attributes]


def test_numbers_and_short_texts_are_columns_and_come_back_as_they_were(tmp_path):
    sent = [{**FIRST, "Temperature": 20 + 0.5 * n, "Gain": n, "Cooled": n % 2 == 0} for n in range(40)]
    sink = recorded(tmp_path / "run.h5", sent)
    assert exact(read(sink.path)) == exact(sent)
    assert exact(read(sink.path, 33, 35)) == exact(sent[33:35])
    with h5py.File(sink.path) as file:
        columns = {key: file[GROUP][key] for key in ("Temperature", "Gain", "Cooled", "Sample")}
        assert {key: data.dtype.str for key, data in columns.items()} == {
            "Temperature": "<f8", "Gain": "<i8", "Cooled": "|b1", "Sample": "|S32",
        }  # fmt: skip
        assert columns["Temperature"][:].tolist() == [own["Temperature"] for own in sent]
        assert columns["Sample"].asstr()[7] == "GaAs 7"
        assert columns["Gain"].attrs["attribute"] == "Gain"
        assert file[GROUP].attrs["NX_class"] == "NXcollection"
        assert bytes(file[f"{GROUP}/changes"][:]) == b'{"row":0,"attributes":{"ColorMode":0},"missing":[]}\n'
    described = {key: array.dtype_numpy for key, array in sink.arrays.items()}
    assert described | {"attr_Gain": "<i8", "attr_Sample": "|S32"} == described
    assert "attr_ColorMode" not in described


def test_what_appears_disappears_becomes_another_type_or_too_long_is_kept_and_logged_once(tmp_path, caplog):
    sent = [dict(FIRST) for _ in range(60)]
    for n, own in enumerate(sent):
        own["Temperature"] = 20.0 + n
        if n >= 10:
            own["Pressure"] = 1e-6
        if 20 <= n < 50:
            del own["Gain"]
        if n >= 30:
            own["Temperature"] = "no sensor"
        if n % 5 == 4:
            own["Sample"] = "long " * n
        if n == 45:
            own |= {"Gain": 2**64, "List": [1, 2.5, None], "Nothing": None, "Cooled": 1, "Pressure": math.nan}
        if n == 46:
            own["Temperature"] = math.inf
    sink = recorded(tmp_path / "run.h5", sent)
    assert exact(read(sink.path)) == exact(sent)
    for row in (0, 10, 19, 20, 30, 44, 45, 46, 59):
        assert exact(read(sink.path, row, row + 1)) == exact(sent[row : row + 1]), row
    logged = [record.args[1] for record in caplog.records]
    assert sorted(logged) == ["Cooled", "Gain", "List", "Nothing", "Pressure", "Sample", "Temperature"]
    assert "'Pressure' appears at row 10" in caplog.text
    assert "'Gain' disappears" in caplog.text
    assert "'Temperature' becomes text, it was a number" in caplog.text
    with h5py.File(sink.path) as file:
        assert np.isnan(file[f"{GROUP}/Temperature"][30:40]).all()
        assert file[f"{GROUP}/Gain"][20:45].tolist() == [0] * 25
        lines = [json.loads(line) for line in bytes(file[f"{GROUP}/changes"][:]).splitlines()]
    assert next(line for line in lines if line["missing"] == ["Gain"])["row"] == 20


def test_what_stays_as_it_is_takes_no_room_beside_the_columns(tmp_path):
    long = {**FIRST, "Recipe": "x" * 5000, "Matrix": [1.0] * 16}
    sink = recorded(tmp_path / "run.h5", [dict(long) for _ in range(500)], batch=100, template=long)
    assert exact(read(sink.path)) == exact([long] * 500)
    with h5py.File(sink.path) as file:
        assert len(bytes(file[f"{GROUP}/changes"][:]).splitlines()) == 1


def test_names_that_are_no_names_of_datasets_become_such_and_come_back(tmp_path):
    names = [
        "",
        "/",
        "..",
        "a/b",
        "a b",
        "unique_id",
        "UNIQUE_ID",
        "data",
        "changes",
        "é",
        "x" * 300,
        "a_b",
        "a\0b",
        "attribute",
    ]
    first = {name: number for number, name in enumerate(names)}
    sink = recorded(
        tmp_path / "run.h5", [{name: value + n for name, value in first.items()} for n in range(9)], template=first
    )
    assert read(sink.path)[8] == {name: value + 8 for name, value in first.items()}
    columns = attribute_columns(first)
    assert len({column.name for column in columns}) == len(columns) == len(names) - 1, "NUL is in no name of HDF5"
    with h5py.File(sink.path) as file:
        assert set(file) == {"entry"}
        assert {file[GROUP][column.name].attrs["attribute"] for column in columns} == set(names) - {"a\0b"}
    assert all(re.fullmatch(r"attr_[A-Za-z0-9_-]{1,70}", key) for key in list(sink.arrays)[4:])


def test_hundreds_of_attributes_have_columns_up_to_a_bound_and_are_all_kept(tmp_path, caplog):
    first = {f"A{number}": float(number) for number in range(300)}
    sent = [{name: value + n for name, value in first.items()} for n in range(3)]
    sink = recorded(tmp_path / "run.h5", sent, template=first)
    assert exact(read(sink.path)) == exact(sent)
    assert len(sink.arrays) == 4 + 256
    assert not caplog.records


def test_attributes_that_no_frame_had_before_the_run_are_kept_as_changes(tmp_path, caplog):
    sent = [{"Temperature": 20.0 + n, "Sample": "A"} for n in range(5)]
    sink = recorded(tmp_path / "run.h5", sent, template={})
    assert exact(read(sink.path)) == exact(sent)
    assert sorted(record.args[1] for record in caplog.records) == ["Sample", "Temperature"]
    assert set(sink.arrays) == {"data", "unique_id", "timestamp", "received"}


def test_attributes_are_read_while_the_file_grows(tmp_path):
    sent = [{**FIRST, "Gain": n, "Extra": n} if n % 3 else {"Temperature": 1.0} for n in range(3000)]
    frames = with_attributes(sent)
    with Hdf5Sink(tmp_path / "run.h5", PLAIN, name="cam", frame_attributes=FIRST) as sink:
        sink.write(frames[:5])
        with RecordedFrames(sink.path) as growing:
            for start in range(0, 3000, 250):
                sink.write(frames[5 + start : 255 + start])
                found = [dict(f.attributes) for batch in growing.read(start, start + 250) for f in batch]
                assert exact(found) == exact(sent[start : start + 250])


WRITER = """
import sys
from dataclasses import replace
from beamstream.frames import Geometry
from beamstream.sinks.contract import made_frames
from beamstream.sinks.hdf5 import Hdf5Sink
def attributes(n):
    own = {"Number": n, "Text": f"text {n}", "Half": n / 2}
    return own | ({"Extra": [n, str(n)]} if n % 3 else {"Half": "none"})
if __name__ == "__main__":
    geometry = Geometry((48, 64), "<u2")
    with Hdf5Sink(sys.argv[1], geometry, frame_attributes=attributes(1)) as sink:
        for start in range(0, 1 << 30, 5):
            frames = enumerate(made_frames(geometry, start, start + 5), start)
            print(sink.write([replace(frame, attributes=attributes(n)) for n, frame in frames]), flush=True)
"""


@pytest.mark.parametrize("after", [1, 7, 40, 150])
def test_frames_that_count_have_their_attributes_after_kill_9(tmp_path, after):
    path, program = tmp_path / "run.h5", tmp_path / "attribute_writer.py"
    program.write_text(WRITER)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, str(program), str(path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as writer:
        for _ in range(after):
            kept = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
    namespace: dict = {"__name__": "writer"}
    exec(WRITER, namespace)
    found = read(path)
    assert len(found) >= kept == 5 * after
    assert exact(found) == exact([namespace["attributes"](n) for n in range(len(found))])


def test_a_full_disk_leaves_the_attributes_of_the_frames_that_count(small_disk):
    path = small_disk / "run.h5"
    sent = [{**FIRST, "Extra": "x" * 20_000 + str(n)} for n in range(2000)]
    frames = with_attributes(sent)
    kept = [0]
    with Hdf5Sink(path, PLAIN, name="cam", frame_attributes=FIRST) as sink, pytest.raises(DiskFull):
        kept.extend(sink.write(frames[start : start + 10]) for start in range(0, 2000, 10))
    found = read(path)
    assert len(found) == sink.kept == kept[-1] > 10
    assert exact(found) == exact(sent[: len(found)])


def test_without_attributes_of_a_first_frame_only_columns_of_the_layout_are_kept(tmp_path):
    with Hdf5Sink(tmp_path / "run.h5", PLAIN) as sink:
        sink.write(with_attributes([FIRST]))
    assert read(sink.path) == [{}]
    with h5py.File(sink.path) as file:
        assert "instrument" not in file["entry"]
