"""All frames in one TIFF: every promise of a sink, and what only this one promises."""

import contextlib
import json
import os
import random
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import tifffile

from beamstream.errors import DiskFull, SinkError
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sinks.contract import SHAPES, SinkContract, made_frame, made_frames, write_and_fail
from beamstream.sinks.tiff_file import TiffFileSink
from beamstream.sinks.tiff_tags import PageFormat

PLAIN = Geometry((64, 64), "<u2")
OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"


class TestTiffFileSink(SinkContract):
    factory = "beamstream.sinks.tiff_file:TiffFileSink"
    reader = """
import json, tifffile
def read(path):
    with tifffile.TiffFile(path) as tiff:
        for page in tiff.pages:
            said = json.loads(page.tags[65100].value)
            image = page.asarray()
            image = image.astype(image.dtype.newbyteorder(tiff.byteorder))
            yield image.transpose(0, 2, 1) if said["color_mode"] == "rgb2" else image
"""


def ids(path: Path) -> list[int]:
    with tifffile.TiffFile(path) as tiff:
        return [json.loads(page.aspage().tags[65100].value)["unique_id"] for page in tiff.pages]


def ome(path: Path) -> ElementTree.Element:
    with tifffile.TiffFile(path) as tiff:
        assert tiff.ome_metadata is not None
        pixels = ElementTree.fromstring(tiff.ome_metadata).find(f"{OME}Image/{OME}Pixels")
    assert pixels is not None
    return pixels


@pytest.mark.parametrize("mode", list(ColorMode))
@pytest.mark.parametrize("dtype", ["|i1", ">u2", "<f8"])
def test_a_complete_file_is_one_ome_series(tmp_path, mode, dtype):
    geometry = Geometry(SHAPES[mode], dtype, mode)
    frames = made_frames(geometry, 0, 5)
    with TiffFileSink(tmp_path / "run.tif", geometry) as sink:
        sink.write(frames[:3])
        sink.write(frames[3:])
    axes = {ColorMode.RGB1: "TYXS", ColorMode.RGB2: "TYXS", ColorMode.RGB3: "TSYX"}.get(mode, "TYX")
    images = np.array([f.image for f in frames])
    with tifffile.TiffFile(sink.path) as tiff:
        assert (tiff.is_bigtiff, tiff.is_ome, len(tiff.series), tiff.series[0].axes) == (True, True, 1, axes)
        found = tiff.asarray()
    assert np.array_equal(found, images.transpose(0, 1, 3, 2) if mode == ColorMode.RGB2 else images)


@pytest.mark.parametrize(("shape", "dtype", "axes"), [
    ((7, 48, 64), "<u2", "TZYX"), ((2, 3, 20, 30), "<f4", "TZYX"), ((500,), "<f8", "TYX"), ((40, 30, 3), "|u1", "TYXS")
], ids=str)  # fmt: skip
def test_other_numbers_of_axes_are_planes_of_each_frame(tmp_path, shape, dtype, axes):
    geometry = Geometry(shape, dtype)
    frames = made_frames(geometry, 0, 5)
    with TiffFileSink(tmp_path / "run.tif", geometry) as sink:
        sink.write(frames[:2])
        with tifffile.TiffFile(sink.path) as tiff:
            assert np.array_equal(tiff.asarray().reshape(2, *shape), [frame.image for frame in frames[:2]])
        sink.write(frames[2:])
    with tifffile.TiffFile(sink.path) as tiff:
        assert (len(tiff.series), tiff.series[0].axes) == (1, axes)
        found = tiff.asarray()
    assert np.array_equal(found.reshape(5, *shape), [frame.image for frame in frames])
    planes = ome(sink.path).findall(f"{OME}Plane")
    times = [float(plane.get("DeltaT") or -1) for plane in planes]
    assert times == pytest.approx(np.repeat(np.arange(5) / 7, len(planes) // 5))


def test_ome_says_how_many_frames_and_when(tmp_path):
    frames = made_frames(PLAIN, 0, 8)
    with TiffFileSink(tmp_path / "run.tif", PLAIN, name='a "cam" <1> é\x07') as sink:
        sink.write(frames)
    pixels = ome(sink.path)
    assert (pixels.get("SizeT"), pixels.get("SizeX"), pixels.get("Type")) == ("8", "64", "uint16")
    assert float(pixels.get("TimeIncrement") or 0) == pytest.approx(1 / 7)
    planes = pixels.findall(f"{OME}Plane")
    assert [float(plane.get("DeltaT") or -1) for plane in planes] == pytest.approx([n / 7 for n in range(8)])
    with tifffile.TiffFile(sink.path) as tiff:
        assert 'Name="a &quot;cam&quot; &lt;1&gt; &#233;"' in (tiff.ome_metadata or "")


def test_times_that_are_none_are_left_out(tmp_path):
    frames = [Frame(made_frame(PLAIN, 0).payload, PLAIN, 7, timestamp, 1e9) for timestamp in (1.0, float("nan"))]
    with TiffFileSink(tmp_path / "run.tif", PLAIN) as sink:
        sink.write(frames)
    assert ome(sink.path).get("TimeIncrement") is None
    assert len(tifffile.imread(sink.path)) == 2


def test_many_frames_have_no_time_each(tmp_path, monkeypatch):
    monkeypatch.setattr("beamstream.sinks.ome._TIMED_FRAMES", 9)
    with TiffFileSink(tmp_path / "run.tif", PLAIN) as sink:
        sink.write(made_frames(PLAIN, 0, 10))
    assert ome(sink.path).findall(f"{OME}Plane") == []
    assert tifffile.imread(sink.path).shape == (10, 64, 64)


@pytest.mark.parametrize(("geometry", "wanted"), [(PLAIN, False), (Geometry((8, 8), "<u8"), True)], ids=str)
def test_without_ome_the_file_is_plain(tmp_path, geometry, wanted):
    with TiffFileSink(tmp_path / "run.tif", geometry, ome=wanted) as sink:
        sink.write(made_frames(geometry, 0, 3))
    with tifffile.TiffFile(sink.path) as tiff:
        assert not tiff.is_ome
        assert json.loads(tiff.pages.first.tags[65100].value)["unique_id"] == 1000
        assert tiff.is_imagej == (geometry == PLAIN)
        assert np.array_equal(tiff.asarray(), [f.image for f in made_frames(geometry, 0, 3)])


def test_every_page_says_which_frame_it_is_also_the_first_of_an_ome_file(tmp_path):
    with TiffFileSink(tmp_path / "run.tif", PLAIN, attributes={"sample": "GaAs"}) as sink:
        sink.write(made_frames(PLAIN, 0, 3))
        assert ids(sink.path) == [1000, 1001, 1002]
    assert ids(sink.path) == [1000, 1001, 1002]
    with tifffile.TiffFile(sink.path) as tiff:
        first, second = (page.aspage().tags for page in tiff.pages[:2])
        assert json.loads(first[65100].value)["run"] == {"sample": "GaAs"}
        assert second["ImageDescription"].value == second[65100].value


def test_a_run_that_failed_is_a_plain_file(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_and_fail(TiffFileSink(tmp_path / "run.tif", PLAIN), made_frames(PLAIN, 0, 3))
    with tifffile.TiffFile(tmp_path / "run.tif") as tiff:
        assert not tiff.is_ome
        assert tiff.asarray().shape == (3, 64, 64)


def test_the_link_that_readers_follow_changes_in_one_piece(tmp_path):
    for mode in ColorMode:
        pages = PageFormat(Geometry(SHAPES[mode], "<u2", mode), big=True, constants={})
        assert pages.link(4096, b"x" * 33) % 8 == 0
        assert pages.size(b"x" * 33) % 8 == 0


def test_a_reader_at_any_moment_finds_whole_pages(tmp_path, wait_for):
    frames, over, seen, wrong = made_frames(PLAIN, 0, 600), threading.Event(), [0], []

    def read() -> None:
        while not over.is_set():
            with tifffile.TiffFile(tmp_path / "run.tif") as tiff:
                count = len(tiff.pages)
                if count and not np.array_equal(tiff.pages[-1].asarray(), frames[count - 1].image):
                    wrong.append(count)
            seen.append(count)

    with TiffFileSink(tmp_path / "run.tif", PLAIN) as sink:
        sink.write(frames[:1])
        reader = threading.Thread(target=read)
        reader.start()
        chance, start = random.Random(4), 1
        while start < 600:
            start, before = min(start + chance.randint(1, 40), 600), start
            sink.write(frames[before:start])
            wait_for(lambda then=before: seen[-1] > then, timeout=10, what="the reader")
        over.set()
        reader.join(10)
    assert not wrong
    assert seen[-1] > 500


def test_ten_thousand_pages_lie_where_they_should(tmp_path):
    geometry = Geometry((4, 7), "|u1")
    chance, frames, start = random.Random(1), made_frames(geometry, 0, 10_000), 0
    with TiffFileSink(tmp_path / "run.tif", geometry) as sink:
        while start < len(frames):
            count = chance.randint(1, 200)
            sink.write(frames[start : start + count])
            start += count
    assert np.array_equal(tifffile.imread(sink.path), [f.image for f in frames])


def test_large_frames_come_back_through_and_around_the_page_cache(tmp_path, monkeypatch):
    geometry = Geometry((1023, 1025), "<u2")
    monkeypatch.setattr("beamstream.sinks.burst._BURST", 3 * geometry.nbytes)
    frames = made_frames(geometry, 0, 10)
    with TiffFileSink(tmp_path / "run.tif", geometry) as sink:
        sink.write(frames[:1])
        sink.write(frames[1:3])
        sink.write(frames[3:4])
        sink.write(frames[4:])
    assert np.array_equal(tifffile.imread(sink.path), [f.image for f in frames])


def test_a_failed_call_gives_its_room_back(small_disk):
    geometry = Geometry((1024, 1024), "<u2")
    with TiffFileSink(small_disk / "run.tif", geometry) as sink:
        sink.write(made_frames(geometry, 0, 3))
        size = sink.path.stat().st_size
        with pytest.raises(DiskFull, match="frames 3:10"):
            sink.write(made_frames(geometry, 3, 10))
        assert sink.path.stat().st_size == size
        with pytest.raises(SinkError, match="failed before"):
            sink.write(made_frames(geometry, 3, 4))
    assert ids(sink.path) == [1000, 1001, 1002]


def test_no_room_for_ome_is_told_and_the_frames_are_there(small_disk):
    sink = TiffFileSink(small_disk / "run.tif", PLAIN)
    sink.__enter__()
    sink.write(made_frames(PLAIN, 0, 200))
    with (small_disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    with pytest.raises(DiskFull, match="to close"):
        sink.__exit__(None, None, None)
    assert ids(sink.path) == list(range(1000, 1200))
    assert tifffile.imread(sink.path).shape == (200, 64, 64)


def test_an_empty_run_leaves_a_tiff_without_pages(tmp_path):
    with TiffFileSink(tmp_path / "run.tif", PLAIN) as sink:
        pass
    assert sink.path.read_bytes()[:16] == b"II\x2b\0\x08\0\0\0" + bytes(8)


def test_a_directory_without_rights_is_named(tmp_path):
    if os.geteuid() == 0:
        with pytest.raises(SinkError, match="/proc"), TiffFileSink(Path("/proc/self/run.tif"), PLAIN):
            pass
        return
    tmp_path.chmod(0o500)
    with pytest.raises(SinkError, match=r"Permission denied.*rights"), TiffFileSink(tmp_path / "run.tif", PLAIN):
        pass


def test_a_sink_serves_one_run_and_tiled_is_told_nothing(tmp_path):
    sink = TiffFileSink(tmp_path / "run.tif", PLAIN)
    assert (sink.uri, sink.mimetype, sink.arrays) == (f"file://localhost{tmp_path}/run.tif", "image/tiff", {})
    with sink:
        sink.write(made_frames(PLAIN, 0, 1))
    with pytest.raises(SinkError, match="make a new sink"), sink:
        pass
