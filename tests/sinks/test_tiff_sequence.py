"""One TIFF a frame: every promise of a sink, and what only this one promises."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from beamstream.errors import DiskFull, SinkError
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sinks import tiff_sequence
from beamstream.sinks.burst import Burst
from beamstream.sinks.contract import SHAPES, SinkContract, made_frame, made_frames
from beamstream.sinks.tiff_sequence import TiffSequenceSink

PLAIN = Geometry((64, 64), "<u2")


class TestTiffSequenceSink(SinkContract):
    factory = "beamstream.sinks.tiff_sequence:TiffSequenceSink"
    reader = """
import json, pathlib, tifffile
def read(path):
    for file in sorted(pathlib.Path(path).glob("*.tiff")):
        with tifffile.TiffFile(file) as tiff:
            said = json.loads(tiff.pages.first.description)
            image = tiff.asarray()
            image = image.astype(image.dtype.newbyteorder(tiff.byteorder))
        yield image.transpose(0, 2, 1) if said["color_mode"] == "rgb2" else image
"""


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def said(path: Path) -> dict:
    with tifffile.TiffFile(path) as tiff:
        return json.loads(tiff.pages.first.description)


def test_files_are_numbered_from_one_and_nothing_else_is_left(tmp_path):
    with TiffSequenceSink(tmp_path / "run", PLAIN, prefix="cam") as sink:
        sink.write(made_frames(PLAIN, 0, 2))
        sink.write(made_frames(PLAIN, 2, 3))
    assert names(tmp_path / "run") == ["cam_000001.tiff", "cam_000002.tiff", "cam_000003.tiff"]
    assert sink.file_of(3) == tmp_path / "run" / "cam_000003.tiff"
    assert sink.file_of(1_234_567).name == "cam_1234567.tiff"


def test_each_file_says_which_frame_it_is_when_and_whose(tmp_path):
    ours = {"gain": 2.5, "bad": float("nan"), "roi": np.array([1, 2]), "text": 'é"', "path": Path("/x")}
    theirs = {"exposure": np.float32(0.5), "name": "wafer\x007"}
    frame = Frame(made_frame(PLAIN, 0).payload, PLAIN, 2**40, 1e9, 1e9 + 0.25, "pva://cam", "ptp", theirs)
    with TiffSequenceSink(tmp_path / "run", PLAIN, name="cam", attributes=ours) as sink:
        sink.write([frame])
    with tifffile.TiffFile(sink.file_of(1)) as tiff:
        tags = tiff.pages.first.tags
        assert tags["DateTime"].value == "2001:09:09 01:46:40"
        assert tags["Software"].value == "beamstream"
        assert tags[65100].value == tags["ImageDescription"].value
    assert said(sink.file_of(1)) == {
        "beamstream": 1,
        "detector": "cam",
        "color_mode": "mono",
        "received_codec": "",
        "axes": "YX",
        "stored_axes": "YX",
        "run": {"gain": 2.5, "bad": {"$float": "NaN"}, "roi": [1, 2], "text": 'é"', "path": "/x"},
        "unique_id": 2**40,
        "timestamp": 1e9,
        "received": 1e9 + 0.25,
        "source": "pva://cam",
        "clock": "ptp",
        "attributes": {"exposure": 0.5, "name": "wafer\x007"},
    }


@pytest.mark.parametrize("timestamp", [float("nan"), float("inf"), 1e18, 1e12, -1e12])
def test_a_time_that_no_calendar_has_is_left_blank(tmp_path, timestamp):
    frame = Frame(made_frame(PLAIN, 0).payload, PLAIN, 1, timestamp, 1e9)
    with TiffSequenceSink(tmp_path / "run", PLAIN) as sink:
        sink.write([frame])
    with tifffile.TiffFile(sink.file_of(1)) as tiff:
        assert tiff.pages.first.tags["DateTime"].value.strip(" :") == ""


@pytest.mark.parametrize(("dtype", "mode"), [("|u1", "L"), ("<u2", "I;16"), (">u2", "I;16B"), ("<f4", "F")])
def test_programs_that_know_nothing_of_us_open_the_files(tmp_path, dtype, mode):
    geometry = Geometry((48, 64), dtype)
    with TiffSequenceSink(tmp_path / "run", geometry) as sink:
        sink.write(made_frames(geometry, 0, 1))
    with PIL.Image.open(sink.file_of(1)) as image:
        assert image.mode == mode
        assert np.array_equal(np.asarray(image), made_frame(geometry, 0).image)


@pytest.mark.parametrize("mode", [ColorMode.RGB1, ColorMode.RGB2, ColorMode.RGB3])
def test_colours_are_colours_for_everybody(tmp_path, mode):
    geometry = Geometry(SHAPES[mode], "|u1", mode)
    (frame,) = made_frames(geometry, 0, 1)
    with TiffSequenceSink(tmp_path / "run", geometry) as sink:
        sink.write([frame])
    colour = frame.geometry.shape.index(3)
    with PIL.Image.open(sink.file_of(1)) as image:
        assert np.array_equal(np.asarray(image), np.moveaxis(frame.image, colour, 2))
    assert said(sink.file_of(1))["axes"] == {"rgb1": "YXS", "rgb2": "YSX", "rgb3": "SYX"}[mode]
    assert ("data" in sink.arrays) == (mode != ColorMode.RGB2)


def test_what_tifffile_and_we_write_is_read_the_same(tmp_path):
    for number, dtype in enumerate(("|u1", ">u2", "<i8", "<f2", "<f8")):
        geometry = Geometry((33, 65), dtype)
        (frame,) = made_frames(geometry, number, number + 1)
        with TiffSequenceSink(tmp_path / str(number), geometry) as sink:
            sink.write([frame])
        tifffile.imwrite(tmp_path / "theirs.tif", frame.image, byteorder=">" if dtype[0] == ">" else "<")
        with tifffile.TiffFile(sink.file_of(1)) as ours, tifffile.TiffFile(tmp_path / "theirs.tif") as theirs:
            for tag in ("ImageWidth", "ImageLength", "BitsPerSample", "PhotometricInterpretation", "SamplesPerPixel"):
                assert ours.pages.first.tags[tag].value == theirs.pages.first.tags[tag].value
            assert ours.byteorder == theirs.byteorder
            assert np.array_equal(ours.asarray(), theirs.asarray(), equal_nan=True)


def test_pixels_of_more_than_four_gigabytes_would_become_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_sequence, "_CLASSIC", PLAIN.nbytes - 1)
    with TiffSequenceSink(tmp_path / "run", PLAIN) as sink:
        sink.write(made_frames(PLAIN, 0, 1))
    with tifffile.TiffFile(sink.file_of(1)) as tiff:
        assert tiff.is_bigtiff
        assert np.array_equal(tiff.asarray(), made_frame(PLAIN, 0).image)


def test_another_runs_files_beside_it_are_left_alone(tmp_path):
    with TiffSequenceSink(tmp_path / "run", PLAIN, prefix="a") as first:
        first.write(made_frames(PLAIN, 0, 1))
        with TiffSequenceSink(tmp_path / "run", PLAIN, prefix="b") as second:
            second.write(made_frames(PLAIN, 1, 2))
    assert names(tmp_path / "run") == ["a_000001.tiff", "b_000001.tiff"]
    (tmp_path / "run" / "c_17.TIF").touch()
    with pytest.raises(SinkError, match=r"c_17\.TIF exists"), TiffSequenceSink(tmp_path / "run", PLAIN, prefix="c"):
        pass


def test_two_sinks_that_were_opened_at_once_do_not_overwrite_each_other(tmp_path):
    with (
        TiffSequenceSink(tmp_path / "run", PLAIN) as first,
        TiffSequenceSink(tmp_path / "run", PLAIN) as second,
    ):
        first.write(made_frames(PLAIN, 0, 1))
        with pytest.raises(SinkError, match="exists"):
            second.write(made_frames(PLAIN, 5, 7))
        assert np.array_equal(tifffile.imread(first.file_of(1)), made_frame(PLAIN, 0).image)
        assert names(tmp_path / "run") == ["frame_000001.tiff"]
        assert first.write(made_frames(PLAIN, 1, 3)) == 3


def test_a_filesystem_without_links_gets_the_files_too(tmp_path, monkeypatch):
    def no_link(*_args, **_kwargs):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    with TiffSequenceSink(tmp_path / "run", PLAIN) as sink:
        sink.write(made_frames(PLAIN, 0, 2))
        assert names(sink.path) == ["frame_000001.tiff", "frame_000002.tiff"]
        sink.file_of(4).touch()
        with pytest.raises(SinkError, match="exists"):
            sink.write(made_frames(PLAIN, 2, 4))
        assert names(sink.path) == ["frame_000001.tiff", "frame_000002.tiff", "frame_000004.tiff"]
        assert sink.file_of(4).stat().st_size == 0


def test_nothing_of_a_call_that_failed_is_left(small_disk):
    geometry = Geometry((1024, 1024), "<u2")
    with TiffSequenceSink(small_disk / "run", geometry) as sink:
        sink.write(made_frames(geometry, 0, 3))
        with pytest.raises(DiskFull, match="frames 3:9"):
            sink.write(made_frames(geometry, 3, 9))
        assert names(sink.path) == ["frame_000001.tiff", "frame_000002.tiff", "frame_000003.tiff"]
        with pytest.raises(SinkError, match="failed before"):
            sink.write(made_frames(geometry, 3, 4))


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(SinkError, match="no directory"), TiffSequenceSink(tmp_path / "run", PLAIN):
        pass


def test_a_directory_without_rights_is_named(tmp_path):
    if os.geteuid() == 0:
        with pytest.raises(SinkError, match="/proc"), TiffSequenceSink(Path("/proc/self/run"), PLAIN):
            pass
        return
    tmp_path.chmod(0o500)
    with pytest.raises(SinkError, match=r"Permission denied.*rights"), TiffSequenceSink(tmp_path / "run", PLAIN):
        pass


def test_a_sink_serves_one_run(tmp_path):
    sink = TiffSequenceSink(tmp_path / "run", PLAIN)
    with pytest.raises(SinkError, match="is not open"):
        sink.write(made_frames(PLAIN, 0, 1))
    with sink:
        sink.write(made_frames(PLAIN, 0, 1))
    with pytest.raises(SinkError, match="is closed"):
        sink.write(made_frames(PLAIN, 1, 2))
    with pytest.raises(SinkError, match="make a new sink"), sink:
        pass


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry((4, 5), "<c8"),
        Geometry((4, 5), "|b1"),
        Geometry((4, 5, 4), "|u1", ColorMode.RGB1),
        Geometry((4, 5), "|u1", ColorMode.RGB1),
        Geometry((0, 5), "|u1"),
    ],
    ids=str,
)
def test_frames_that_are_no_image_are_refused_when_opening(tmp_path, geometry):
    with pytest.raises(SinkError, match="choose hdf5"), TiffSequenceSink(tmp_path / "run", geometry):
        pass
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("shape", [(4, 5, 6), (2, 3, 20, 30), (7, 48, 64), (40, 30, 3)], ids=str)
def test_a_stack_is_a_file_with_a_page_for_each_plane(tmp_path, shape):
    geometry = Geometry(shape, "<f4")
    with TiffSequenceSink(tmp_path / "run", geometry) as sink:
        sink.write(made_frames(geometry, 0, 2))
    images = tifffile.imread(sink.file_of(2))
    assert images.shape[-2:] == shape[-2:]
    assert np.array_equal(images.reshape(shape), made_frame(geometry, 1).image)
    assert said(sink.file_of(2)).get("planes") == (None if shape[-1] == 3 else list(shape[:-2]))
    if shape[-1] == 3:
        return  # Pillow knows no coloured floats
    with PIL.Image.open(sink.file_of(2)) as image:
        image.seek(image.n_frames - 1)  # pyright: ignore[reportAttributeAccessIssue]
        assert np.array_equal(np.asarray(image), images.reshape(-1, *shape[-2:])[-1])


def test_a_line_is_an_image_of_one_row(tmp_path):
    geometry = Geometry((512,), "<f8")
    with TiffSequenceSink(tmp_path / "run", geometry) as sink:
        sink.write(made_frames(geometry, 0, 1))
    assert np.array_equal(tifffile.imread(sink.file_of(1)), made_frame(geometry, 0).image[None])


def test_compressed_frames_are_stored_as_pixels(tmp_path):
    import zlib

    geometry = Geometry((64, 64), "<u2", codec="zlib")
    image = made_frame(PLAIN, 3).image
    packed = np.frombuffer(zlib.compress(image.tobytes()), np.uint8)
    with TiffSequenceSink(tmp_path / "run", geometry) as sink:
        assert sink.write([Frame(packed, geometry, 1, 1e9, 1e9)]) == 1
        assert sink.write([Frame(packed[:20], geometry, 2, 1e9, 1e9), Frame(packed, geometry, 3, 1e9, 1e9)]) == 2
        assert [frame.unique_id for frame in sink.undecoded] == [2]
    assert names(sink.path) == ["frame_000001.tiff", "frame_000002.tiff"]
    assert np.array_equal(tifffile.imread(sink.file_of(1)), image)
    assert said(sink.file_of(1))["received_codec"] == "zlib"


def test_a_long_run_is_dropped_from_the_page_cache_and_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr("beamstream.sinks.burst._BURST", 4 * PLAIN.nbytes)
    frames = made_frames(PLAIN, 0, 200)
    before = descriptors()
    with TiffSequenceSink(tmp_path / "run", PLAIN) as sink:
        for start in range(0, 200, 10):
            sink.write(frames[start : start + 10])
        assert descriptors() <= before + 65  # one for the directory
    assert descriptors() == before
    assert all(np.array_equal(tifffile.imread(sink.file_of(n)), f.image) for n, f in enumerate(frames, 1))


def test_a_burst_ends_when_memory_is_slow():
    burst = Burst()
    burst.wrote(8 << 20, 0.002)
    assert burst.left == (512 << 20) - (8 << 20)
    burst.wrote(8192, 1.0)  # a small write tells nothing
    assert burst.left > 0
    burst.wrote(8 << 20, 0.02)
    assert burst.left == 0


def test_a_prefix_that_is_a_path_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"cam: prefix: '\.\./x'"):
        TiffSequenceSink(tmp_path / "run", PLAIN, prefix="../x", name="cam")
