"""What may be said to the viewer: JSON, each kind checked to the last key before anything is done."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from beamstream.frames import ColorMode

MOST_BYTES = 256 * 1024
"""Of one message."""

Word = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(max_length=400)]
Path = Annotated[str, Field(min_length=1, max_length=4096)]
Size = Annotated[int, Field(ge=1, le=2**20)]
Index = Annotated[int, Field(ge=0, le=2**40)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Places = Annotated[tuple[Index, ...], Field(max_length=8)]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hello(_Checked):
    """Is it the right one, and is it ready?"""

    do: Literal["hello"]


class Watch(_Checked):
    """Show what a source sends, run or no run: `name` and `about` are a `StreamSpec`'s."""

    do: Literal["watch"]
    name: Word
    about: dict[str, Any]


class Forget(_Checked):
    """Show a watched source no more."""

    do: Literal["forget"]
    name: Word


class Begin(_Checked):
    """A run begins; `time` is its start, s since 1970-01-01 UTC."""

    do: Literal["begin"]
    run: Word
    scan_id: int = 0
    plan: Text = ""
    time: Number = 0.0


class Axis(_Checked):
    """One dimension of a run; a `size` of 0 grows with what comes."""

    name: Word
    size: Annotated[int, Field(ge=0, le=2**31)] = 0


class Source(_Checked):
    """Images will come of a run: what they are like, and in which ring of which process they pass."""

    do: Literal["source"]
    run: Word
    key: Word
    name: Word
    ring: Annotated[str, Field(max_length=200)] = ""
    owner: Annotated[int, Field(ge=0)] = 0
    shape: Annotated[tuple[Size, ...], Field(min_length=1, max_length=10)]
    dtype: Annotated[str, Field(pattern=r"^[<>|][uif][1248]$")]
    color_mode: ColorMode = ColorMode.MONO
    axes: Annotated[tuple[Axis, ...], Field(min_length=1, max_length=8)]
    units: dict[Word, Annotated[str, Field(max_length=40)]] = {}
    pixel_size: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] | None = None
    pixel_units: Annotated[str, Field(max_length=40)] = ""


class Rows(_Checked):
    """Rows up to `stop` are in a file."""

    do: Literal["rows"]
    run: Word
    key: Word
    path: Path
    dataset: Path
    stop: Index


class Place(_Checked):
    """Where a row belongs, and what was read there, by data key."""

    row: Index
    place: Places
    values: dict[Word, Number] = {}


class At(_Checked):
    """Rows of a scan stand at these places."""

    do: Literal["at"]
    run: Word
    key: Word
    places: Annotated[list[Place], Field(max_length=1000)]


class Regions(_Checked):
    """Rectangles on the images, by name: first row, first column, rows, columns."""

    do: Literal["regions"]
    run: Word
    key: Word
    regions: Annotated[dict[Word, tuple[Number, Number, Number, Number]], Field(max_length=200)]


class Points(_Checked):
    """Points on the images, by name: row, column; and numbers about the newest frame."""

    do: Literal["points"]
    run: Word
    key: Word
    points: Annotated[dict[Word, tuple[Number, Number]], Field(max_length=1000)]
    table: Annotated[dict[Word, Number], Field(max_length=200)] = {}


class End(_Checked):
    """A run has ended."""

    do: Literal["end"]
    run: Word
    words: Text = ""


class Follow(_Checked):
    """Go to the newest, and stay there."""

    do: Literal["follow"]


class Go(_Checked):
    """Move a slider, as a hand does."""

    do: Literal["go"]
    axis: Annotated[int, Field(ge=0, le=15)]
    step: Index


class State(_Checked):
    """Say what is shown."""

    do: Literal["state"]


class Measure(_Checked):
    """Forget how old frames were when they were drawn: what `State` says of it is measured anew."""

    do: Literal["measure"]


class Picture(_Checked):
    """Write the whole window, or the canvas alone, to a PNG file that is not there yet."""

    do: Literal["picture"]
    path: Path
    canvas_only: bool = False


class Close(_Checked):
    """Close the viewer."""

    do: Literal["close"]


Message = (
    Hello
    | Watch
    | Forget
    | Begin
    | Source
    | Rows
    | At
    | Regions
    | Points
    | End
    | Follow
    | Go
    | State
    | Measure
    | Picture
    | Close
)
_ANY: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="do")])


def checked(said: dict[str, Any]) -> Message:
    """Return a message.

    Raises
    ------
    pydantic.ValidationError
        It is none; says which key is wrong.
    """
    return _ANY.validate_python(said)
