"""Frames arrive bit-exact over the real wire, for every pixel type, colour mode and codec."""

import itertools
import time
import zlib

import numpy as np
import pvaccess as pva
import pytest

from beamstream import codecs
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sim.encode import encode
from beamstream.sim.ntndarray import PIXEL_TYPES, NtndFrame, ntndarray
from beamstream.sim.pattern import Pattern

SHAPES = {
    ColorMode.MONO: (37, 53),
    ColorMode.BAYER: (37, 53),
    ColorMode.RGB1: (37, 53, 3),
    ColorMode.RGB2: (37, 3, 53),
    ColorMode.RGB3: (3, 37, 53),
}
PVDATA = ["BOOLEAN", "BYTE", "SHORT", "INT", "LONG", "UBYTE", "USHORT", "UINT", "ULONG", "FLOAT", "DOUBLE"]
NAME = "SIM:WIRE:Pva1:Image"


@pytest.fixture(scope="module")
def served(server):
    """Return a function that posts a frame and reads it back through a client's connection."""
    server.addRecord(NAME, pva.NtNdArray(), None)
    channel = pva.Channel(NAME)
    channel.setTimeout(5.0)

    def post_and_get(pv):
        server.updateUnchecked(NAME, pv)
        return channel.get("field()")

    yield post_and_get
    server.removeRecord(NAME)


def pixels(pv, geometry):
    field = pv.getSelectedUnionFieldName()
    payload = pv["value"][0][field]
    if geometry.codec:
        assert (field, pv["codec"]["name"]) == ("ubyteValue", geometry.codec)
        number = pv["codec"]["parameters"][0]["value"]
        assert number == PIXEL_TYPES[np.dtype(geometry.dtype).str[1:]][1]
        return codecs.decode(geometry.codec, payload, np.dtype(geometry.dtype), geometry.shape)
    assert payload.dtype == geometry.dtype
    return payload.reshape(geometry.shape)


@pytest.mark.parametrize("codec", ["", "blosc", "lz4", "bslz4", "zlib"])
@pytest.mark.parametrize("color_mode", ColorMode)
def test_every_pixel_type_arrives_bit_exact(served, color_mode, codec):
    for number, dtype in enumerate(PIXEL_TYPES, 1):
        geometry = Geometry(SHAPES[color_mode], np.dtype(dtype).str, color_mode, codec)
        pattern = Pattern(geometry)
        pv = served(NtndFrame(geometry).fill(pattern.image(1000 + number), 1000 + number, 1.5e9))
        image = pixels(pv, geometry)
        assert pattern.read_unique_id(image) == pv["uniqueId"] == 1000 + number
        assert np.array_equal(image, pattern.image(1000 + number)), geometry
        assert [d["size"] for d in pv["dimension"]] == list(geometry.shape[::-1])
        assert pv["uncompressedSize"] == geometry.nbytes
        assert pv["compressedSize"] == pv["value"][0][pv.getSelectedUnionFieldName()].nbytes


@pytest.mark.parametrize("color_mode", [ColorMode.MONO, ColorMode.BAYER, ColorMode.RGB1])
def test_jpeg_arrives_looking_the_same(served, color_mode):
    geometry = Geometry(SHAPES[color_mode], "|u1", color_mode, "jpeg")
    pattern = Pattern(geometry)
    image = pixels(served(NtndFrame(geometry).fill(pattern.image(9), 9, 1.5e9)), geometry)
    assert pattern.read_unique_id(image) == 9
    assert np.abs(image.astype(int) - pattern.image(9))[2:].mean() < 6


@pytest.mark.parametrize(("color_mode", "number"), list(zip(ColorMode, range(5), strict=True)))
def test_the_colour_mode_travels_as_area_detectors_number(served, color_mode, number):
    geometry = Geometry(SHAPES[color_mode], "<u2", color_mode)
    pv = served(NtndFrame(geometry, {"Gain": 1.5, "Label": "x"}).fill(Pattern(geometry).image(1), 1, 1.5e9))
    attributes = {a["name"]: a["value"][0]["value"] for a in pv["attribute"]}
    assert attributes == {"ColorMode": number, "Gain": 1.5, "Label": "x"}


def test_the_numbers_of_the_pixel_types_are_pvdatas():
    for dtype, (field, number) in PIXEL_TYPES.items():
        assert field == PVDATA[number].lower() + "Value"
        assert int(getattr(pva, PVDATA[number])) == number, dtype


def test_bslz4_is_what_bitshuffle_itself_writes(tmp_path):
    import h5py
    import hdf5plugin

    for size, dtype in itertools.product((64, 4096 * 3, 4096 * 3 + 13, 100_003), ("u1", "u2", "f4", "i8")):
        image = (np.arange(size) % 97).astype(dtype)
        with h5py.File(tmp_path / f"{size}{dtype}.h5", "w") as file:
            data = file.create_dataset("d", data=image, chunks=image.shape, **hdf5plugin.Bitshuffle())
            _, chunk = data.id.read_direct_chunk((0,))
        assert encode(image, "bslz4").tobytes() == chunk[12:]  # HDF5's filter puts 12 bytes in front


def test_a_frame_is_built_from_a_frame(served):
    geometry = Geometry((20, 30), "<i4", codec="zlib")
    image = Pattern(geometry).image(5)
    payload = np.frombuffer(zlib.compress(image.tobytes()), np.uint8)
    frame = Frame(payload, geometry, 5, 1.6e9 + 0.25, 0.0, attributes={"Shutter": True})
    pv = served(ntndarray(frame))
    assert np.array_equal(pixels(pv, geometry), image)
    assert (pv["dataTimeStamp.secondsPastEpoch"], pv["dataTimeStamp.nanoseconds"]) == (1_600_000_000, 250_000_000)
    assert pv["attribute"][1]["value"][0]["value"] is True


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry((8, 8), ">u2"),
        Geometry((8, 8), "<f2"),
        Geometry((8, 8), "<u2", codec="lzma"),
        Geometry((8, 8), "<u2", codec="jpeg"),
        Geometry((3, 8, 8), "|u1", ColorMode.RGB3, "jpeg"),
    ],
)
def test_pixels_that_cannot_be_carried_are_refused(geometry):
    with pytest.raises(ValueError, match="asked for"):
        NtndFrame(geometry)


def test_an_image_of_another_geometry_is_refused():
    with pytest.raises(ValueError, match="8 × 9 uint16"):
        NtndFrame(Geometry((8, 9), "<u2")).fill(np.zeros((9, 8), "<u2"), 1, time.time())
