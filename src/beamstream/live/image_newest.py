"""The newest frame of a stream, and everything that was made of it for pages: each once, however many ask."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from beamstream.frames import ColorMode, Frame
from beamstream.live.image_notes import notes_of
from beamstream.live.image_pixels import Array, Pixels, Quality, pixels_of, plain
from beamstream.live.image_wish import Region, Treated, Wish


@dataclass(frozen=True, slots=True)
class Made:
    """An image to be shown, and what was done to it; see `beamstream.watching.corrections.Corrections`.

    `words` are what of an array it shows, where that is not all of it, see `beamstream.ops.picture.picture_of`, and
    `whole` is that array then.
    """

    image: Array
    note: str = ""
    failed: bool = False
    used: Mapping[str, str | None] = field(default_factory=dict)
    words: str = ""
    whole: Array | None = None

    @property
    def treated(self) -> bool:
        """Whether pixels were changed."""
        return any(self.used.values())


def made_of(
    image: Array, mode: ColorMode, note: str = "", failed: bool = False, used: Mapping[str, str | None] | None = None
) -> Made:
    """Return what is shown of an array.

    Raises
    ------
    ValueError
        There is nothing to look at.
    """
    shown, words = plain(image, mode)
    return Made(shown, note, failed, used or {}, words, image if words else None)


_MOST_MADE = 16  # of one frame: a page that zooms about in a paused frame asks for more and more


class Newest:
    """One frame, whole; for one thread.

    Parameters
    ----------
    frame : Frame
        Our own copy.
    index : int
        In its ring.
    epoch : int
        Changes with the geometry and with the ring.
    treat : callable
        Returns the image after flat field and pipeline.

    Raises
    ------
    ValueError
        It is no image.
    CodecError
        It cannot be decoded.
    """

    def __init__(self, frame: Frame, index: int, epoch: int, treat: Callable[[Frame, Treated], Made]) -> None:
        self.frame, self.index, self.epoch = frame, index, epoch
        self._treat = treat
        self._plain = made_of(frame.image, frame.geometry.color_mode)
        self._made: dict[Treated, Made] = {}
        self._pixels: dict[tuple[Treated, Region, Quality], Pixels] = {}
        self._notes: dict[tuple[Any, ...], bytes] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._plain.image.shape[0], self._plain.image.shape[1]

    @property
    def nbytes(self) -> int:
        """Memory that it keeps, bytes."""
        return self.frame.payload.nbytes + (self.frame.geometry.nbytes if self.frame.geometry.codec else 0)

    def made(self, treated: Treated) -> Made:
        """Return the image as it is to be shown; valid until `forget`."""
        if not any(treated):
            return self._plain
        if treated not in self._made:
            self._made[treated] = self._treat(self.frame, treated)
        return self._made[treated]

    def pixels(self, treated: Treated, region: Region, quality: Quality) -> Pixels:
        """Return the pixels of a region."""
        key = treated, region, quality
        if key not in self._pixels:
            _bound(self._pixels)
            self._pixels[key] = pixels_of(self.made(treated).image, region, quality)
        return self._pixels[key]

    def notes(self, wish: Wish, skipped: int) -> bytes:
        """Return what a page wants to know of the whole frame, as JSON; computed once for equal wishes."""
        key = wish.treated, wish.cross, wish.areas, wish.lines
        if key not in self._notes:
            _bound(self._notes)
            made = self.made(wish.treated)
            document = {**notes_of(made.image, wish), "shows": made.words}
            self._notes[key] = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)[:-1]
        return b'%b,"skipped":%d}' % (self._notes[key], skipped)

    def notes_alone(self, wish: Wish, skipped: int) -> str:
        """Return them as a message of their own."""
        head = f'{{"is":"notes","index":{self.index},"unique_id":{self.frame.unique_id},'
        return head + self.notes(wish, skipped)[1:].decode()

    def forget(self) -> None:
        """Let go of what was made; it is made again where it is asked for."""
        self._made.clear()
        self._pixels.clear()
        self._notes.clear()


def _bound(made: dict[Any, Any]) -> None:
    """Make room for one more; the oldest goes."""
    if len(made) >= _MOST_MADE:
        del made[next(iter(made))]
