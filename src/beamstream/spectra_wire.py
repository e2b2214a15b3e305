"""Averaged spectra as they go over ZeroMQ: three parts, a topic, a JSON header, the values.

The format is that of the OVRO-LWA data recorder's averaging stream. A header says ``time_tag`` (ticks of 196 MHz
since 1970-01-01 UTC, at the start of the sequence), ``nbeam``, ``nchan``, ``npol``, ``timestamp`` (s, when the message
was made), ``last_block_time`` (UTC, of the last averaged sample), ``data_shape`` and ``data_type``. Ours add
``sequence``, counted from 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from beamstream.errors import MalformedMessage

TOPIC = b"data"
PARTS = 3
TICKS_PER_SECOND = 196_000_000
"""Of ``time_tag``; the sampling clock."""
MOST_BYTES = 64 * 2**20
"""Longest spectrum that is understood, bytes."""
_LONGEST_HEADER = 16 * 2**10  # bytes
_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_799  # s since 1970: the years 1 to 9999, which have a date
_SMALLEST_INT, _LARGEST_INT = -(2**63), 2**63 - 1
_SIZES = ("nbeam", "nchan", "npol")
_DTYPES = {
    **{name: name for name in ("<f4", ">f4", "<f8", ">f8", "<f2", "<i2", "<u2", "<i4", "<u4", "|i1", "|u1")},
    **{np.dtype(t).name: np.dtype(t).str for t in ("<f4", "<f8", "<f2", "<i2", "<u2", "<i4", "<u4", "i1", "u1")},
}


@dataclass(frozen=True, slots=True)
class Spectrum:
    """One message, checked.

    Parameters
    ----------
    values : ndarray, shape (n_beams, n_channels, n_polarizations)
        Read-only, a view of the message.
    time_tag : int
        Ticks of 196 MHz since 1970-01-01 UTC.
    timestamp : float
        When the message was made, s since 1970-01-01 UTC.
    last_block_time : float
        Of the last sample in the average, s since 1970-01-01 UTC; `timestamp` where the header has none.
    sequence : int or None
        The publisher's own count, if it has one.
    """

    values: NDArray[Any]
    time_tag: int
    timestamp: float
    last_block_time: float
    sequence: int | None = None


def decode(parts: Sequence[bytes]) -> Spectrum:
    """Read a message; whatever it is, the worst that can happen is the error.

    Raises
    ------
    MalformedMessage
        It is no spectrum; ``kind`` says in one word what is wrong.
    """
    if len(parts) != PARTS:
        raise MalformedMessage(f"{PARTS} parts expected, the message has {len(parts)}", kind="parts")
    topic, header, values = parts
    if topic != TOPIC:
        raise MalformedMessage(f"the topic {TOPIC!r} expected, it is {topic[:20]!r}", kind="topic")
    said = _header(header)
    shape, dtype = _shape(said), _dtype(said)
    expected = math.prod(shape) * dtype.itemsize
    if expected > MOST_BYTES:
        raise MalformedMessage(f"data_shape {shape} announces {expected} bytes, {MOST_BYTES} are allowed", kind="size")
    if len(values) != expected:
        raise MalformedMessage(f"{shape} {dtype.name} is {expected} bytes, {len(values)} came", kind="size")
    timestamp = _time(said)
    array = np.frombuffer(values, dtype).reshape(shape)
    array.flags.writeable = False
    return Spectrum(
        array,
        _integer(said, "time_tag"),
        timestamp,
        _block_time(said, timestamp),
        _integer(said, "sequence") if "sequence" in said else None,
    )


def encode(
    values: NDArray[Any], *, time_tag: int, timestamp: float, last_block_time: float, sequence: int | None = None
) -> list[bytes | memoryview]:
    """Return the three parts of a message.

    Parameters
    ----------
    values : ndarray, shape (n_beams, n_channels, n_polarizations)
        Contiguous; the third part is a view of it.
    time_tag, timestamp, last_block_time, sequence
        As in `Spectrum`; without a sequence the header is exactly the recorder's.
    """
    header = {
        "time_tag": time_tag,
        **dict(zip(_SIZES, values.shape, strict=True)),
        "timestamp": timestamp,
        "last_block_time": block_time_text(last_block_time),
        "data_shape": values.shape,
        "data_type": values.dtype.str,
    }
    if sequence is not None:
        header["sequence"] = sequence
    return [TOPIC, orjson.dumps(header), values.data.cast("B")]


def block_time_text(time: float) -> str:
    """Return a time, s since 1970-01-01 UTC, as headers have it: without a fraction when there are no microseconds."""
    return str(datetime.fromtimestamp(time, UTC).replace(tzinfo=None))


def time_of_tag(time_tag: int) -> float:
    """Return the time of a ``time_tag``, s since 1970-01-01 UTC."""
    return time_tag / TICKS_PER_SECOND


def _header(raw: bytes) -> dict[str, Any]:
    if len(raw) > _LONGEST_HEADER:
        raise MalformedMessage(f"the header has {len(raw)} bytes, {_LONGEST_HEADER} are allowed", kind="header")
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError as e:
        raise MalformedMessage(f"the header is no JSON: {e}", kind="header") from None
    if not isinstance(said, dict):
        raise MalformedMessage("the header is no JSON object", kind="header")
    return said


def _shape(said: dict[str, Any]) -> tuple[int, int, int]:
    shape = said.get("data_shape")
    if not isinstance(shape, list) or len(shape) != len(_SIZES) or not all(type(n) is int and n > 0 for n in shape):
        raise MalformedMessage(f"data_shape is {_quoted(shape)}, three positive integers expected", kind="shape")
    for name, size in zip(_SIZES, shape, strict=True):
        if said.get(name, size) != size:
            raise MalformedMessage(f"{name} is {_quoted(said[name])}, data_shape says {size}", kind="shape")
    return shape[0], shape[1], shape[2]


def _dtype(said: dict[str, Any]) -> np.dtype[Any]:
    name = said.get("data_type")
    if not isinstance(name, str) or name not in _DTYPES:
        raise MalformedMessage(f"data_type is {_quoted(name)}; real numbers like '<f4' are understood", kind="dtype")
    return np.dtype(_DTYPES[name])


def _integer(said: dict[str, Any], key: str) -> int:
    value = said.get(key)
    if type(value) is not int or not _SMALLEST_INT <= value <= _LARGEST_INT:
        raise MalformedMessage(f"{key} is {_quoted(value)}, an integer expected", kind=key)
    return value


def _time(said: dict[str, Any]) -> float:
    value = said.get("timestamp")
    if not isinstance(value, float | int) or isinstance(value, bool) or not _EARLIEST <= value <= _LATEST:
        raise MalformedMessage(f"timestamp is {_quoted(value)}, seconds since 1970 expected", kind="timestamp")
    return float(value)


def _block_time(said: dict[str, Any], otherwise: float) -> float:
    text = said.get("last_block_time")
    if text is None:
        return otherwise
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise MalformedMessage(
            f"last_block_time is {_quoted(text)}, 'YYYY-MM-DD HH:MM:SS.ffffff' expected", kind="last_block_time"
        ) from None


def _quoted(value: object) -> str:
    try:
        text = repr(value)
    except RecursionError:
        return "something deep"
    return text if len(text) <= 60 else f"{text[:57]}…"
