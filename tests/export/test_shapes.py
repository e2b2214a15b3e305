"""Traces, stacks and more axes in each format: every value, where its readers look; or refused before anything is."""

import csv

import numpy as np
import pytest
from PIL import Image
from read_formats import READ, only
from recorded_runs import shown

from beamstream.callbacks.recorder import Recorder
from beamstream.errors import PipelineError, SinkError
from beamstream.export import export_run
from beamstream.frames import Geometry

SHAPES = [(500,), (7, 20, 30), (2, 3, 10, 20), (20, 30, 3), (1, 500), (500, 1), (1, 1, 64)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


@shapes
@pytest.mark.parametrize("format", sorted(READ.keys() - {"mkv"}))
def test_every_value_is_exported(runs, tmp_path, format, shape):
    geometry = Geometry(shape, "<u2")
    uid = runs.record(12, geometry=geometry)
    (file,) = export_run(runs.documents(uid), Recorder(tmp_path / "out", format=format)).files
    assert file.frames == 12
    found = READ[format](file.path)
    if "tiff" not in format:
        assert found.shape == (12, *shape)
    np.testing.assert_array_equal(found.reshape(12, *shape), shown(12, geometry))


@pytest.mark.parametrize("shape", [(500,), (7, 20, 30), (2, 3, 10, 20)], ids=str)
@pytest.mark.parametrize("format", ["mkv", "mp4"])
def test_a_film_of_what_is_no_picture_is_refused_and_leaves_nothing(runs, tmp_path, format, shape):
    uid = runs.record(3, geometry=Geometry(shape, "|u1"))
    with pytest.raises(SinkError, match="takes pictures; use hdf5 or zarr"):
        export_run(runs.documents(uid), Recorder(tmp_path / "out", format=format))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_text_file_of_traces_has_a_line_for_each(runs, tmp_path):
    geometry = Geometry((50,), "<f8")
    uid = runs.record(4, geometry=geometry)
    export_run(runs.documents(uid), Recorder(tmp_path / "out", format="csv"))
    with only(tmp_path / "out").open() as file:
        head, *rows = csv.reader(file)
    assert head == ["time", "unique_id", *map(str, range(50))]
    np.testing.assert_array_equal(np.array([row[2:] for row in rows], float), shown(4, geometry))


def test_a_region_is_cut_from_each_plane_and_refused_of_a_trace(runs, tmp_path):
    geometry = Geometry((7, 20, 30), "<u2")
    uid = runs.record(3, geometry=geometry)
    export_run(runs.documents(uid), Recorder(tmp_path / "out", format="npy", region=(2, 3, 5, 6)))
    np.testing.assert_array_equal(np.load(only(tmp_path / "out")), shown(3, geometry)[:, :, 2:7, 3:9])
    uid = runs.record(3, geometry=Geometry((500,), "<u2"))
    with pytest.raises(PipelineError, match=r"shape \(500,\) came; give it rows and columns"):
        export_run(runs.documents(uid), Recorder(tmp_path / "none", format="npy", region=(0, 0, 1, 5)))
    assert list((tmp_path / "none").glob("*")) == []


def test_compressed_stacks_come_out_whole(runs, tmp_path):
    geometry = Geometry((5, 20, 30), "<u2", codec="bslz4")
    uid = runs.record(6, geometry=geometry)
    (file,) = export_run(runs.documents(uid), Recorder(tmp_path / "out", format="tiff")).files
    expected = shown(6, Geometry((5, 20, 30), "<u2"))
    np.testing.assert_array_equal(READ["tiff"](file.path), expected)
    with Image.open(sorted(file.path.iterdir())[0]) as picture:
        assert picture.n_frames == 5  # pyright: ignore[reportAttributeAccessIssue]
