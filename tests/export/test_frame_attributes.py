"""Whatever format a run is exported to, the attributes of its frames go with them."""

import csv
import json
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from beamstream.callbacks.derived import descriptor_of
from beamstream.callbacks.journal import Journal
from beamstream.callbacks.recorder import Recorder
from beamstream.export import export_run
from beamstream.export.readings import RowReadings
from beamstream.frames import Geometry
from beamstream.recorded import RecordedFrames
from beamstream.sinks.contract import made_frames
from beamstream.sinks.documents import SinkDocuments
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.sinks.hdf5_layout import Column

GEOMETRY = Geometry((48, 64), "|u1")
PART = {"offset": [20, 10], "binning": [1, 2], "reverse": [False, True], "full_size": [1024, 2048]}


def attributes_of(n: int) -> dict:
    """Return numbers and texts that change, one that does not, one that comes late, and one that has no column."""
    own = {"ColorMode": 0, "Temperature": 20 + n / 2, "Stage": f'at "{n}", here', "Shots": n, "dimension": PART}
    if n >= 6:
        own["Pressure"] = 1e-6
    if n == 8:
        del own["Shots"]
        own["Temperature"] = "no sensor"
    return own


SENT = [attributes_of(n) for n in range(12)]
CHANGES = [
    {"row": 0, "attributes": {"dimension": PART}, "missing": []},
    {"row": 6, "attributes": {"dimension": PART, "Pressure": 1e-6}, "missing": []},
    {"row": 8, "attributes": {"dimension": PART, "Pressure": 1e-6, "Temperature": "no sensor"}, "missing": ["Shots"]},
    {"row": 9, "attributes": {"dimension": PART, "Pressure": 1e-6}, "missing": []},
]
TEMPERATURES = [n / 2 + 20 if n != 8 else np.nan for n in range(12)]


@pytest.fixture
def run(runs) -> str:
    """A run of twelve frames that carry `SENT`."""
    journal = Journal(runs.journal)
    start = {"uid": str(uuid4()), "time": time.time(), "scan_id": 1, "plan_name": "record"}
    journal("start", start)
    path = runs.recordings / "cam.h5"
    with Hdf5Sink(path, GEOMETRY, name="cam", frame_attributes=SENT[0]) as sink:
        documents = SinkDocuments(sink, "cam", start=start)
        descriptor = descriptor_of(start, "primary", {"cam": documents.data_keys("pva://X")}, {})
        journal("descriptor", descriptor)
        frames = made_frames(GEOMETRY, 0, 12)
        sink.write([replace(frame, attributes=own) for frame, own in zip(frames, SENT, strict=True)])
        for kind, doc in documents.up_to(sink.kept, descriptor):
            journal(kind, doc)
    journal("stop", {"uid": str(uuid4()), "run_start": start["uid"], "time": time.time(), "exit_status": "success"})
    return start["uid"]


@pytest.fixture
def exported(runs, run, tmp_path):
    """Export the run; return the path."""

    def export(format: str) -> Path:
        (file,) = export_run(runs.documents(run), Recorder(tmp_path / "out", format=format)).files
        assert file.frames == 12
        return file.path

    return export


def lines(encoded: bytes) -> list[dict]:
    return [json.loads(line) for line in encoded.splitlines()]


def beside(path: Path) -> list[dict]:
    return lines(path.with_name(f"{path.name}.attributes.jsonl").read_bytes())


def test_tiff_pages_have_all_of_them_in_their_json(exported):
    found = []
    for path in sorted(exported("tiff").glob("*.tiff")):
        with tifffile.TiffFile(path) as file:
            found.append(json.loads(file.pages.first.tags[270].value)["attributes"])
    assert found == SENT


@pytest.mark.parametrize("format", ["bigtiff", "ome-tiff"])
def test_pages_of_one_tiff_file_have_all_of_them_in_their_private_tag(exported, format):
    with tifffile.TiffFile(exported(format)) as file:
        assert [json.loads(page.tags[65100].value)["attributes"] for page in file.pages] == SENT


def test_an_hdf5_export_keeps_them_as_a_recording_does(exported):
    path = exported("hdf5")
    with RecordedFrames(path) as frames:
        assert [dict(frame.attributes) for batch in frames.read(0, 12) for frame in batch] == SENT
    with h5py.File(path) as file:
        np.testing.assert_equal(file["entry/instrument/NDAttributes/Temperature"][:].tolist(), TEMPERATURES)
        assert file["entry/data/data"].attrs["offset"].tolist() == [20, 10]


def test_data_exchange_has_them_beside_the_detector(exported):
    with h5py.File(exported("dxchange")) as file:
        group = file["measurement/instrument/NDAttributes"]
        np.testing.assert_equal(group["Temperature"][:].tolist(), TEMPERATURES)
        assert group["Stage"].asstr()[3] == 'at "3", here'
        assert file["exchange/data"].attrs["full_size"].tolist() == [1024, 2048]


def test_zarr_has_numbers_as_arrays_and_the_rest_as_bytes(exported):
    group = zarr.open_group(exported("zarr"), mode="r")
    np.testing.assert_equal(group["Temperature"][:].tolist(), TEMPERATURES)
    assert group["Shots"][:].tolist() == [n if n != 8 else 0 for n in range(12)]
    changes = lines(group["attribute_changes"][:].tobytes())
    assert [change["row"] for change in changes] == list(range(12))
    assert [change["attributes"]["Stage"] for change in changes] == [own["Stage"] for own in SENT]


def test_npz_has_columns_and_the_rest_as_bytes(exported):
    with np.load(exported("npz")) as file:
        np.testing.assert_equal(file["Temperature"].tolist(), TEMPERATURES)
        assert file["Stage"][3].decode() == 'at "3", here'
        assert lines(file["attribute_changes"].tobytes()) == CHANGES


def test_npy_has_columns_in_its_file_of_numbers_and_the_rest_beside(exported):
    path = exported("npy")
    frames = np.load(path.with_name(f"{path.stem}.frames.npy"))
    np.testing.assert_equal(frames["Temperature"].tolist(), TEMPERATURES)
    assert frames["unique_id"].tolist() == list(range(1000, 1012))
    assert beside(path) == CHANGES


def test_csv_has_columns_and_the_rest_beside(exported):
    path = exported("csv")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["Stage"] for row in rows] == [own["Stage"] for own in SENT]
    np.testing.assert_equal([float(row["Temperature"]) for row in rows], TEMPERATURES)
    assert beside(path) == CHANGES


@pytest.mark.parametrize("format", ["mkv", "mp4"])
def test_films_have_those_of_the_first_frame_in_their_comment_and_what_changes_beside(exported, format):
    path = exported(format)
    assert b"frame_attributes" in path.read_bytes()
    changes = beside(path)
    assert [change["row"] for change in changes] == list(range(1, 12))
    assert [change["attributes"] | {"ColorMode": 0} for change in changes] == SENT[1:]


def test_a_motor_and_an_attribute_of_one_name_are_both_kept():
    (frame,) = made_frames(GEOMETRY, 0, 1)
    readings = RowReadings((Column("Temperature", "<f8"),), {0: {"Temperature": 77.0}})
    (both,) = readings.beside([replace(frame, attributes={"Temperature": 20.5, "Shots": 1})], 0)
    assert both.attributes == {"attr_Temperature": 20.5, "Shots": 1, "Temperature": 77.0}
