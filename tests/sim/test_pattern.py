"""The pattern can be told from its pixels, whatever their type and order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamstream.frames import ColorMode, Geometry
from beamstream.sim.encode import encode
from beamstream.sim.pattern import STAMP_PIXELS, Pattern, levels, read_unique_id

DTYPES = ["|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8"]
ids = st.integers(0, 2**31 - 1)


@st.composite
def geometries(draw):
    n_rows, n_cols = draw(st.integers(8, 40)), draw(st.integers(8, 40))
    mode = draw(st.sampled_from(ColorMode))
    shape = {
        ColorMode.RGB1: (n_rows, n_cols, 3),
        ColorMode.RGB2: (n_rows, 3, n_cols),
        ColorMode.RGB3: (3, n_rows, n_cols),
    }.get(mode, (n_rows, n_cols))
    return Geometry(shape, draw(st.sampled_from(DTYPES)), mode)


@given(geometries(), ids)
def test_the_id_is_read_back_from_the_pixels_of_every_type_size_and_colour(geometry, unique_id):
    image = Pattern(geometry).image(unique_id)
    assert (image.shape, image.dtype.str) == (geometry.shape, np.dtype(geometry.dtype).str)
    assert read_unique_id(image) == unique_id


@given(geometries(), ids)
def test_two_who_know_geometry_and_id_draw_the_same_picture(geometry, unique_id):
    mine, theirs = Pattern(geometry), Pattern(geometry)
    theirs.image((unique_id + 1) % 2**31)
    assert np.array_equal(mine.image(unique_id), theirs.image(unique_id))


@given(geometries(), ids)
def test_pixels_stay_within_the_levels(geometry, unique_id):
    image = Pattern(geometry).image(unique_id).astype(float)
    low, high = levels(geometry.dtype)
    assert image.min() == pytest.approx(low)
    assert image.max() == pytest.approx(high)


@pytest.mark.parametrize("dtype", DTYPES)
def test_successive_pictures_differ_beyond_the_stamp(dtype):
    pattern = Pattern(Geometry((64, 64), dtype))
    images = [pattern.image(i).reshape(-1)[STAMP_PIXELS:].tobytes() for i in range(100)]
    assert len(set(images)) == 100


def test_a_picture_is_drawn_into_the_memory_given():
    pattern = Pattern(Geometry((32, 48), "<u2"))
    out = np.zeros((32, 48), "<u2")
    assert pattern.image(77, out) is out
    assert np.array_equal(out, pattern.image(77))


@pytest.mark.parametrize("unique_id", [0, 1, 2**31 - 1])
def test_the_stamp_survives_a_flat_field_a_conversion_and_jpeg(unique_id):
    import imagecodecs

    image = Pattern(Geometry((64, 64), "|u1")).image(unique_id)
    flat = np.random.default_rng(3).normal(1.0, 0.05, image.shape)
    assert Pattern.read_unique_id((image / flat).astype("f4")) == unique_id
    assert Pattern.read_unique_id(imagecodecs.jpeg_decode(encode(image, "jpeg"))) == unique_id


def test_colours_stay_on_their_axis_as_the_picture_moves():
    shapes = {ColorMode.RGB1: (40, 48, 3), ColorMode.RGB2: (40, 3, 48)}
    axes = {ColorMode.RGB1: 2, ColorMode.RGB2: 1}
    for mode, shape in shapes.items():
        pattern = Pattern(Geometry(shape, "<f4", mode))
        means = [np.moveaxis(pattern.image(i), axes[mode], 0)[:, 1:].mean(axis=(1, 2)) for i in (0, 7, 60)]
        assert np.allclose(means, means[0], rtol=0.05)


@pytest.mark.parametrize("damage", [np.zeros_like, np.fliplr, lambda image: image[3:], lambda image: image[:1, :9]])
def test_a_picture_without_a_whole_stamp_is_refused(damage):
    image = damage(Pattern(Geometry((64, 64), "<u2")).image(123456))
    with pytest.raises(ValueError, match="no stamp"):
        read_unique_id(image)


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry((6, 6), "<u2"),
        Geometry((64, 64), "<f2"),
        Geometry((64, 64), "<c8"),
        Geometry((64, 64, 3), "<u2", ColorMode.RGB3),
        Geometry((64, 64, 4), "<u2", ColorMode.RGB1),
    ],
)
def test_a_geometry_that_cannot_be_drawn_is_refused(geometry):
    with pytest.raises(ValueError, match="pattern: "):
        Pattern(geometry)


@pytest.mark.parametrize("unique_id", [-1, 2**31])
def test_an_id_that_an_ntndarray_cannot_hold_is_refused(unique_id):
    with pytest.raises(ValueError, match="NTNDArray"):
        Pattern(Geometry((8, 8), "<u2")).image(unique_id)
