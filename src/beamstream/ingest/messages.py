"""What clients may say: every message of the protocol, checked and bounded before anybody looks at it."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

MOST_PIXELS = 1 << 32
"""Bytes of pixels that one chunk may hold."""
MOST_FRAME = 1 << 28
"""Bytes of pixels that one frame may hold: who reads it needs that much memory, however little was sent."""
MOST_FRAMES = 100_000
"""Frames of a chunk: its index has room for all of them, however few come."""
_SHARD_NAME = re.compile(r"frames\.zarr/frames/c/(0|[1-9][0-9]{0,6})/0/0", re.ASCII)
_DIMS = re.compile(r"([1-9][0-9]{0,5}),([1-9][0-9]{0,4}),([1-9][0-9]{0,4})", re.ASCII)
_LATEST = 8_000_000_000  # s since 1970-01-01 UTC, in the year 2223: numpy's dates in nanoseconds end soon after
_MOST_MS = 1 << 53  # whole milliseconds that a double knows

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Text = Annotated[str, StringConstraints(max_length=500)]
Milliseconds = Annotated[int, Field(ge=-_MOST_MS, le=_MOST_MS)]
Moment = Annotated[int, Field(ge=0, le=_LATEST * 1000)]
Number = Annotated[int, Field(ge=0, lt=10_000_000)]
Rate = Annotated[float, Field(ge=0, le=1e9)]
FrameRate = Annotated[float, Field(ge=1e-6, le=1e6)]


def _a_cube(dims: str) -> str:
    if _DIMS.fullmatch(dims) is None:
        raise ValueError("dims reads frames,rows,columns, like 240,300,500")
    return dims


class Message(BaseModel):
    """Take what is needed and ignore the rest: a newer client may say more."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class NewStream(Message):
    """Ask for a RHEED stream; `rotational_period` is in frames a turn."""

    data_item_name: Text = ""
    rotational_period: Rate | None = None
    rotations_per_min: Rate = 0.0
    fps_capture_rate: FrameRate
    project_id: Text | None = None
    azimuth_label: Text | None = None


class Named(Message):
    """Name a physical sample or a tag that is to be made."""

    name: Name


class SampleLink(Message):
    """Say which sample data came from."""

    data_ids: Annotated[list[Id], Field(min_length=1, max_length=1000)]
    physical_sample_id: Id


class TagLinks(Message):
    """Say which tags data has."""

    data_ids: Annotated[list[Id], Field(min_length=1, max_length=1000)]
    tag_ids: Annotated[list[Id], Field(max_length=1000)]


class Tracking(Message):
    """Add a sample to those that a project follows."""

    physical_sample_id: Id
    set_active: bool = False


class ChunkMessage(Message):
    """Describe a chunk that is about to come; on the wire every value is text."""

    data_id: Id
    data_stream: Literal["rheed"] = "rheed"
    raw_frame_rate: FrameRate
    chunk_size: Annotated[int, Field(ge=1, le=999_999)]
    dims: Annotated[str, AfterValidator(_a_cube)]
    start_unix_ms_utc: Moment
    end_unix_ms_utc: Moment
    clock_offset_ms: Milliseconds | None = None
    clock_uncertainty_ms: Annotated[float, Field(ge=0, le=_MOST_MS)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        frames, rows, columns = self.cube
        if frames > self.chunk_size:
            raise ValueError(f"dims says {frames} frames, chunk_size {self.chunk_size}; send at most chunk_size")
        if self.chunk_size * rows * columns > MOST_PIXELS:
            raise ValueError(f"chunk_size × rows × columns is more than {MOST_PIXELS}; use a smaller chunk_size")
        if self.chunk_size > MOST_FRAMES:
            raise ValueError(f"chunk_size is more than {MOST_FRAMES}; use a smaller chunk_size")
        if rows * columns > MOST_FRAME:
            raise ValueError(f"rows × columns is more than {MOST_FRAME}; send smaller frames")
        if self.end_unix_ms_utc < self.start_unix_ms_utc:
            raise ValueError("end_unix_ms_utc lies before start_unix_ms_utc")
        return self

    @property
    def cube(self) -> tuple[int, int, int]:
        """Frames, rows and columns."""
        found = _DIMS.fullmatch(self.dims)
        assert found is not None
        return int(found[1]), int(found[2]), int(found[3])


class NewReadings(Message):
    """Ask for a time series."""

    stream_name: Text | None = None
    synth_source_id: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | None = None
    points_per_chunk: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    project_id: Text | None = None


Values = Annotated[list[float | None], Field(max_length=1_000_000)]
"""Null is what JSON makes of NaN."""
Times = Annotated[list[Annotated[float, Field(ge=0, le=_LATEST)]], Field(max_length=1_000_000)]


class Channel(Message):
    """Readings of one channel; times in s since 1970-01-01 UTC."""

    timestamps: Times
    values: Values
    units: Text | None = None

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if len(self.timestamps) != len(self.values):
            raise ValueError(f"{len(self.timestamps)} timestamps and {len(self.values)} values; send pairs")
        return self


class ReadingsChunk(Channel):
    """Readings of one channel, and which they are."""

    data_id: Id
    chunk_index: Number
    channel_name: Name


class ReadingsChunks(Message):
    """Readings of several channels, and which they are."""

    data_id: Id
    chunk_index: Number
    channels: Annotated[dict[Name, Channel], Field(max_length=1000)]


def shard_number(filename: str) -> int | None:
    """Return which chunk a file name means, ``frames.zarr/frames/c/17/0/0``; None when it is another name."""
    found = _SHARD_NAME.fullmatch(filename)
    return int(found[1]) if found else None
