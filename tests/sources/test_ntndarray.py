"""NTNDArray to Frame, over a real PVAccess server and monitor."""

import math
import struct
import time

import numpy as np
import pvaccess as pva
import pytest

from beamstream import codecs
from beamstream.errors import BeamstreamError, CodecError, MalformedFrame, NotAnImage
from beamstream.frame_attributes import from_json, sensor_part, to_json
from beamstream.frames import ColorMode, Geometry
from beamstream.sim.encode import encode
from beamstream.sources.ntndarray import Decoder, decode, structure_geometry

FIELDS = {  # numpy's type: the union's field, pvData's number
    "|i1": ("byteValue", 1),
    "<i2": ("shortValue", 2),
    "<i4": ("intValue", 3),
    "<i8": ("longValue", 4),
    "|u1": ("ubyteValue", 5),
    "<u2": ("ushortValue", 6),
    "<u4": ("uintValue", 7),
    "<u8": ("ulongValue", 8),
    "<f4": ("floatValue", 9),
    "<f8": ("doubleValue", 10),
}
SHAPES = {  # for 29 rows and 37 columns
    ColorMode.MONO: (29, 37),
    ColorMode.BAYER: (29, 37),
    ColorMode.RGB1: (29, 37, 3),
    ColorMode.RGB2: (29, 3, 37),
    ColorMode.RGB3: (3, 29, 37),
}
NUMBERS = {mode: number for number, mode in enumerate(SHAPES)}
WHEN = 1_755_537_514.75


def stamp(seconds: float) -> dict[str, int]:
    return {"secondsPastEpoch": int(seconds), "nanoseconds": round(seconds % 1 * 1e9), "userTag": 0}


def build(values, sizes, *, unique_id=1, codec="", number=None, attributes=None, **fields) -> pva.NtNdArray:
    """Put an NTNDArray together as a server would: `values` as they travel, `sizes` fastest first."""
    pv = pva.NtNdArray()
    pv["value"] = {FIELDS[values.dtype.str][0]: values.reshape(-1)}
    pv["dimension"] = [pva.PvDimension(size, 0, size, 1, False) for size in sizes]
    pv["uniqueId"] = unique_id
    pv["compressedSize"] = values.nbytes
    pv["uncompressedSize"] = values.nbytes
    pv["dataTimeStamp"] = stamp(WHEN)
    listed = attributes.items() if isinstance(attributes, dict) else attributes or ()
    pv["attribute"] = [pva.NtAttribute(name, value) for name, value in listed]
    if codec:
        pv["codec"] = pva.PvCodec(codec, pva.PvInt(number)) if number is not None else {"name": codec}
    for name, value in fields.items():
        pv[name] = value
    return pv


def color(mode: ColorMode | int) -> dict[str, pva.PvInt]:
    return {"ColorMode": pva.PvInt(NUMBERS[mode] if isinstance(mode, ColorMode) else mode)}


def picture(shape, dtype) -> np.ndarray:
    """Make pixels of the whole range of the type, with long runs so that every codec has something to do."""
    kind = np.dtype(dtype)
    counts = np.arange(np.prod(shape)).reshape(shape) // 5
    if kind.kind == "f":
        return (counts * -1.25e3).astype(kind)
    limits = np.iinfo(kind)
    return (np.where(counts % 2, limits.max, limits.min).astype(kind)) - (counts % 7).astype(kind)


class Wire:
    """A server and a monitor in this process; what `decode` makes of each update arrives in `results`."""

    def __init__(self, server: pva.PvaServer, name: str, wait_for) -> None:
        self.server, self.name, self.wait_for = server, name, wait_for
        self.results: list = []
        self.decoder = None
        server.addRecord(name, pva.NtNdArray(), None)
        self.channel = pva.Channel(name)
        self.channel.setTimeout(5.0)
        self.channel.subscribe("test", self._on_update)
        self.channel.startMonitor("record[queueSize=50]field()")
        wait_for(lambda: self.results, what="the first update")
        self.results.clear()  # the server's initial value

    def _on_update(self, pv) -> None:
        received = time.time()
        try:
            if self.decoder is not None:
                self.results.append(self.decoder(pv, received))
            else:
                self.results.append(decode(pv, source="pva://camera", received=received))
        except BaseException as error:  # pvaccess would print and forget it
            self.results.append(error)

    def send(self, pv):
        """Post an update; return the frame, or raise the error, that it became."""
        self.results.clear()
        self.server.update(self.name, pv)
        self.wait_for(lambda: self.results, what="an update")
        result = self.results[-1]
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        self.channel.stopMonitor()
        self.channel.unsubscribe("test")
        self.server.removeRecord(self.name)


@pytest.fixture(scope="module")
def server():
    server = pva.PvaServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def wire(server, request, wait_for):
    wire = Wire(server, f"cam:{abs(hash(request.node.nodeid))}", wait_for)
    yield wire
    wire.close()


@pytest.mark.parametrize("codec", ["", *sorted(codecs.NAMES - {"jpeg"})], ids=lambda codec: codec or "plain")
@pytest.mark.parametrize("mode", ColorMode)
def test_every_pixel_type_arrives_bit_for_bit(wire, mode, codec):
    shape = SHAPES[mode]
    for unique_id, (dtype, (_, number)) in enumerate(FIELDS.items()):
        image = picture(shape, dtype)
        values = encode(image, codec) if codec else image
        pv = build(
            values, shape[::-1], unique_id=unique_id, codec=codec, number=number, attributes=color(mode),
            uncompressedSize=image.nbytes,
        )  # fmt: skip
        frame = wire.send(pv)
        assert frame.geometry == Geometry(shape, dtype, mode, codec)
        assert frame.unique_id == unique_id
        assert frame.image.dtype.str == dtype
        assert frame.image.shape == shape
        assert frame.image.tobytes() == image.tobytes()
        assert not frame.payload.flags.writeable
        assert frame.source == "pva://camera"


@pytest.mark.parametrize("mode", [ColorMode.MONO, ColorMode.RGB1, ColorMode.RGB2, ColorMode.RGB3])
def test_a_jpeg_arrives_within_its_tolerance_in_the_frames_own_memory_order(wire, mode):
    """areaDetector compresses RGB2 and RGB3 as ordinary colour JPEGs, and leaves dimension and ColorMode."""
    y, x = np.mgrid[:29, :37]
    rgb = np.stack([6 * y, 5 * x, 255 - 3 * y - 3 * x], axis=-1).astype(np.uint8)
    order = {ColorMode.RGB1: (0, 1, 2), ColorMode.RGB2: (0, 2, 1), ColorMode.RGB3: (2, 0, 1)}
    source = np.ascontiguousarray(rgb[..., 0]) if mode == ColorMode.MONO else rgb
    expected = source if mode == ColorMode.MONO else rgb.transpose(order[mode])
    pv = build(
        encode(source, "jpeg"), expected.shape[::-1], codec="jpeg", number=5, attributes=color(mode),
        uncompressedSize=expected.size,
    )  # fmt: skip
    image = wire.send(pv).image
    assert image.shape == SHAPES[mode]
    assert np.abs(image.astype(int) - expected).max() <= 12


def test_a_jpeg_without_a_pixel_type_has_8_bits(wire):
    image = picture((29, 37), "|u1")
    frame = wire.send(build(encode(image, "jpeg"), (37, 29), codec="jpeg", uncompressedSize=image.nbytes))
    assert frame.geometry == Geometry((29, 37), "|u1", ColorMode.MONO, "jpeg")


@pytest.mark.parametrize(
    ("mode", "sizes", "memory"),
    [
        # one row of red, green; one of blue, white: as the bytes lie in memory, by areaDetector's definition
        (ColorMode.RGB1, (3, 2, 2), [9, 0, 0, 0, 8, 0, 0, 0, 7, 6, 6, 6]),
        (ColorMode.RGB2, (2, 3, 2), [9, 0, 0, 8, 0, 0, 0, 6, 0, 6, 7, 6]),
        (ColorMode.RGB3, (2, 2, 3), [9, 0, 0, 6, 0, 8, 0, 6, 0, 0, 7, 6]),
    ],
)
def test_red_green_blue_and_white_are_where_they_belong(wire, mode, sizes, memory):
    frame = wire.send(build(np.array(memory, "|u1"), sizes, attributes=color(mode)))
    assert frame.geometry.color_mode == mode
    to_rgb = {ColorMode.RGB1: (0, 1, 2), ColorMode.RGB2: (0, 2, 1), ColorMode.RGB3: (1, 2, 0)}
    rgb = frame.image.transpose(to_rgb[mode])
    assert rgb.tolist() == [[[9, 0, 0], [0, 8, 0]], [[0, 0, 7], [6, 6, 6]]]


def test_columns_vary_fastest(wire):
    frame = wire.send(build(np.arange(6, dtype="<u2"), (3, 2)))
    assert frame.image.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("sizes", [(24,), (2, 3, 4), (3, 8), (2, 2, 3, 2)])
def test_without_color_mode_any_number_of_dimensions_is_mono(wire, sizes):
    frame = wire.send(build(np.arange(24, dtype="<f4"), sizes))
    assert frame.geometry == Geometry(sizes[::-1], "<f4", ColorMode.MONO)


def test_pixels_outlive_the_update_they_came_with(wire):
    """Each frame is held while pvaccess reuses its PvObject for the next ones."""
    frames = [wire.send(build(np.full((64, 64), n, "<u2"), (64, 64), unique_id=n)) for n in range(40)]
    assert [frame.unique_id for frame in frames] == list(range(40))
    assert all((frame.payload == n).all() for n, frame in enumerate(frames))


def test_pixels_are_not_copied():
    pv = build(np.arange(6, dtype="<u2"), (3, 2))
    first, second = (decode(pv, source="", received=0.0) for _ in range(2))
    assert np.shares_memory(first.payload, second.payload)
    packed = build(encode(picture((29, 37), "<u2"), "zlib"), (37, 29), codec="zlib", number=6, uncompressedSize=0)
    first, second = (decode(packed, source="", received=0.0) for _ in range(2))
    assert np.shares_memory(first.payload, second.payload)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"dataTimeStamp": stamp(WHEN), "timeStamp": stamp(WHEN + 1)}, WHEN),
        ({"dataTimeStamp": stamp(0), "timeStamp": stamp(WHEN + 1)}, WHEN + 1),
        ({"dataTimeStamp": stamp(631152000), "timeStamp": stamp(WHEN + 1)}, WHEN + 1),
        ({"dataTimeStamp": stamp(0), "timeStamp": stamp(0)}, 77.5),
        ({"dataTimeStamp": stamp(0.25), "timeStamp": stamp(WHEN)}, 0.25),
        ({"dataTimeStamp": stamp(2**62), "timeStamp": stamp(WHEN)}, WHEN),
        ({"dataTimeStamp": stamp(-(2**62)), "timeStamp": stamp(2**62)}, 77.5),
    ],
    ids=["the detector's", "unset", "unset, as areaDetector sends it", "both unset", "from 1970", "late", "no time"],
)
def test_the_time_is_the_detectors_or_the_servers_or_ours(fields, expected):
    frame = decode(build(np.zeros(6, "<u2"), (3, 2), **fields), source="", received=77.5)
    assert frame.timestamp == pytest.approx(expected, abs=1e-6)
    assert frame.received == 77.5


def array_attribute(kind, values) -> pva.PvObject:
    return pva.PvObject({"value": [kind]}, {"value": values})


def test_attributes_arrive_as_plain_values_and_what_is_too_long_is_left_out_and_named(wire, caplog):
    sent = {
        "ColorMode": pva.PvInt(0),
        "Gain": pva.PvDouble(1.5),
        "Model": pva.PvString("Sim"),
        "Cooled": pva.PvBoolean(True),
        "Counter": pva.PvULong(2**63),
        "Position": array_attribute(pva.DOUBLE, [1.0, 2.5]),
        "Names": array_attribute(pva.STRING, ["a", "b"]),
        "Temperature": pva.PvDouble(float("nan")),
        "Pressure": array_attribute(pva.DOUBLE, [1.0, float("inf")]),
        "Waveform": array_attribute(pva.DOUBLE, list(range(10_000))),
        "Story": pva.PvString("x" * 100_000),
        "Structure": pva.PvObject({"value": {"index": pva.INT}}, {"value": {"index": 2}}),
    }
    attributes = wire.send(build(np.zeros(6, "<u2"), (3, 2), attributes=sent)).attributes
    assert math.isnan(attributes["Temperature"])
    assert {key: value for key, value in attributes.items() if key != "Temperature"} == {
        "ColorMode": 0, "Gain": 1.5, "Model": "Sim", "Cooled": True, "Counter": 2**63,
        "Position": [1.0, 2.5], "Names": ["a", "b"], "Pressure": [1.0, math.inf], "Structure": {"index": 2},
    }  # fmt: skip
    assert from_json(to_json(attributes))["Pressure"] == [1.0, math.inf]
    assert [record.args[1:] for record in caplog.records] == [
        ("attribute 'Waveform' is", "it has more than 4096 values"),
        ("attribute 'Story' is", "it has more than 65536 characters"),
    ]


def test_attributes_of_one_name_are_all_kept_and_equal_ones_are_one_mapping(wire):
    wire.decoder = Decoder("pva://camera")
    sent = [("Gain", pva.PvDouble(1.5)), ("Gain", pva.PvDouble(2.5)), ("", pva.PvInt(3))]
    frames = [wire.send(build(np.zeros(6, "<u2"), (3, 2), unique_id=n, attributes=sent)) for n in (1, 2)]
    assert frames[0].attributes == {"Gain": 1.5, "Gain_2": 2.5, "": 3}
    assert frames[0].attributes is frames[1].attributes
    sent[2] = ("", pva.PvDouble(3.0))
    other = wire.send(build(np.zeros(6, "<u2"), (3, 2), unique_id=3, attributes=sent)).attributes
    assert isinstance(other[""], float)


def test_a_region_of_the_sensor_its_binning_and_its_mirroring_are_an_attribute_slowest_axis_first(wire):
    wire.decoder = Decoder("pva://camera")
    pixels = np.zeros(6, "<u2")
    whole = wire.send(build(pixels, (3, 2)))
    part = [pva.PvDimension(3, 10, 2048, 4, True), pva.PvDimension(2, 20, 1024, 1, False)]
    region, again = (wire.send(build(pixels, (3, 2), unique_id=n, dimension=part)) for n in (2, 3))
    assert whole.attributes == {}
    assert region.attributes["dimension"] == {
        "offset": [20, 10], "binning": [1, 4], "reverse": [False, True], "full_size": [1024, 2048],
    }  # fmt: skip
    assert region.geometry is whole.geometry
    assert sensor_part(region.attributes) == sensor_part(again.attributes) == region.attributes["dimension"]
    named = wire.send(build(pixels, (3, 2), dimension=part, attributes={"dimension": pva.PvInt(7)}))
    assert (named.attributes["dimension_2"], sensor_part(named.attributes)["offset"]) == (7, [20, 10])


def test_a_decoder_makes_one_geometry_for_equal_frames_and_a_new_one_at_each_change(wire):
    wire.decoder = Decoder("pva://camera")
    pixels = np.zeros((4, 6), "<u2")
    first, second = (wire.send(build(pixels, (6, 4), unique_id=n, attributes=color(0))) for n in (1, 2))
    assert first.geometry is second.geometry
    changes = [
        (build(pixels, (4, 6)), Geometry((6, 4), "<u2")),
        (build(pixels.view("<i2"), (4, 6)), Geometry((6, 4), "<i2")),
        (build(pixels.view("<i2"), (4, 6), attributes=color(1)), Geometry((6, 4), "<i2", ColorMode.BAYER)),
        (build(encode(pixels, "zlib"), (6, 4), codec="zlib", number=6, uncompressedSize=48),
         Geometry((4, 6), "<u2", ColorMode.MONO, "zlib")),
        (build(encode(pixels, "zlib"), (6, 4), codec="zlib", number=2, uncompressedSize=48),
         Geometry((4, 6), "<i2", ColorMode.MONO, "zlib")),
        (build(pixels, (6, 4), codec="none"), Geometry((4, 6), "<u2")),
    ]  # fmt: skip
    for pv, geometry in changes:
        assert wire.send(pv).geometry == geometry


def test_a_decoder_goes_on_after_a_malformed_frame(wire):
    wire.decoder = Decoder("pva://camera")
    good = build(np.zeros(6, "<u2"), (3, 2))
    assert wire.send(good).image.shape == (2, 3)
    for _ in range(2):
        with pytest.raises(MalformedFrame):
            wire.send(build(np.zeros(6, "<u2"), (0, 2)))
    assert wire.send(good).image.shape == (2, 3)


def test_without_attributes_the_colour_mode_is_still_known(wire):
    wire.decoder = Decoder("pva://camera", attributes=False)
    frame = wire.send(build(np.zeros(24, "|u1"), (4, 3, 2), attributes=color(ColorMode.RGB2)))
    assert frame.geometry == Geometry((2, 3, 4), "|u1", ColorMode.RGB2)
    assert frame.attributes == {}


def test_compressed_bytes_end_where_the_server_says(wire):
    """Some servers send their whole buffer, of which only compressedSize bytes count."""
    image = picture((29, 37), "<u2")
    packed = encode(image, "lz4")
    buffer = np.concatenate([packed, np.full(500, 170, np.uint8)])
    pv = build(buffer, (37, 29), codec="lz4", number=6, compressedSize=packed.size, uncompressedSize=image.nbytes)
    frame = wire.send(pv)
    assert frame.payload.size == packed.size
    assert np.array_equal(frame.image, image)


def test_lz4_in_the_framing_of_hdf5_has_a_name_of_its_own(wire):
    image = picture((29, 37), "<u2")
    packed = encode(image, "lz4")
    framed = np.frombuffer(struct.pack(">QII", image.nbytes, image.nbytes, packed.size) + packed.tobytes(), np.uint8)
    frame = wire.send(build(framed, (37, 29), codec="lz4hdf5", number=6, uncompressedSize=image.nbytes))
    assert frame.geometry == Geometry((29, 37), "<u2", ColorMode.MONO, "lz4hdf5")
    assert np.array_equal(frame.image, image)


def test_signed_bytes_and_sizes_that_the_server_left_at_0_are_understood(wire):
    image = picture((29, 37), "<u2")
    packed = encode(image, "blosc").view(np.int8)
    pv = build(packed, (37, 29), codec="blosc", number=6, compressedSize=0, uncompressedSize=0)
    frame = wire.send(pv)
    assert frame.payload.dtype == np.uint8
    assert np.array_equal(frame.image, image)


PIXELS = np.zeros(6, "<u2")
PACKED = encode(np.zeros((2, 3), "<u2"), "zlib")


def packed(**fields) -> pva.NtNdArray:
    given = {"codec": "zlib", "number": 6, "uncompressedSize": 12} | fields
    return build(given.pop("values", PACKED), (3, 2), **given)


@pytest.mark.parametrize(
    ("pv", "error", "says"),
    [
        (build(PIXELS, (4, 2)), MalformedFrame, r"\[4, 2\] ask for 8 values, 6 are there"),
        (build(PIXELS, (3, 0)), MalformedFrame, r"6 values in ushortValue, but dimensions are \[3, 0\]"),
        (build(PIXELS, (-3, -2)), MalformedFrame, r"dimensions are \[-3, -2\]"),
        (build(PIXELS, ()), MalformedFrame, r"dimensions are \[\]"),
        (build(np.zeros(0, "<u2"), (3, 2)), MalformedFrame, "ask for 6 values, 0 are there"),
        (build(PIXELS, (3, 2), attributes=color(5)), MalformedFrame, "ColorMode is 5"),
        (build(PIXELS, (3, 2), attributes={"ColorMode": pva.PvString("RGB")}), MalformedFrame,
         "ColorMode is 'RGB'"),
        (build(PIXELS, (3, 2), attributes=color(2)), MalformedFrame, r"2 \(rgb1\) and dimensions \[3, 2\]"),
        (build(PIXELS, (3, 2, 1), attributes=color(3)), MalformedFrame,
         r"3 \(rgb2\) and dimensions \[3, 2, 1\]"),
        (build(PIXELS, (3, 2, 1), attributes=color(1)), MalformedFrame, r"1 \(bayer\)"),
        (packed(uncompressedSize=24), MalformedFrame, "is 12 bytes, uncompressedSize is 24"),
        (packed(number=3), MalformedFrame,
         r"int32 zlib is 24 bytes, uncompressedSize is 12; .*codec.parameters 3 is uint16 to an NDPluginPvxs of"),
        (packed(compressedSize=PACKED.size + 1), MalformedFrame,
         rf"compressedSize is {PACKED.size + 1}, {PACKED.size} bytes"),
        (packed(compressedSize=-1), MalformedFrame, "compressedSize is -1"),
        (packed(values=np.zeros(0, "|u1")), MalformedFrame, "0 bytes are there"),
        (packed(values=PIXELS), MalformedFrame, "zlib with pixels in ushortValue"),
        (packed(number=None), MalformedFrame, "codec.parameters None"),
        (packed(number=11), MalformedFrame, "codec.parameters 11"),
        (packed(codec="rle"), CodecError, "'rle' is not known, known are blosc, bslz4, jpeg, lz4, lz4hdf5, zlib"),
    ],
)  # fmt: skip
def test_a_frame_that_contradicts_itself_says_how(wire, pv, error, says):
    with pytest.raises(error, match=f"pva://camera: .*{says}"):
        wire.send(pv)


def test_a_pixel_type_that_is_no_number_is_malformed():
    pv = packed()
    pv["codec"] = pva.PvCodec("zlib", pva.PvString("uint16"))
    with pytest.raises(MalformedFrame, match=r"codec\.parameters 'uint16'"):
        decode(pv, source="cam", received=0.0)


def test_a_server_that_has_not_acquired_yet_has_no_image(wire):
    with pytest.raises(MalformedFrame, match="value is empty"):
        structure_geometry(wire.channel.get("field()"), source="cam")


def test_the_geometry_is_known_from_a_get(wire):
    wire.send(build(np.zeros(6, "<f8"), (3, 2)))
    assert structure_geometry(wire.channel.get("field()")) == Geometry((2, 3), "<f8")


@pytest.mark.parametrize(
    ("pv", "says"),
    [
        (pva.PvDouble(3.0), "no dimension, uniqueId, codec"),
        (pva.PvObject({"value": [pva.USHORT], "uniqueId": pva.INT}), "no dimension, codec"),
        (pva.PvObject({"other": pva.INT}), "no value, dimension"),
    ],
    ids=["a number", "an array", "another structure"],
)
def test_what_is_no_ntndarray_says_which_fields_it_lacks(server, wait_for, pv, says):
    name = f"other:{abs(hash(says))}"
    server.addRecord(name, pv, None)
    channel = pva.Channel(name)
    channel.setTimeout(5.0)
    try:
        with pytest.raises(NotAnImage, match=f"cam: an NTNDArray asked for, it has {says}"):
            decode(channel.get("field()"), source="cam", received=0.0)
    finally:
        server.removeRecord(name)


def test_a_field_request_that_leaves_fields_out_is_no_image(wire):
    wire.send(build(PIXELS, (3, 2)))
    with pytest.raises(NotAnImage, match=r"it has no dimension, uniqueId.*field request"):
        decode(wire.channel.get("field(value)"), source="cam", received=0.0)


def test_a_unique_id_that_is_no_number_is_no_image():
    structure = pva.NtNdArray().getStructureDict() | {"uniqueId": pva.STRING}
    with pytest.raises(NotAnImage, match="uniqueId"):
        decode(pva.PvObject(structure), source="cam", received=0.0)


def test_every_error_is_one_that_callers_catch():
    for error in (MalformedFrame, NotAnImage, CodecError):
        assert issubclass(error, BeamstreamError)
