"""Turning and mirroring moves pixels where a person expects them, colours included."""

import numpy as np
import pytest

from beamstream.errors import PipelineError
from beamstream.ops.orient import Flip, Rotate, Transpose

IMAGE = np.array([[1, 2, 3], [4, 5, 6]], "u2")


@pytest.mark.parametrize(
    ("op", "made"),
    [
        (Rotate(90), [[3, 6], [2, 5], [1, 4]]),  # counter-clockwise: the right column becomes the top row
        (Rotate(-90), [[4, 1], [5, 2], [6, 3]]),
        (Rotate(180), [[6, 5, 4], [3, 2, 1]]),
        (Rotate(360), [[1, 2, 3], [4, 5, 6]]),
        (Flip("horizontal"), [[3, 2, 1], [6, 5, 4]]),
        (Flip("vertical"), [[4, 5, 6], [1, 2, 3]]),
        (Flip("both"), [[6, 5, 4], [3, 2, 1]]),
        (Transpose(), [[1, 4], [2, 5], [3, 6]]),
    ],
)
@pytest.mark.parametrize(("mode", "axis"), [("mono", None), ("rgb1", 2), ("rgb2", 1), ("rgb3", 0)])
def test_pixels_end_where_they_should(op, made, mode, axis):
    image = IMAGE if axis is None else np.stack([IMAGE, IMAGE + 10, IMAGE + 20], axis=axis)
    turned = op.apply(image, {"color_mode": mode})
    assert turned.dtype == np.uint16
    assert np.shares_memory(turned, image)
    first = turned if axis is None else np.take(turned, 0, axis)
    assert first.tolist() == made
    if axis is not None:
        assert (np.take(turned, 2, axis) - 20).tolist() == made


def test_colours_are_recognised_without_a_colour_mode():
    image = np.stack([IMAGE] * 3, axis=-1)
    assert Transpose().apply(image, {}).shape == (3, 2, 3)
    assert Transpose().apply(np.stack([IMAGE] * 3, axis=0)[:, :, :2], {}).shape == (3, 2, 2)


@pytest.mark.parametrize("make", [lambda: Rotate(45), lambda: Rotate("90"), lambda: Flip("left")])
def test_what_cannot_be_turned_is_refused(make):
    with pytest.raises(PipelineError, match=r"rotate: degrees|flip: direction"):
        make()
