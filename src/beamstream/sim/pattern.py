"""Pictures whose pixels tell which exposure they are, made with one memcpy a frame."""

import math
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import ColorMode, Geometry

STAMP_PIXELS = 42  # one white, one black, 32 bits of the id, 8 bits to check them
_STEPS = 250  # of brightness, from black to white
_PERIOD = 4099  # offsets of the window; prime, so that no frame rate strobes with it
_PERIOD_RGB2 = 61  # there an offset is a whole row, which costs memory
_LEVELS: dict[str, tuple[float, float]] = {
    # darkest and brightest pixel by dtype; every byte of a pixel changes, signed types go below zero
    "u1": (0, 250),
    "i1": (-100, 120),
    "u2": (0, 40_000),
    "i2": (-8_000, 30_000),
    "u4": (0, 3.2e9),
    "i4": (-5e8, 2e9),
    "u8": (0, 1.5e19),
    "i8": (-2e18, 9e18),
    "f4": (-10.0, 1000.0),
    "f8": (-10.0, 1000.0),
}


def levels(dtype: str) -> tuple[float, float]:
    """Return the darkest and the brightest value that a pattern of this dtype contains.

    Raises
    ------
    ValueError
        An NTNDArray cannot carry pixels of this type.
    """
    try:
        return _LEVELS[np.dtype(dtype).str[1:]]
    except KeyError:
        raise ValueError(f"pattern: pixels of {dtype!r} asked for, what there is: {', '.join(_LEVELS)}") from None


class Pattern:
    """Make pictures that can be checked pixel by pixel, wherever they turn up.

    A picture is a pure function of geometry (shape, dtype, colour mode) and id: whoever knows both can
    make it again and compare. It is a window into one periodic buffer, so a frame costs one memcpy.

    Parameters
    ----------
    geometry : Geometry
        Integer of 1 to 8 bytes or float of 4 or 8; at least `STAMP_PIXELS` values. The codec is ignored.

    Raises
    ------
    ValueError
        The geometry contradicts itself or is too small for the stamp.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self._low, self._high = levels(geometry.dtype)
        n_rows, n_cols, _ = _axes(geometry)
        self._size = int(np.prod(geometry.shape))
        if self._size < STAMP_PIXELS:
            raise ValueError(f"pattern: {geometry} asked for, the stamp needs {STAMP_PIXELS} values; make it larger")
        self._period, self._step = _window_steps(geometry.color_mode, n_cols)
        scene = _scene(n_rows, n_cols, geometry).reshape(-1)
        np.rint(scene * _STEPS, out=scene)  # in steps, so that it compresses as well as a real picture
        scene += np.resize(_noise(), scene.size)
        scene /= _STEPS
        scene *= self._high - self._low
        scene += self._low
        pixels = scene.astype(geometry.dtype)
        self._buffer = np.resize(pixels, self._size + self._period * self._step)

    def image(self, unique_id: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the picture of this id.

        Parameters
        ----------
        unique_id : int
            0 to 2³¹ − 1, what an NTNDArray's ``uniqueId`` can hold.
        out : ndarray, optional
            C-contiguous memory to draw into, in the geometry's shape and dtype; saves an allocation,
            which costs more than the copy.

        Returns
        -------
        ndarray
            The caller's own, in the geometry's shape and dtype.
        """
        offset = unique_id % self._period * self._step
        image = np.empty(self.geometry.shape, self.geometry.dtype) if out is None else out
        flat = image.reshape(-1)
        flat[:] = self._buffer[offset : offset + self._size]
        flat[:STAMP_PIXELS] = np.where(_stamp(unique_id), self._high, self._low)
        return image

    @staticmethod
    def read_unique_id(image: NDArray[Any]) -> int:
        """Read the id back from the pixels; see `read_unique_id`."""
        return read_unique_id(image)


def read_unique_id(image: NDArray[Any]) -> int:
    """Read from a picture which exposure it is.

    The stamp carries its own white and black, so the picture may have been converted, scaled, flat-fielded
    or pressed through JPEG; it must not have been turned or cropped.

    Raises
    ------
    ValueError
        There is no stamp in the first pixels, or it is damaged.
    """
    pixels = np.asarray(image.flat[:STAMP_PIXELS], dtype=float)
    if pixels.size == STAMP_PIXELS and pixels[0] > pixels[1]:
        bits = pixels > (pixels[0] + pixels[1]) / 2
        packed = np.packbits(bits[2:]).tobytes()
        if zlib.crc32(packed[:4]) & 0xFF == packed[4]:
            return struct.unpack(">I", packed[:4])[0]
    raise ValueError(
        f"pattern: the id of an image of shape {image.shape} asked for, there is no stamp in its first "
        f"{STAMP_PIXELS} values; is it a simulated image, neither turned nor cropped?"
    )


def _stamp(unique_id: int) -> NDArray[np.bool_]:
    if not 0 <= unique_id < 2**31:
        raise ValueError(f"pattern: id {unique_id} asked for, an NTNDArray holds 0 to 2³¹ − 1")
    word = struct.pack(">I", unique_id)
    bits = np.unpackbits(np.frombuffer(word + bytes([zlib.crc32(word) & 0xFF]), np.uint8))
    return np.concatenate(([True, False], bits.astype(bool)))


def _axes(geometry: Geometry) -> tuple[int, int, int]:
    """Return rows, columns and values a pixel."""
    shape, mode = geometry.shape, geometry.color_mode
    if mode == ColorMode.MONO and shape and min(shape) > 0:  # a trace is one row, planes lie one above the other
        return math.prod(shape[:-1]), shape[-1], 1
    axis = {ColorMode.RGB1: 2, ColorMode.RGB2: 1, ColorMode.RGB3: 0}.get(mode)
    if len(shape) != (2 if axis is None else 3) or min(shape) < 1 or (axis is not None and shape[axis] != 3):
        raise ValueError(f"pattern: shape {shape} asked for with colour mode {mode}; they do not fit each other")
    n_rows, n_cols = (n for i, n in enumerate(shape) if i != axis)
    return n_rows, n_cols, 1 if axis is None else 3


def _window_steps(mode: ColorMode, n_cols: int) -> tuple[int, int]:
    """Return how many offsets there are, and how many values one is: a colour must stay that colour."""
    if mode == ColorMode.RGB2:
        return _PERIOD_RGB2, 3 * n_cols
    return _PERIOD, {ColorMode.RGB1: 3, ColorMode.BAYER: 2}.get(mode, 1)


def _scene(n_rows: int, n_cols: int, geometry: Geometry) -> NDArray[Any]:
    """Draw diffraction spots on a slow gradient, 0 to 0.96, periodic in both directions."""
    # above two bytes a float32 would leave the low ones zero
    precision = np.float32 if np.dtype(geometry.dtype).itemsize <= 2 else np.float64
    y = np.linspace(0, 2 * np.pi, n_rows, endpoint=False)
    x = np.linspace(0, 2 * np.pi, n_cols, endpoint=False)

    def plane(phase: float) -> NDArray[Any]:
        spots = np.outer(_peaks(y, phase), _peaks(x, phase)).astype(precision)
        spots *= 0.5
        spots += (0.23 + 0.23 * np.sin(y + phase))[:, None].astype(precision)
        return spots

    mode = geometry.color_mode
    if mode in (ColorMode.MONO, ColorMode.BAYER):
        return plane(0.0)
    planes = [plane(0.8 * colour) for colour in range(3)]
    return np.stack(planes, axis={ColorMode.RGB1: 2, ColorMode.RGB2: 1, ColorMode.RGB3: 0}[mode])


def _peaks(angle: NDArray[Any], phase: float) -> NDArray[Any]:
    return (0.5 + 0.5 * np.cos(5 * angle + phase)) ** 6


def _noise() -> NDArray[Any]:
    """Return a little texture, 0 to 6 steps, mostly 0."""
    return np.random.default_rng(1).poisson(0.04, 8191).clip(0, 2).astype(np.float32) * 3
