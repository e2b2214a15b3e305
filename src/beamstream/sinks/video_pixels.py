"""From a frame to the picture that a video codec takes, by a rule that is declared."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import SinkError
from beamstream.film import pyav
from beamstream.frames import ColorMode, Geometry

Window = tuple[float, float]
"""Values that become 0 and 255."""

_COLOUR_AXIS = {ColorMode.RGB1: 2, ColorMode.RGB2: 1, ColorMode.RGB3: 0}
_NEUTRAL = 128


class Pictures:
    """Make pictures of the frames of one geometry.

    Parameters
    ----------
    geometry : Geometry
    exact : bool
        Whether every value has to come back; otherwise pictures are 4:2:0, which all players show, with a row and a
        column more where the frame's are odd.
    deep : bool
        Whether the codec takes 16 bits.
    window : tuple of float, optional
        Values that become 0 and 255, linearly; what lies outside becomes one of these, NaN becomes 0.
    who : str
        For errors.

    Attributes
    ----------
    pix_fmt : str
        FFmpeg's name of the pixels.
    width, height : int
        Of the pictures.

    Raises
    ------
    SinkError
        Such frames cannot become pictures, or only with a window.
    """

    def __init__(self, geometry: Geometry, *, exact: bool, deep: bool, window: Window | None, who: str) -> None:
        self._av = pyav(who, SinkError)
        self._colour_axis = _COLOUR_AXIS.get(geometry.color_mode)
        self._window = window
        dtype = np.dtype(geometry.dtype) if window is None else np.dtype(np.uint8)
        _check(geometry, dtype, deep, window, who)
        rows_and_cols = [n for axis, n in enumerate(geometry.shape) if axis != self._colour_axis]
        self._n_rows, self._n_cols = rows_and_cols
        self.height, self.width = rows_and_cols
        self._dtype = dtype.newbyteorder("<")
        if self._colour_axis is None:
            self.pix_fmt = "yuv420p" if not exact else "gray" if dtype.itemsize == 1 else "gray16le"
        else:
            self.pix_fmt = "yuv420p" if not exact else "bgr0" if dtype.itemsize == 1 else "gbrp16le"
        if not exact:
            self.height += self.height % 2
            self.width += self.width % 2

    @property
    def rgb(self) -> bool:
        """Whether the codec is given red, green and blue, and nothing made of them."""
        return self.pix_fmt in ("bgr0", "gbrp16le")

    def picture(self, image: NDArray[Any]) -> Any:
        """Return an image as an ``av.VideoFrame`` in memory of its own."""
        if self._window is not None:
            image = to_8_bit(image, self._window)
        if self._colour_axis is None:
            return self._grey(image)
        return self._coloured(np.moveaxis(image, self._colour_axis, 2))

    def _grey(self, image: NDArray[Any]) -> Any:
        frame = self._av.VideoFrame(self.width, self.height, self.pix_fmt)
        self._fill(frame.planes[0], image)
        for plane in frame.planes[1:]:
            np.frombuffer(plane, np.uint8)[:] = _NEUTRAL
        frame.color_range = 2  # full
        return frame

    def _coloured(self, image: NDArray[Any]) -> Any:
        fmt = self.pix_fmt if self.rgb else "rgb24"
        frame = self._av.VideoFrame(self.width, self.height, fmt)
        if fmt == "gbrp16le":
            for plane, colour in zip(frame.planes, (1, 2, 0), strict=True):
                self._fill(plane, image[..., colour])
            return frame
        width = 4 if fmt == "bgr0" else 3
        rows = _rows(frame.planes[0], self.height, np.dtype(np.uint8))[:, : self.width * width]
        pixels = rows.reshape(self.height, self.width, width)
        pixels[: self._n_rows, : self._n_cols, :3] = image[..., ::-1] if fmt == "bgr0" else image
        if fmt == "bgr0":
            pixels[..., 3] = 0
            return frame
        _repeat_edges(pixels, self._n_rows, self._n_cols)
        return frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="JPEG")

    def _fill(self, plane: Any, image: NDArray[Any]) -> None:
        pixels = _rows(plane, self.height, self._dtype)[:, : self.width]
        pixels[: self._n_rows, : self._n_cols] = image
        _repeat_edges(pixels, self._n_rows, self._n_cols)


def to_8_bit(image: NDArray[Any], window: Window) -> NDArray[np.uint8]:
    """Return the values between both ends of a window as 0 to 255, rounded; what lies outside as the nearer end."""
    low, high = window
    scaled = (image.astype(np.float64) - low) * (255 / (high - low))
    return np.rint(np.clip(np.nan_to_num(scaled, nan=0.0), 0, 255)).astype(np.uint8)


def _rows(plane: Any, height: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the memory of a plane, (rows, pixels and what fills the line up)."""
    return np.frombuffer(plane, np.uint8).reshape(height, plane.line_size).view(dtype)


def _repeat_edges(pixels: NDArray[Any], n_rows: int, n_cols: int) -> None:
    """Fill what the frame leaves of a picture with its last row and column: black would shine into them."""
    pixels[:n_rows, n_cols:] = pixels[:n_rows, n_cols - 1 : n_cols]
    pixels[n_rows:] = pixels[n_rows - 1 : n_rows]


def _check(geometry: Geometry, dtype: np.dtype[Any], deep: bool, window: Window | None, who: str) -> None:
    axes = 2 if geometry.color_mode in (ColorMode.MONO, ColorMode.BAYER) else 3
    colours = 3 if axes == 2 else geometry.shape[_COLOUR_AXIS[geometry.color_mode]]
    if len(geometry.shape) != axes or colours != 3 or 0 in geometry.shape:
        raise SinkError(f"{who}: frames of {geometry} to keep in a film, which takes pictures; use hdf5 or zarr")
    if window is not None and not window[0] < window[1]:
        raise SinkError(f"{who}: window {window[0]:g}, {window[1]:g} asked for; the first has to be less")
    if dtype.kind == "u" and dtype.itemsize <= (2 if deep else 1):
        return
    takes, other = ("8 or 16 bit", "") if deep else ("8 bit", ", or keep them as they are in an .mkv (ffv1)")
    raise SinkError(
        f"{who}: frames of {geometry} to keep in a film, which takes {takes} without a sign; say which values become "
        f"black and white, like window 0,4095{other}"
    )
