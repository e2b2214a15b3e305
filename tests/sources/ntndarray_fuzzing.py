"""NTNDArrays with something wrong, and others that are none; run as a program, since pvaccess is C++ and may crash.

``python ntndarray_fuzzing.py NUMBER SEED NOTE`` gives them to one decoder, writes the number of the case under way into
the file NOTE, and in the end {"frames", "refused"} to stdout.
"""

import json
import mmap
import resource
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pvaccess

from beamstream.errors import BeamstreamError, CodecError
from beamstream.frame_attributes import from_json, to_json
from beamstream.sim.encode import encode
from beamstream.sources.ntndarray import Decoder

pva: Any = pvaccess
MEMORY = 512 << 20  # bytes beyond what the libraries take
SHAPE = (24, 36)
FIELDS = {
    "|i1": "byteValue", "<i2": "shortValue", "<i4": "intValue", "<i8": "longValue", "|u1": "ubyteValue",
    "<u2": "ushortValue", "<u4": "uintValue", "<u8": "ulongValue", "<f4": "floatValue", "<f8": "doubleValue",
}  # fmt: skip
CODECS = ("", "none", "jpeg", "lz4", "bslz4", "blosc", "zlib", "lz4hdf5", "rle", "\0", "x" * 5000)
SIZES = (0, 1, -1, 3, 24, 36, 24 * 36, 1 << 15, 1 << 16, 10**9, 2**31 - 1, -(2**31))
LONGS = (0, 1, -1, 48, 1728, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63))
SCALARS = (pva.INT, pva.STRING, pva.DOUBLE, pva.LONG, pva.BOOLEAN, [pva.INT], [pva.STRING], (), [()])


class Maker:
    """Make one structure after another; the same for the same seed and number."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        pixels = (np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) // 7).astype("<u2")
        self._payloads = {codec: encode(pixels, codec) for codec in ("lz4", "bslz4", "blosc", "zlib")}
        self._payloads["jpeg"] = encode(pixels.astype("u1"), "jpeg")
        self._structure = pva.NtNdArray().getStructureDict()

    def good(self, number: int) -> Any:
        """Return a frame as it should be, all pixels `number` modulo 1000."""
        pv = pva.NtNdArray()
        pixels = np.full(SHAPE[0] * SHAPE[1], number % 1000, "<u2")
        pv["value"] = {"ushortValue": pixels}
        pv["dimension"] = [pva.PvDimension(n, 0, n, 1, False) for n in reversed(SHAPE)]
        pv["uniqueId"] = number
        pv["compressedSize"] = pv["uncompressedSize"] = pixels.nbytes
        return pv

    def wrong(self, number: int) -> Any:
        """Return an NTNDArray of which something is wrong, mostly."""
        random = np.random.default_rng((self._seed, number))
        pv, codec = self.good(number), ""
        if random.integers(3):
            codec = self._compress(pv, random)
        for change in random.choice(
            (self._dimensions, self._lengths, self._codec, self._times, self._attributes, self._values),
            int(random.integers(0, 3)),
        ):
            change(pv, random, codec)
        return pv

    def other(self, number: int) -> Any:
        """Return a structure that lacks fields of an NTNDArray, or has others in their place."""
        random = np.random.default_rng((self._seed, number))
        structure = dict(self._structure)
        for name in random.choice(list(structure), int(random.integers(1, 4))):
            if random.integers(2):
                structure.pop(name, None)
            else:
                structure[name] = SCALARS[random.integers(len(SCALARS))]
        return pva.PvObject(structure or {"value": pva.INT})

    def _compress(self, pv: Any, random: np.random.Generator) -> str:
        codec = str(random.choice(list(self._payloads)))
        payload = self._payloads[codec].copy()
        if random.integers(2):
            payload = payload[: random.integers(0, payload.size)] if random.integers(2) else payload
            for _ in range(random.integers(0, 4)):
                payload[random.integers(payload.size) if payload.size else slice(0)] = random.integers(256)
        number = 5 if codec == "jpeg" else 6
        pv["value"] = {"ubyteValue": payload}
        pv["codec"] = pva.PvCodec(codec, pva.PvInt(number))
        pv["compressedSize"] = payload.size
        pv["uncompressedSize"] = SHAPE[0] * SHAPE[1] * (1 if codec == "jpeg" else 2)
        return codec

    def _dimensions(self, pv: Any, random: np.random.Generator, codec: str) -> None:
        number = int(random.choice((0, 1, 2, 3, 4, 11, 40, 1000), p=(0.1, 0.2, 0.3, 0.2, 0.1, 0.05, 0.04, 0.01)))
        sizes = [int(random.choice(SIZES)) for _ in range(number)]
        pv["dimension"] = [pva.PvDimension(n, 0, n, 1, False) for n in sizes]
        if random.integers(2):
            pv["uncompressedSize"] = 0

    def _lengths(self, pv: Any, random: np.random.Generator, codec: str) -> None:
        pv[str(random.choice(("compressedSize", "uncompressedSize")))] = int(random.choice(np.array(LONGS)))

    def _codec(self, pv: Any, random: np.random.Generator, codec: str) -> None:
        parameters = (pva.PvInt(int(random.integers(-2, 13))), pva.PvString("uint16"), pva.PvDouble(6.0))
        pv["codec"] = pva.PvCodec(CODECS[random.integers(len(CODECS))], parameters[random.integers(3)])

    def _times(self, pv: Any, random: np.random.Generator, codec: str) -> None:
        stamp = {"secondsPastEpoch": int(random.choice(np.array(LONGS))), "nanoseconds": int(random.choice(SIZES))}
        pv["dataTimeStamp"] = stamp | {"userTag": 0}
        pv["uniqueId"] = int(random.choice(SIZES))

    def _attributes(self, pv: Any, random: np.random.Generator, codec: str) -> None:
        values = (
            pva.PvInt(int(random.integers(-2, 7))),
            pva.PvString("y" * int(random.choice((0, 3, 2000, 100_000)))),
            pva.PvDouble(float(random.choice((np.nan, np.inf, 1e308, 0.0)))),
            pva.PvObject({"value": [pva.DOUBLE]}, {"value": [0.5] * int(random.choice((0, 3, 5000)))}),
            pva.PvObject({"value": {"a": {"b": pva.INT}}}, {"value": {"a": {"b": 2}}}),
            pva.PvULong(2**64 - 1),
        )
        names = ("ColorMode", "ColorMode", "Gain", "", "a" * 3000, "[red]\x1b]0;x\x07\n")
        pv["attribute"] = [
            pva.NtAttribute(names[random.integers(6)], values[random.integers(6)])
            for _ in range(int(random.choice((1, 2, 5, 200), p=(0.4, 0.4, 0.19, 0.01))))
        ]

    def _values(self, pv: Any, random: np.random.Generator, codec: str) -> None:
        dtype = str(random.choice(list(FIELDS)))
        pv["value"] = {FIELDS[dtype]: np.zeros(int(random.choice((0, 1, 12, 864, 5000))), dtype)}


def decode(decoder: Decoder, pv: Any) -> bool:
    """Return whether it is a frame; its pixels then have the size that it says, or do not decode."""
    try:
        frame = decoder(pv, 1e9)
    except BeamstreamError as error:
        assert len(str(error)) < 1000  # noqa: PT017 - most are refused
        return False
    geometry = frame.geometry
    if not geometry.codec:
        assert frame.payload.nbytes == geometry.nbytes
    try:
        assert frame.image.shape == geometry.shape
    except CodecError:
        pass
    from_json(to_json(frame.attributes))
    return True


def main(number: int, seed: int, note: Path) -> None:
    """Run in bounded memory."""
    maker, decoder, counts = Maker(seed), Decoder("pva://cam"), {"frames": 0, "refused": 0}
    used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    with note.open("r+b") as file:
        progress = mmap.mmap(file.fileno(), 8)
        for case in range(number):
            progress[:8] = struct.pack("<q", case)
            pv = maker.other(case) if case % 8 == 0 else maker.wrong(case)
            counts["frames" if decode(decoder, pv) else "refused"] += 1
    assert decoder(maker.good(7), 1e9).image.tolist() == np.full(SHAPE, 7).tolist()
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
