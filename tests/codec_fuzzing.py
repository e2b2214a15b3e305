"""Give random and damaged payloads of one codec to every decoder; run as a program, since these are C and may crash.

``python codec_fuzzing.py CODEC NUMBER SEED NOTE RESULT`` writes the number of the case under way into the file NOTE,
in the end {"decoded", "refused", "passed", "digest"} into RESULT (HDF5's lz4 writes to stdout). The digest is of all
pixels and errors.
"""

import hashlib
import json
import mmap
import resource
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

MEMORY = 1 << 30  # bytes beyond what the libraries take
SHAPES = ((5, 7), (33, 47), (64, 64), (48, 130))
TYPES = ("|u1", "<u2", "<u4", "<f8")
HEADS = (0, 1, 4, 8, 12, 16, 20, 31)
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def picture(random: np.random.Generator) -> np.ndarray:
    """Return pixels that compress, but not to nothing; sometimes to nothing."""
    shape, dtype = SHAPES[random.integers(len(SHAPES))], TYPES[random.integers(len(TYPES))]
    counts = random.poisson(random.choice([0.0, 0.1, 20.0]), shape)
    return (counts + np.arange(shape[-1]) // 4).astype(dtype)


def hdf5_chunk(image: np.ndarray, **options: Any) -> bytes:
    """Return the chunk that HDF5's own filter writes."""
    import h5py

    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        dataset: Any = file.create_dataset("data", data=image, chunks=image.shape, **options)
        return dataset.id.read_direct_chunk((0,) * image.ndim)[1]


def whole(codec: str, image: np.ndarray, random: np.random.Generator) -> bytes:
    """Return a payload as one of the encoders in the field makes it."""
    import hdf5plugin
    import imagecodecs

    from beamstream.sim.encode import encode

    kind = int(random.integers(4))
    match codec, kind:
        case "bslz4", 0:
            return hdf5_chunk(image, **hdf5plugin.Bitshuffle(nelems=64, cname="lz4"))
        case "bslz4", 1:
            return hdf5_chunk(image, **hdf5plugin.Bitshuffle(cname="lz4"))
        case "bslz4", 2:  # blocks enough for the compiled walk
            return hdf5_chunk(image, **hdf5plugin.Bitshuffle(nelems=16, cname="lz4"))
        case "lz4" | "lz4hdf5", 0:
            return hdf5_chunk(image, **hdf5plugin.LZ4(nbytes=1024))
        case "lz4" | "lz4hdf5", 1:
            return hdf5_chunk(image, **hdf5plugin.LZ4())
        case "lz4hdf5", 2:  # blocks enough for the compiled walk
            return hdf5_chunk(image, **hdf5plugin.LZ4(nbytes=64))
        case "blosc", 0:
            return bytes(imagecodecs.blosc2_encode(image.tobytes(), typesize=image.itemsize, compressor="zstd"))
        case "blosc", _:
            compressor = ("blosclz", "lz4", "zlib", "zstd")[random.integers(4)]
            options: Any = {"compressor": compressor, "shuffle": kind - 1}
            return bytes(imagecodecs.blosc_encode(image.tobytes(), typesize=image.itemsize, **options))
        case "zlib", _:
            return zlib.compress(image.tobytes(), (0, 1, 6, 9)[kind])
        case "jpeg", 0:
            return bytes(imagecodecs.jpeg8_encode(np.stack([image.astype("u1")] * 3, -1), level=90))
        case "jpeg", _:
            return bytes(imagecodecs.jpeg8_encode(image.astype("u1"), level=90))
    return encode(np.ascontiguousarray(image), codec).tobytes()


def damaged(payload: bytes, random: np.random.Generator) -> bytes:
    """Return a payload with something wrong."""
    data, size = bytearray(payload), len(payload)
    match int(random.integers(8)):
        case 0:
            return random.bytes(int(random.integers(0, 200)))
        case 1:
            return bytes(data[: random.integers(0, size)])
        case 2:
            return bytes(data) + random.bytes(int(random.integers(1, 40)))
        case 3:  # a field of the header
            at, order = int(random.choice(HEADS)), "<>"[random.integers(2)]
            data[at : at + 4] = struct.pack(f"{order}I", EXTREMES[random.integers(len(EXTREMES))])
        case 4:  # the length of a block, if this is one
            at = int(random.integers(0, size))
            data[at : at + 4] = struct.pack(">I", int(random.integers(0, 2 * size)))
        case 5:
            a, b = sorted(random.integers(0, size, 2))
            del data[a:b]
        case 6:
            a, b = sorted(random.integers(0, size, 2))
            data[a:b] = random.bytes(int(b - a))
        case _:
            for _ in range(random.integers(1, 6)):
                data[random.integers(0, 40 if random.integers(2) else size) % size] = random.integers(256)
    return bytes(data)


def by_stock_hdf5(codec: str, payload: bytes, image: np.ndarray) -> np.ndarray | None:
    """Return what h5py makes of a frame that is stored as it came; None of one that it does not decode."""
    import h5py

    from beamstream.frames import Frame, Geometry
    from beamstream.sinks import hdf5_filters

    geometry = Geometry(image.shape, image.dtype.str, codec=codec)
    frame = Frame(np.frombuffer(payload, np.uint8), geometry, 0, 0.0, 0.0)
    if not hdf5_filters.keeps_bytes(frame):
        return None
    mask, chunk = hdf5_filters.as_chunk(frame)
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        dcpl.set_chunk(image.shape)
        hdf5_filters.declare(dcpl, codec)
        space, kind = h5py.h5s.create_simple(image.shape), h5py.h5t.py_create(image.dtype)
        h5py.h5d.create(file.id, b"data", kind, space, dcpl)
        dataset: Any = file["data"]
        dataset.id.write_direct_chunk((0,) * image.ndim, chunk, mask)
        try:
            return dataset[()]
        except OSError:
            return None


def cases(codec: str, number: int, seed: int) -> Iterator[tuple[bytes, np.ndarray]]:
    """Yield a payload and an image that gives shape and type."""
    valid: list[tuple[bytes, np.ndarray]] = []
    random = np.random.default_rng(seed)
    for _ in range(40):
        image = picture(random)
        if codec == "jpeg":
            image = image.astype("u1")
        payload = whole(codec, image, random)
        valid.append((payload, np.stack([image] * 3, -1) if codec == "jpeg" and _colours(payload) == 3 else image))
    for case in range(number):
        random = np.random.default_rng((seed, case))
        payload, image = valid[random.integers(len(valid))]
        yield damaged(payload, random) if case % 10 else payload, image


def _colours(jpeg: bytes) -> int:
    from beamstream import jpeg_header

    return len(jpeg_header.shape_of(np.frombuffer(jpeg, np.uint8)))


def run(codec: str, number: int, seed: int, note: mmap.mmap) -> dict[str, Any]:
    """Try all cases; what passes the check has to be safe with any decoder, and two decoders have to agree."""
    from beamstream import codecs
    from beamstream.errors import CodecError

    counts, digest = {"decoded": 0, "refused": 0, "passed": 0}, hashlib.sha256()
    for case, (payload, image) in enumerate(cases(codec, number, seed)):
        note[:8] = struct.pack("<q", case)
        data = np.frombuffer(payload, np.uint8)
        try:
            codecs.check(data, codec, image.nbytes, itemsize=image.itemsize, shape=image.shape)
            counts["passed"] += 1
        except CodecError as error:
            counts["refused"] += 1
            digest.update(str(error).encode())
            continue
        try:
            pixels = codecs.decode(codec, data, image.dtype, image.shape)
            counts["decoded"] += 1
        except CodecError:
            pixels = None
        stock = by_stock_hdf5(codec, payload, image) if case % 3 == 0 else None
        for made in (pixels, stock):
            digest.update(b"none" if made is None else made.tobytes())
        if pixels is not None and stock is not None:
            assert pixels.tobytes() == stock.tobytes(), "two decoders disagree"
        assert case % 10 or (pixels is not None and (codec == "jpeg" or pixels.tobytes() == image.tobytes()))
    return counts | {"digest": digest.hexdigest()}


def main(codec: str, number: int, seed: int, note: Path, result: Path) -> None:
    """Run in bounded memory."""
    import h5py  # noqa: F401
    import hdf5plugin  # noqa: F401
    import imagecodecs  # noqa: F401

    used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    with note.open("r+b") as file:
        result.write_text(json.dumps(run(codec, number, seed, mmap.mmap(file.fileno(), 8))))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
