"""Frame and Geometry: they survive JSON, and a compressed frame shows its pixels."""

import json
import zlib
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamstream import codecs
from beamstream.errors import CodecError
from beamstream.frames import ColorMode, Frame, Geometry

geometries = st.builds(
    Geometry,
    shape=st.lists(st.integers(1, 5000), min_size=1, max_size=4).map(tuple),
    dtype=st.sampled_from(["|u1", "|i1", "<u2", ">u2", "<i4", "<u8", "<f4", "<f8"]),
    color_mode=st.sampled_from(ColorMode),
    codec=st.sampled_from(["", *sorted(codecs.NAMES)]),
)


@given(geometries)
def test_a_geometry_survives_json(geometry):
    again = Geometry.from_dict(json.loads(json.dumps(geometry.to_dict())))
    assert again == geometry
    assert hash(again) == hash(geometry)
    assert isinstance(again.color_mode, ColorMode)


@given(geometries)
def test_nbytes_is_the_size_of_one_decoded_frame(geometry):
    assert (
        geometry.nbytes
        == np.lib.stride_tricks.as_strided(np.zeros(1, geometry.dtype), geometry.shape, (0,) * len(geometry.shape)).size
        * np.dtype(geometry.dtype).itemsize
    )


def test_a_geometry_reads_like_a_sentence():
    assert str(Geometry((1024, 2048), "<u2")) == "1024 × 2048 uint16"
    assert str(Geometry((3, 4, 5), "|u1", ColorMode.RGB3, "jpeg")) == "3 × 4 × 5 uint8 rgb3 jpeg"


@pytest.mark.parametrize(
    "field",
    [{"shape": (4, 3)}, {"dtype": "<i2"}, {"color_mode": ColorMode.BAYER}, {"codec": "zlib"}],
    ids=lambda field: next(iter(field)),
)
def test_geometries_that_differ_anywhere_are_not_equal(field):
    same = {"shape": (3, 4), "dtype": "<u2", "color_mode": ColorMode.MONO, "codec": ""}
    assert Geometry(**same) == Geometry(**same)
    assert Geometry(**same | field) != Geometry(**same)


def frame(payload, geometry) -> Frame:
    return Frame(payload, geometry, unique_id=5, timestamp=100.25, received=100.5, source="test://camera")


def test_the_image_of_a_plain_frame_is_its_payload():
    pixels = np.arange(12, dtype="<u2").reshape(3, 4)
    assert frame(pixels, Geometry((3, 4), "<u2")).image is pixels


def test_the_image_of_a_compressed_frame_is_decoded_to_its_geometry():
    pixels = np.arange(12, dtype="<i4").reshape(3, 4)
    payload = np.frombuffer(zlib.compress(pixels.tobytes()), np.uint8)
    image = frame(payload, Geometry((3, 4), "<i4", codec="zlib")).image
    assert image.dtype == pixels.dtype
    assert np.array_equal(image, pixels)
    assert not image.flags.writeable


def test_the_image_of_damaged_bytes_is_an_error_and_not_a_wrong_image():
    payload = np.frombuffer(zlib.compress(bytes(48))[:-3], np.uint8)
    with pytest.raises(CodecError, match="zlib: 3 × 4 int32"):
        _ = frame(payload, Geometry((3, 4), "<i4", codec="zlib")).image


def test_a_frame_cannot_be_changed():
    made = frame(np.zeros((3, 4), "<u2"), Geometry((3, 4), "<u2"))
    with pytest.raises(FrozenInstanceError):
        made.unique_id = 6  # pyright: ignore[reportAttributeAccessIssue]
