"""Pictures over HTTP: scaled by their finite pixels, traces as curves, one plane of a stack, colours."""

import io
import time
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from beamstream.archive.catalog import wait_for_run
from beamstream.callbacks.derived import descriptor_of
from beamstream.callbacks.journal import Journal
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sinks.documents import SinkDocuments
from beamstream.sinks.hdf5 import Hdf5Sink

RNG = np.random.default_rng(2)


def recorded(archive, images, mode=ColorMode.MONO):
    """Record images as one run; return its uid when it is filed."""
    geometry = Geometry.of(images[0], mode)
    start = {"uid": str(uuid4()), "time": time.time(), "scan_id": 1, "plan_name": "record"}
    journal = Journal(archive.layout.journal)
    with Hdf5Sink(archive.layout.recordings / f"{start['uid']}.h5", geometry, name="cam") as sink:
        documents = SinkDocuments(sink, "cam", start=start)
        descriptor = descriptor_of(start, "primary", {"cam": documents.data_keys("pva://X")}, {"cam": {}})
        journal("start", start)
        journal("descriptor", descriptor)
        sink.write([Frame(image, geometry, i, 1e9 + i, 1e9 + i) for i, image in enumerate(images)])
        for name, doc in documents.up_to(sink.kept, descriptor):
            journal(name, doc)
    journal("stop", {"uid": str(uuid4()), "run_start": start["uid"], "time": time.time(), "exit_status": "success"})
    journal.close()
    wait_for_run(archive.client, start["uid"])
    return start["uid"]


def picture(archive, uid, slice):
    answer = archive.get(f"/array/full/{uid}/primary/cam_image", params={"slice": slice, "format": "image/png"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def field(dtype):
    rows, columns = np.mgrid[:60, :80]
    return (150 + 50 * np.sin(columns / 9) * np.cos(rows / 7)).astype(dtype)


def spoilt(dtype):
    """Return images of one pixel type, each with something wrong, and where they are right."""
    right = field(dtype)
    hot, dead, nan, infinite = (right.copy() for _ in range(4))
    hot[7, 9], dead[7, 9] = (1e9 if right.itemsize > 2 else 60_000), 0
    if right.dtype.kind != "f":
        return [hot, dead], [hot == right, dead == right]
    nan[10:20, 10:20] = np.nan
    infinite[10:20, 10:20], infinite[30:40, 10:20] = np.inf, -np.inf
    images = [hot, dead, nan, infinite]
    return images, [image == right for image in images]


@pytest.mark.parametrize("dtype", ["<u2", "<i4", "<i8", "<u8", "<f4", ">f8"])
def test_the_field_is_seen_whatever_single_pixels_are(own_archive, dtype):
    images, right = spoilt(dtype)
    uid = recorded(own_archive, images)
    expected = np.clip((field("f8") - 101) / 97, 0, 1) * 255
    for number, (image, good) in enumerate(zip(images, right, strict=True)):
        seen = picture(own_archive, uid, number).astype(int)
        assert np.abs(seen - expected)[good].mean() < 4
        assert not seen[np.isnan(image)].any()


def test_even_and_empty_images_are_pictures_too(own_archive):
    images = [np.full((8, 9), value, "<f4") for value in (7.0, np.nan, np.inf)]
    uid = recorded(own_archive, images)
    assert [len(np.unique(picture(own_archive, uid, i))) for i in range(3)] == [1, 1, 1]


def test_a_trace_is_a_curve_and_its_numbers_come_as_they_are(own_archive):
    traces = [np.sin(np.arange(500) / 40 + n) for n in range(3)]
    uid = recorded(own_archive, traces)
    np.testing.assert_array_equal(own_archive.client[uid]["primary/cam_image"][1], traces[1])
    seen = picture(own_archive, uid, "1")
    assert seen.shape == (256, 500)
    top = seen.argmax(axis=0)
    assert np.abs(top - (127.5 - 127.5 * traces[1])).max() < 8


def test_of_a_stack_a_plane_is_chosen_and_otherwise_said_how(own_archive):
    stack = RNG.integers(0, 1000, (2, 7, 40, 30)).astype("<u2")
    uid = recorded(own_archive, list(stack))
    np.testing.assert_array_equal(own_archive.client[uid]["primary/cam_image"][1], stack[1])
    seen = picture(own_archive, uid, "1,4").astype(float)
    assert np.corrcoef(seen.ravel(), stack[1, 4].ravel())[0, 1] > 0.999
    refused = own_archive.get(f"/array/full/{uid}/primary/cam_image", params={"slice": "1", "format": "image/png"})
    assert refused.status_code == 406
    assert "7 × 40 × 30" in refused.text
    assert "?slice=FRAME,PLANE" in refused.text


@pytest.mark.parametrize("mode", [ColorMode.RGB1, ColorMode.MONO])
def test_colours_are_those_of_the_camera(own_archive, mode):
    colours = RNG.integers(0, 256, (20, 30, 3)).astype("|u1")
    uid = recorded(own_archive, [colours], mode)
    np.testing.assert_array_equal(picture(own_archive, uid, "0"), colours)


def test_a_page_for_browsers_has_the_picture_or_the_numbers(own_archive):
    uid = recorded(own_archive, [field("<f4")])
    where = f"/array/full/{uid}/primary/cam_image"
    assert (
        '<img src="data:image/png;base64,' in own_archive.get(where, params={"slice": "0", "format": "text/html"}).text
    )


@pytest.mark.parametrize("slice", ["0,0,0", "0:0"])
def test_what_has_no_rows_and_columns_is_refused_in_words(own_archive, slice):
    uid = recorded(own_archive, [field("<u2")])
    answer = own_archive.get(f"/array/full/{uid}/primary/cam_image", params={"slice": slice, "format": "image/png"})
    assert answer.status_code == 406
    assert "a picture of" in answer.text
