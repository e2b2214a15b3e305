"""Recorded frames whose bytes are damaged: every other one is exported, and all that are lacking are named."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from read_formats import READ, h5
from recorded_runs import GEOMETRY, shown

from beamstream.callbacks.recorder import Recorder
from beamstream.errors import CodecError
from beamstream.export import export_run, read_run

ZLIB = replace(GEOMETRY, codec="zlib")
BAD = (0, 3, 4, 39)
WHOLE = [number for number in range(40) if number not in BAD]


@pytest.mark.parametrize("codec", ["zlib", "blosc", "lz4", "bslz4"])
def test_rows_of_all_columns_stay_those_of_one_frame(runs, tmp_path, codec):
    uid = runs.record(40, geometry=replace(GEOMETRY, codec=codec), damaged=BAD)
    (file,) = export_run(runs.documents(uid), Recorder(tmp_path, format="hdf5")).files
    assert (file.frames, file.undecoded) == (36, BAD)
    assert h5(file.path, "entry/data/unique_id").tolist() == WHOLE
    assert h5(file.path, "entry/data/timestamp").tolist() == [1e9 + number for number in WHOLE]
    assert np.array_equal(h5(file.path), shown(40)[WHOLE])


@pytest.mark.parametrize("format", READ)
def test_no_format_lacks_a_frame_that_decodes(runs, tmp_path, format):
    uid = runs.record(40, geometry=ZLIB, damaged=BAD)
    told: list[tuple[int, int]] = []
    recorder = Recorder(tmp_path / "out", format=format)
    (file,) = export_run(runs.documents(uid), recorder, progress=lambda *n: told.append(n)).files
    assert np.array_equal(READ[format](file.path), shown(40)[WHOLE])
    assert told[-1] == (40, 40)
    hidden = [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    assert hidden == []


def test_files_name_the_frames_that_they_lack(runs, tmp_path):
    uid = runs.record(40, geometry=ZLIB, damaged=BAD)
    files = {
        format: export_run(runs.documents(uid), Recorder(tmp_path, format=format)).files[0].path
        for format in ("hdf5", "tiff", "zarr", "npz")
    }
    with h5py.File(files["hdf5"]) as file:
        said = dict(file["entry/data"].attrs)
        assert (said["undecoded"], json.loads(said["undecoded_unique_ids"])) == (4, list(BAD))
    with tifffile.TiffFile(files["tiff"] / "frame_000001.tiff") as file:
        said = json.loads(file.pages.first.description)
        assert (said["unique_id"], said["run"]["undecoded_unique_ids"]) == (1, list(BAD))
    assert zarr.open_group(files["zarr"], mode="r").attrs["undecoded_unique_ids"] == list(BAD)
    with np.load(files["npz"]) as file:
        assert json.loads(str(file["about"]))["undecoded"] == 4


def test_frames_that_were_not_asked_for_are_not_lacking(runs, tmp_path):
    uid = runs.record(40, geometry=ZLIB, damaged=BAD)
    (file,) = export_run(runs.documents(uid), Recorder(tmp_path, format="npy", stride=2)).files
    assert file.undecoded == (0, 4)
    assert np.array_equal(np.load(file.path), shown(40)[[number for number in WHOLE if number % 2 == 0]])


def test_a_detector_without_a_frame_that_decodes_costs_the_others_nothing(runs, tmp_path):
    uid = runs.record(5, geometry=ZLIB, names=("cam", "side"), damaged=range(5))
    cam, side = export_run(runs.documents(uid), Recorder(tmp_path / "out", format="npy")).files
    assert (cam.frames, cam.nbytes, cam.undecoded) == (0, 0, tuple(range(5)))
    assert (side.frames, side.undecoded) == (5, ())
    assert np.array_equal(np.load(side.path), shown(5))
    assert not cam.path.exists()


@pytest.mark.parametrize("format", ["npy", "tiff"])
def test_an_export_without_any_frame_fails_and_leaves_nothing(runs, tmp_path, format):
    uid = runs.record(5, geometry=ZLIB, damaged=range(5))
    with pytest.raises(CodecError, match=r"5 frames asked for, none of them decodes; of the last: .*frame 4 does not"):
        export_run(runs.documents(uid), Recorder(tmp_path / "out", format=format))
    assert list((tmp_path / "out").iterdir()) == []


def test_positions_of_motors_stay_those_of_their_frames(runs, tmp_path):
    uid = runs.record(40, geometry=ZLIB, damaged=BAD)
    documents = list(read_run(runs.journal, uid))
    about = next(doc for name, doc in documents if name == "descriptor")
    about["data_keys"]["motor"] = {"source": "PV:X", "dtype": "number", "shape": [], "units": "mm"}
    events = [("event", {"descriptor": about["uid"], "seq_num": n + 1, "data": {"motor": n / 4}}) for n in range(40)]
    (file,) = export_run([*documents, *events], Recorder(tmp_path, format="hdf5")).files
    assert h5(file.path, "entry/data/motor").tolist() == [number / 4 for number in WHOLE]
