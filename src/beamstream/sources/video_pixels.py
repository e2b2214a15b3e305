"""From a decoded picture of a film to the values of a frame: as they are, or by a rule that somebody declared."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import NotAnImage
from beamstream.film import FilmNotes
from beamstream.frames import ColorMode
from beamstream.sources.grey import Grey, to_grey
from beamstream.sources.video_orientation import AS_STORED, orientation_of

Limited = Literal["error", "keep", "expand"]
"""What becomes of a film whose black is 16 and whose white is 235."""

_FULL = 2  # FFmpeg's AVCOL_RANGE_JPEG
_SHUFFLED = {"yuyv422": "yuv422p", "uyvy422": "yuv422p", "yvyu422": "yuv422p", "uyyvyy411": "yuv411p"}
_LUMA_FIRST = ("yuv", "yuvj", "nv12", "nv16", "nv21", "nv24")
_COLOUR_AXIS = {ColorMode.RGB2: 1, ColorMode.RGB3: 0}
_BLACK, _SPAN = 16, 219  # of limited range, for 8 bits


class PictureReader:
    """Make images of the pictures of one film.

    Grey pictures are taken as they are, of 8 to 16 bits. In a film of ours the notes say what a picture was. Pictures
    are turned and mirrored by the metadata of the film, as players do.

    Parameters
    ----------
    grey : Grey
        What becomes of colours; ``"luma"`` takes the Y of the film where it has one.
    limited : Limited
        What becomes of grey values in limited range: ``"expand"`` makes 0 to 255 of 16 to 235 (and so on for more
        bits), ``"keep"`` leaves them, ``"error"`` refuses them. Red, green and blue have full range always.
    notes : FilmNotes or None
    who : str
        For errors.
    """

    def __init__(self, grey: Grey, limited: Limited, notes: FilmNotes | None, who: str) -> None:
        self._grey: Grey = grey
        self._limited = limited
        self._notes = notes
        self._who = who
        self.orientation = AS_STORED
        """How the last picture was turned, by its metadata."""

    def image(self, picture: Any) -> tuple[NDArray[Any], ColorMode]:
        """Return the values of a picture in memory of their own, read-only, and how its colours lie.

        Raises
        ------
        NotAnImage
            No rule was declared for such pictures.
        """
        self.orientation = orientation_of(picture, self.orientation)
        image, mode = self._of_ours(picture, self._notes) if self._notes is not None else self._of_any(picture)
        image.flags.writeable = False
        return image, mode

    def _of_ours(self, picture: Any, notes: FilmNotes) -> tuple[NDArray[Any], ColorMode]:
        mode = ColorMode(notes.color_mode)
        if mode in (ColorMode.MONO, ColorMode.BAYER):
            n_rows, n_cols = notes.shape
            return self.orientation.apply(self._leveled(picture)[:n_rows, :n_cols].copy()), mode
        axis = _COLOUR_AXIS.get(mode, 2)
        n_rows, n_cols = (n for i, n in enumerate(notes.shape) if i != axis)
        image = self.orientation.apply(_rgb(picture)[:n_rows, :n_cols])
        if self._grey not in ("error", "keep"):
            return to_grey(image, self._grey), ColorMode.MONO
        return np.moveaxis(image, 2, axis).copy(), mode

    def _of_any(self, picture: Any) -> tuple[NDArray[Any], ColorMode]:
        image, mode = self._as_stored(picture)
        return self.orientation.apply(image), mode

    def _as_stored(self, picture: Any) -> tuple[NDArray[Any], ColorMode]:
        name = picture.format.name
        if name.startswith("bayer"):
            return _luma(picture).copy(), ColorMode.BAYER
        if name.startswith("gray"):
            return self._leveled(picture), ColorMode.MONO
        if name in ("monow", "monob"):
            return picture.to_ndarray(format="gray"), ColorMode.MONO
        if self._grey == "error":
            raise NotAnImage(
                f"{self._who}: the film's pictures are {name}, which has colours; say what becomes of them: "
                'grey = "luma", "mean", "red", "green" or "blue", or grey = "keep" for all three'
            )
        if self._grey == "luma" and (name.startswith(_LUMA_FIRST) or name in _SHUFFLED):
            return self._leveled(picture), ColorMode.MONO
        return to_grey(_rgb(picture), self._grey), ColorMode.RGB1 if self._grey == "keep" else ColorMode.MONO

    def _leveled(self, picture: Any) -> NDArray[Any]:
        luma = _luma(picture).copy()
        if _is_full(picture) or self._limited == "keep":
            return luma
        if self._limited == "error":
            raise NotAnImage(
                f"{self._who}: the film's values have limited range ({picture.format.name}, black is 16, white 235); "
                'say what becomes of them: limited = "expand" makes 0 to 255 of that, limited = "keep" leaves them'
            )
        scale = 1 << (picture.format.components[0].bits - 8)
        top = 256 * scale - 1
        values = (luma.astype(np.float64) - _BLACK * scale) * (top / (_SPAN * scale))
        return np.rint(np.clip(values, 0, top)).astype(luma.dtype)


def _is_full(picture: Any) -> bool:
    """Whether values reach from 0 to the top; grey ones do unless the film says otherwise, Y unless it says so."""
    name = picture.format.name
    if name.startswith("gray") or name.startswith("yuvj"):
        return picture.color_range in (0, _FULL) or name.startswith("yuvj")
    return picture.color_range == _FULL


def _luma(picture: Any) -> NDArray[Any]:
    """Return the first plane of a picture, a view in little-endian numbers."""
    name = picture.format.name
    if name in _SHUFFLED:
        picture = picture.reformat(format=_SHUFFLED[name], src_color_range=_FULL, dst_color_range=_FULL)
    bits = picture.format.components[0].bits
    kind = "u1" if bits <= 8 else "f4" if bits == 32 else "u2"
    dtype = np.dtype((">" if picture.format.is_big_endian else "<") + kind)
    plane = picture.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: picture.height].view(dtype)
    return rows[:, : picture.width].astype(dtype.newbyteorder("<"), copy=False)


def _rgb(picture: Any) -> NDArray[Any]:
    """Return a picture as RGB1 of full range, with 16 bits if it has more than 8."""
    deep = any(component.bits > 8 for component in picture.format.components)
    return picture.to_ndarray(format="rgb48le" if deep else "rgb24")
