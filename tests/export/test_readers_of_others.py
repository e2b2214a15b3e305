"""Exported files in the programs of others, which find scale, times, sample, motors and pixels."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import dask
import h5py
import numpy as np
import ome_types
import pytest
import silx.io
import silx.io.nxdata
import tifffile
import xarray
import zarr
from PIL import Image
from read_formats import READ
from recorded_runs import EXPOSURE, Runs, shown

from beamstream.callbacks.recorder import Recorder
from beamstream.export import export_run
from beamstream.frames import ColorMode, Geometry
from beamstream.sinks.contract import made_frames
from beamstream.sinks.description import Description
from beamstream.sinks.formats import FORMATS, Wanted

PIXEL = {"pixel_size": [6.5, 13.0], "pixel_units": "µm"}
SQUARE = {"pixel_size": [6.5, 6.5], "pixel_units": "um"}
SAMPLE = 'Ga<As> & "x" \x07é]]>'
PLAIN_SAMPLE = 'Ga<As> & "x" é]]>'
RUN: dict[str, Any] = {"sample": SAMPLE, "user": "Ana", "proposal": "P-17", "plan_name": "scan", "note": "first light"}
PERIOD = 0.05
COLOURS = {
    ColorMode.RGB1: Geometry((48, 64, 3), "|u1", ColorMode.RGB1),
    ColorMode.RGB2: Geometry((48, 3, 64), "|u1", ColorMode.RGB2),
    ColorMode.RGB3: Geometry((3, 48, 64), "|u1", ColorMode.RGB3),
}


@pytest.fixture(autouse=True)
def no_threads_of_dask() -> Iterator[None]:
    """Let dask work where it is asked; its threads would stay."""
    with dask.config.set(scheduler="synchronous"):
        yield


def exported(runs: Runs, uid: str, out: Path, format: str, **options: Any) -> Path:
    (file,) = export_run(runs.documents(uid), Recorder(out / format, format=format, **options)).files
    return file.path


def scan_of(*motors: str, units: str = "mm") -> dict[str, Any]:
    """Return what `Runs.record` takes of a scan of six points."""
    places = {motor: (units, [0.1 * (number + 1) * point for point in range(6)]) for number, motor in enumerate(motors)}
    return {"motors": places, "hints": {"dimensions": [[[motor], "primary"] for motor in motors]}}


# OME-TIFF


def test_ome_types_reads_scale_times_sample_and_run(runs, tmp_path):
    uid = runs.record(6, pixel=PIXEL, period=PERIOD, **RUN)
    path = exported(runs, uid, tmp_path, "ome-tiff")
    with tifffile.TiffFile(path) as file:
        xml = file.ome_metadata
    assert xml is not None
    ome = ome_types.from_xml(xml.encode(), validate=True)
    (image,) = ome.images
    pixels = image.pixels
    assert (pixels.physical_size_x, pixels.physical_size_y) == (13.0, 6.5)
    assert pixels.physical_size_x_unit == pixels.physical_size_y_unit == ome_types.model.UnitsLength.MICROMETER
    assert (pixels.size_t, pixels.size_y, pixels.size_x) == (6, 48, 64)
    assert pixels.time_increment == pytest.approx(PERIOD)
    assert [plane.delta_t for plane in pixels.planes] == pytest.approx([PERIOD * n for n in range(6)], abs=1e-6)
    assert {plane.exposure_time for plane in pixels.planes} == {EXPOSURE}
    assert image.acquisition_date.timestamp() == pytest.approx(1e9, abs=86400)
    assert image.description == f"scan 1, scan, {PLAIN_SAMPLE}"
    assert [dataset.name for dataset in ome.datasets] == [PLAIN_SAMPLE]
    assert [someone.user_name for someone in ome.experimenters] == ["Ana"]
    pairs = {pair.k: pair.value for pair in ome.structured_annotations.map_annotations[0].value.ms}
    assert (pairs["uid"], pairs["scan_id"], pairs["plan_name"], pairs["note"]) == (uid, "1", "scan", "first light")
    assert np.array_equal(tifffile.imread(path), shown(6))


@pytest.mark.parametrize("units", ["mrad", "1/Å", "pixels & <more>"])
def test_a_scale_that_is_no_length_is_in_words_alone(runs, tmp_path, units):
    uid = runs.record(3, pixel={"pixel_size": [0.1, 0.1], "pixel_units": units})
    ome = ome_types.from_tiff(exported(runs, uid, tmp_path, "ome-tiff"))
    assert ome.images[0].pixels.physical_size_x is None
    pairs = {pair.k: pair.value for pair in ome.structured_annotations.map_annotations[0].value.ms}
    assert pairs["pixel_units"] == units


@pytest.mark.parametrize("mode", COLOURS)
def test_colours_have_the_scale_of_rows_and_columns(runs, tmp_path, mode):
    uid = runs.record(3, geometry=COLOURS[mode], pixel=PIXEL)
    pixels = ome_types.from_tiff(exported(runs, uid, tmp_path, "ome-tiff")).images[0].pixels
    assert (pixels.physical_size_x, pixels.physical_size_y, pixels.size_x, pixels.size_y) == (13.0, 6.5, 64, 48)


def test_times_that_are_not_regular_are_no_increment(runs, tmp_path):
    uid = runs.record(5, times=[0.0, 0.1, 0.2, 7.0, 7.1])
    pixels = ome_types.from_tiff(exported(runs, uid, tmp_path, "ome-tiff")).images[0].pixels
    assert pixels.time_increment is None
    assert [plane.delta_t for plane in pixels.planes] == pytest.approx([0.0, 0.1, 0.2, 7.0, 7.1], abs=1e-6)
    with tifffile.TiffFile(exported(runs, uid, tmp_path, "bigtiff")) as file:
        assert "finterval" not in (file.imagej_metadata or {})
    group = zarr.open_group(exported(runs, uid, tmp_path, "zarr"), mode="r")
    (image,) = group.attrs["ome"]["multiscales"]
    assert image["axes"][0] == {"name": "t", "type": "time"}
    assert image["datasets"][0]["coordinateTransformations"][0]["scale"][0] == 1.0


@pytest.mark.parametrize("format", ["ome-tiff", "bigtiff", "zarr", "hdf5", "dxchange", "tiff", "npz", "mkv"])
def test_without_a_scale_there_is_none(runs, tmp_path, format):
    uid = runs.record(3)
    path = exported(runs, uid, tmp_path, format)
    assert np.array_equal(READ[format](path), shown(3))
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    assert not any(b"pixel_size" in file.read_bytes() for file in files)
    if format.endswith("tiff"):
        first = files[0] if format != "tiff" else min(files)
        with tifffile.TiffFile(first) as file:
            tags = file.pages.first.tags
        assert (tags["XResolution"].value, tags["ResolutionUnit"].value) == ((1, 1), 1)


# TIFF


def test_tifffile_pillow_and_opencv_read_the_scale_of_single_files(runs, tmp_path):
    uid = runs.record(3, pixel=PIXEL, **RUN)
    files = sorted(exported(runs, uid, tmp_path, "tiff").iterdir())
    for file, image in zip(files, shown(3), strict=True):
        with tifffile.TiffFile(file) as tiff:
            assert tiff.pages.first.get_resolution("MICROMETER") == pytest.approx((1 / 13, 1 / 6.5))
            about = json.loads(tiff.pages.first.description)["run"]
        assert (about["pixel_size"], about["start"]["sample"], about["start"]["scan_id"]) == ([6.5, 13.0], SAMPLE, 1)
        with Image.open(file) as opened:
            assert [25400 / float(dpi) for dpi in opened.info["dpi"]] == pytest.approx([13.0, 6.5])
            assert np.array_equal(np.asarray(opened), image)
        assert np.array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), image)


@pytest.mark.parametrize("shape", [(48, 64), (301, 303), (6, 7)], ids=str)
@pytest.mark.parametrize("number", [1, 2, 21])
def test_imagej_readers_find_unit_and_interval_and_every_page(runs, tmp_path, shape, number):
    geometry = Geometry(shape, "<u2")
    uid = runs.record(number, geometry=geometry, pixel=PIXEL, period=PERIOD)
    path = exported(runs, uid, tmp_path, "bigtiff")
    with tifffile.TiffFile(path) as file:
        about, tags = file.imagej_metadata, file.pages.first.tags
        assert about is not None
        assert (about["images"], about["frames"], about["unit"]) == (number, number, "um")
        assert about.get("finterval") == (None if number == 1 else pytest.approx(PERIOD, rel=1e-6))
        x, y, unit = (tags[name].value for name in ("XResolution", "YResolution", "ResolutionUnit"))
        assert (x[1] / x[0], y[1] / y[0], unit) == (13.0, 6.5, 1)
        assert file.series[0].axes == ("YX" if number == 1 else "TYX")
        assert np.array_equal(file.asarray().reshape(-1, *shape), shown(number, geometry))
        assert json.loads(file.pages.first.tags[65100].value)["unique_id"] == 0
    done, pages = cv2.imreadmulti(str(path), flags=cv2.IMREAD_UNCHANGED)
    assert done
    assert np.array_equal(pages, shown(number, geometry))


@pytest.mark.parametrize(
    ("units", "written"), [("mrad", "mrad"), ("1/Å", "1/\\u00c5"), ("a\nspacing=7\\", "a\\u000aspacing=7\\u005c")]
)
def test_a_unit_adds_no_line_to_the_description_of_imagej(runs, tmp_path, units, written):
    uid = runs.record(2, pixel={"pixel_size": [0.1, 0.1], "pixel_units": units})
    with tifffile.TiffFile(exported(runs, uid, tmp_path, "bigtiff")) as file:
        assert f"\nunit={written}\n" in file.pages.first.description
        assert "spacing" not in (file.imagej_metadata or {})


# Zarr


@pytest.mark.filterwarnings("ignore:.json_encoders. is deprecated")  # ome-zarr-models 1.6 in pydantic 2.14
def test_ome_zarr_is_valid_and_napari_and_xarray_know_where_each_pixel_lies(runs, tmp_path):
    from napari_ome_zarr._reader import napari_get_reader
    from ome_zarr_models.v05 import Image as OmeImage

    uid = runs.record(6, pixel=PIXEL, period=PERIOD, **scan_of("rot"), **RUN)
    path = exported(runs, uid, tmp_path, "zarr")
    group = zarr.open_group(path, mode="r")
    image = OmeImage.from_zarr(group).ome_attributes.multiscales[0]
    assert [(axis.name, axis.type, axis.unit) for axis in image.axes] == [
        ("t", "time", "second"),
        ("y", "space", "micrometer"),
        ("x", "space", "micrometer"),
    ]
    assert image.datasets[0].coordinateTransformations[0].scale == pytest.approx([PERIOD, 6.5, 13.0])
    assert group.attrs["start"]["sample"] == SAMPLE
    assert (group.attrs["start"]["plan_name"], group.attrs["start"]["note"]) == ("scan", "first light")

    reader = napari_get_reader(str(path))
    assert reader is not None
    ((levels, about, *_),) = reader(str(path))
    assert (about["axis_labels"], about["units"]) == (("t", "y", "x"), ("second", "micrometer", "micrometer"))
    assert about["scale"] == pytest.approx([PERIOD, 6.5, 13.0])
    assert np.array_equal(np.asarray(levels[0]), shown(6))

    opened = xarray.open_zarr(path, consolidated=False)
    assert opened["data"].dims == ("t", "y", "x")
    assert np.array_equal(opened["data"].sel(y=13.0, x=26.0), shown(6)[:, 2, 2])
    assert opened["x"].attrs["units"] == "micrometer"
    assert opened["t"].dtype.kind == "M"
    assert np.diff(opened["t"].to_numpy()).astype("<m8[us]").astype(int) == pytest.approx(PERIOD * 1e6, abs=2)
    assert opened["rot"].to_numpy() == pytest.approx(0.1 * np.arange(6))


@pytest.mark.filterwarnings("ignore:.json_encoders. is deprecated")
@pytest.mark.parametrize("mode", COLOURS)
def test_colours_are_ome_zarr_where_it_has_a_place_for_them(runs, tmp_path, mode):
    from ome_zarr_models.v05 import Image as OmeImage

    uid = runs.record(3, geometry=COLOURS[mode], pixel=PIXEL, period=PERIOD)
    group = zarr.open_group(exported(runs, uid, tmp_path, "zarr"), mode="r")
    assert np.array_equal(group["data"][:], shown(3, COLOURS[mode]))
    opened = xarray.open_zarr(group.store, consolidated=False)
    assert (float(opened["y"][1]), float(opened["x"][1])) == (6.5, 13.0)
    if mode == ColorMode.RGB3:
        image = OmeImage.from_zarr(group).ome_attributes.multiscales[0]
        assert image.datasets[0].coordinateTransformations[0].scale == pytest.approx([PERIOD, 1, 6.5, 13])
    else:
        assert "ome" not in group.attrs


@pytest.mark.parametrize("format", ["zarr", "hdf5"])
def test_a_motor_may_be_called_like_an_axis(runs, tmp_path, format):
    uid = runs.record(6, pixel=PIXEL, **scan_of("x", "t"))
    path = exported(runs, uid, tmp_path, format)
    assert np.array_equal(READ[format](path), shown(6))
    if format == "zarr":
        opened = xarray.open_zarr(path, consolidated=False)
        assert opened["x_value"].to_numpy() == pytest.approx(0.1 * np.arange(6))
        assert opened["t_value"].to_numpy() == pytest.approx(0.2 * np.arange(6))
        assert float(opened["x"][1]) == 13.0
    else:
        with silx.io.open(str(path)) as file:
            plot = silx.io.nxdata.get_default(file)
            assert plot.is_valid
            assert plot.axes[2][1] == 13.0
            assert file["entry/instrument/x/value"][:] == pytest.approx(0.1 * np.arange(6))


@pytest.mark.filterwarnings("ignore:.json_encoders. is deprecated")
def test_a_stack_of_planes_a_frame_has_the_scale_of_its_rows_and_columns(tmp_path):
    from ome_zarr_models.v05 import Image as OmeImage

    geometry, description = Geometry((4, 8, 9), "<u2"), Description.of(PIXEL)
    frames = made_frames(geometry, 0, 3)
    for format in ("zarr", "hdf5"):
        wanted = Wanted(geometry, "cam", description=description)
        with FORMATS[format].make(tmp_path / format, wanted) as sink:
            sink.write(frames)
    image = OmeImage.from_zarr(zarr.open_group(tmp_path / "zarr", mode="r")).ome_attributes.multiscales[0]
    assert [axis.name for axis in image.axes] == ["t", "z", "y", "x"]
    assert image.datasets[0].coordinateTransformations[0].scale[1:] == [1.0, 6.5, 13.0]
    with silx.io.open(str(tmp_path / "hdf5")) as file:
        plot = silx.io.nxdata.get_default(file)
        assert plot.axes_dataset_names == ["timestamp", None, "y", "x"]


# NeXus


def test_silx_plots_frames_against_the_motor_in_physical_units(runs, tmp_path):
    uid = runs.record(6, pixel=PIXEL, period=PERIOD, **scan_of("rot", units="deg"), **RUN)
    path = exported(runs, uid, tmp_path, "hdf5")
    with silx.io.open(str(path)) as file:
        plot = silx.io.nxdata.get_default(file)
        assert plot.is_valid
        assert plot.title == f"scan 1, scan, {SAMPLE}"
        assert plot.axes_dataset_names == ["rot", "y", "x"]
        assert plot.axes_names == ["rot (deg)", "y (µm)", "x (µm)"]
        assert [axis[1] for axis in plot.axes] == pytest.approx([0.1, 6.5, 13.0])
        assert np.array_equal(plot.signal, shown(6))
    with h5py.File(path) as file:
        text = {key: file[f"entry/{key}"].asstr()[()] for key in ("title", "entry_identifier", "experiment_identifier")}
        assert text == {"title": f"scan 1, scan, {SAMPLE}", "entry_identifier": uid, "experiment_identifier": "P-17"}
        assert file["entry/sample/name"].asstr()[()] == SAMPLE
        assert (file["entry/sample"].attrs["NX_class"], file["entry/user"].attrs["NX_class"]) == ("NXsample", "NXuser")
        assert file["entry/user/name"].asstr()[()] == "Ana"
        assert file["entry/start_time"].asstr()[()] <= file["entry/end_time"].asstr()[()]
        detector = file["entry/instrument/detector"]
        assert (detector["x_pixel_size"][()], detector["y_pixel_size"][()]) == (13.0, 6.5)
        assert detector["x_pixel_size"].attrs["units"] == "um"
        assert detector["count_time"][()] == EXPOSURE
        assert detector["data"].shape == (6, 48, 64)
        assert file["entry/instrument/rot/value"][:] == pytest.approx(0.1 * np.arange(6))
        assert json.loads(file["entry/bluesky/start"].asstr()[()])["note"] == "first light"


def test_frames_of_several_motors_or_none_are_plotted_against_time(runs, tmp_path):
    for uid in (runs.record(6, pixel=SQUARE), runs.record(6, pixel=SQUARE, **scan_of("slow", "fast"))):
        with silx.io.open(str(exported(runs, uid, tmp_path / uid, "hdf5"))) as file:
            assert silx.io.nxdata.get_default(file).axes_dataset_names == ["timestamp", "y", "x"]


@pytest.mark.parametrize("mode", COLOURS)
def test_silx_has_rows_and_columns_of_colours(runs, tmp_path, mode):
    uid = runs.record(3, geometry=COLOURS[mode], pixel=PIXEL)
    with silx.io.open(str(exported(runs, uid, tmp_path, "hdf5"))) as file:
        plot = silx.io.nxdata.get_default(file)
        assert plot.is_valid
        at = {ColorMode.RGB1: (1, 2), ColorMode.RGB2: (1, 3), ColorMode.RGB3: (2, 3)}[mode]
        assert [plot.axes_dataset_names[axis] for axis in at] == ["y", "x"]


# the others


def test_films_have_title_and_date(runs, tmp_path):
    uid = runs.record(4, geometry=Geometry((48, 64), "|u1"), period=PERIOD, **RUN)
    for format, date in (("mkv", "DATE_RECORDED"), ("mp4", "date")):
        with av.open(str(exported(runs, uid, tmp_path, format))) as film:
            tags = {key.lower(): value for key, value in film.metadata.items()}
        assert tags["title"] == f"scan 1, scan, {SAMPLE}"
        assert tags[date.lower()].startswith("20")
        assert json.loads(tags["comment"])["beamstream"]["about"]["start"]["sample"] == SAMPLE


def test_numpy_finds_scale_and_run_in_about(runs, tmp_path):
    uid = runs.record(4, pixel=PIXEL, **RUN)
    with np.load(exported(runs, uid, tmp_path, "npz"), allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
    assert (about["pixel_size"], about["pixel_units"]) == ([6.5, 13.0], "µm")
    assert (about["start"]["uid"], about["start"]["sample"]) == (uid, SAMPLE)


def test_a_region_keeps_the_scale_and_every_second_frame_doubles_the_interval(runs, tmp_path):
    uid = runs.record(9, pixel=PIXEL, period=PERIOD)
    path = exported(runs, uid, tmp_path, "ome-tiff", region=(1, 2, 30, 40), stride=2)
    pixels = ome_types.from_tiff(path).images[0].pixels
    assert (pixels.physical_size_x, pixels.size_x, pixels.size_t) == (13.0, 40, 5)
    assert pixels.time_increment == pytest.approx(2 * PERIOD)
    assert not math.isnan(pixels.time_increment or math.nan)
