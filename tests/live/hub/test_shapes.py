"""Traces and stacks on the live page: a curve, the plane in the middle, and what of the frame that is."""

import io
import urllib.request

import numpy as np
import pytest
import tifffile
from hub_rig import KEY, noise
from hub_viewer import Viewer
from PIL import Image

from beamstream.frames import ColorMode
from beamstream.ops.picture import picture_of


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((7, 20, 30), "<u2", "plane 3 of 7"),
        ((2, 5, 20, 30), "<f4", "plane 1, 2 of 2 × 5"),
        ((500,), "<f8", "curve of 500 values, "),
        ((20, 30, 3), "<u2", ""),
        ((1, 1, 500), "<i8", ""),
        ((1,), "|u1", "curve of 1 values, "),
    ],
    ids=str,
)
def test_a_page_shows_what_can_be_seen_of_any_array_and_says_what(url, camera, shape, dtype, words):
    camera.color_mode = ColorMode.MONO
    image = camera.put(noise(shape, dtype))
    expected = picture_of(image).image
    with Viewer(url) as viewer:
        scene = viewer.text("scene")
        viewer.say(cross=[0, 0])
        viewer.view(*expected.shape[:2])
        shown = viewer.frame()
    assert (scene["rows"], scene["cols"]) == expected.shape[:2]
    np.testing.assert_allclose(shown.values, expected.astype(float), rtol=6e-8)
    assert shown.notes["shows"].startswith(words)
    assert bool(shown.notes["shows"]) == bool(words)
    assert shown.notes["cross"]["value"] == expected[0, 0].tolist()


def frame(url, form):
    request = urllib.request.Request(f"{url}frame?format={form}", headers={"Authorization": f"Apikey {KEY}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


@pytest.mark.parametrize("shape", [(7, 20, 30), (500,), (20, 30, 3)], ids=str)
def test_a_file_of_the_newest_frame_has_all_of_it_and_a_picture_what_is_shown(url, camera, shape):
    camera.color_mode = ColorMode.MONO
    image = camera.put(noise(shape, "|u1"))
    np.testing.assert_array_equal(np.load(io.BytesIO(frame(url, "npy"))), image)
    np.testing.assert_array_equal(np.squeeze(tifffile.imread(io.BytesIO(frame(url, "tiff")))), image)
    with Image.open(io.BytesIO(frame(url, "png"))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), picture_of(image).image)


def test_a_picture_of_floats_shows_the_field_whatever_single_pixels_are(url, camera):
    rows, columns = np.mgrid[:40, :60]
    image = (150 + 50 * np.sin(columns / 9) * np.cos(rows / 7)).astype("<f4")
    image[3, 4], image[5, 6], image[7, 8], image[9, 10] = 1e9, np.nan, np.inf, -np.inf
    camera.put(image)
    with Image.open(io.BytesIO(frame(url, "png"))) as picture:
        seen = np.asarray(picture).astype(float)
    assert (seen[5, 6], seen[9, 10], seen[3, 4], seen[7, 8]) == (0, 0, 65535, 65535)
    assert seen.std() > 15_000
    with Viewer(url) as viewer:
        viewer.view(40, 60, width=30, height=20)
        shown = viewer.frame()
    assert np.isfinite(shown.values).all()
