"""FlatField: take the illumination and the pixels' own response out of a frame."""

import math
import os
import threading
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import CalibrationError, WrongGeometry
from beamstream.frames import ColorMode
from beamstream.ops.base import Meta
from beamstream.ops.dtypes import for_fractions

Array = NDArray[Any]
DType = np.dtype[Any]

_COLOURS = {ColorMode.RGB1: 2, ColorMode.RGB2: 1, ColorMode.RGB3: 0}  # axis
_LARGEST_GAIN = 2.0**63  # no integer times this overflows float32
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_WORTH_A_THREAD = 1 << 20  # pixels; below, starting a thread takes longer than it saves
_NO_META: Meta = MappingProxyType({})


class FlatField:
    """Make the illumination even: ``(raw - dark) / (flat - dark) * mean(flat - dark)``, an `Op`.

    Without a dark ``raw / flat * mean(flat)``, without a flat ``raw - dark``. The mean is over live pixels: one for
    each colour in the modes RGB1, RGB2 and RGB3, which keeps the colour of the lamp; otherwise one for the image. So
    it is for Bayer: its four kinds of pixels come out equally bright under the flat's lamp, which is a white balance.

    A pixel is dead where ``flat - dark`` is zero, negative, not finite or 2⁶³ times below the mean.

    Results agree with the formula in float64: float32 within 3e-7 of the value; integers exactly, except where the
    value lies within 1e-6 of itself (32 and 64 bit: 1e-14) from a tie. Pixels of up to 16 bit and float32 are
    computed in float32, others in float64. So is everything if the dark does not fit float32, which costs a fifth
    of the speed; a dark that comes as float32 fits.

    One frame at a time, from any thread; the GIL is free meanwhile. The references are copied.

    Parameters
    ----------
    flat, dark : ndarray of real numbers, shape of the frames, optional
        Counts; at least one of them.
    output : {"float32", "raw"}
        ``raw``: the pixel type of each image that comes, byte order included; integers are rounded (ties to even)
        and clipped.
    dead_value : float
        What dead pixels are set to, counts; NaN only with float32.
    color_mode : ColorMode
        Of the frames.
    flat_name, dark_name : str
        Where the references came from, for `describe`.
    threads : int
        Most threads for one frame, that of the caller included; they end with the call.

    Attributes
    ----------
    shape : tuple of int
        Of the frames.
    dead : int
        How many pixels (for RGB: values) are dead.
    means : list of float
        Mean of ``flat - dark`` over live pixels, counts; one for each colour; empty without a flat.

    Raises
    ------
    WrongGeometry
        Flat and dark differ in shape, or it is not one of this colour mode.
    CalibrationError
        All pixels (of one colour) are dead.
    """

    def __init__(
        self,
        flat: Array | None,
        dark: Array | None = None,
        *,
        output: Literal["float32", "raw"] = "float32",
        dead_value: float = 0.0,
        color_mode: ColorMode = ColorMode.MONO,
        flat_name: str = "",
        dark_name: str = "",
        threads: int = 2,
    ) -> None:
        from beamstream.ops import flatfield_kernels

        _check_options(output, dead_value)
        self.output, self.dead_value, self.color_mode = output, float(dead_value), ColorMode(color_mode)
        self.flat_name, self.dark_name = flat_name, dark_name
        self.shape = _common_shape(flat, dark, self.color_mode)
        self._kernels = flatfield_kernels
        self._has_flat = flat is not None
        with np.errstate(all="ignore"):  # what they could complain of is dead
            level = _level(flat, dark)
            live = np.isfinite(level) & (level > 0)
            means = self._means(level, live)
            gain = np.divide(means, level, out=np.zeros(self.shape), where=live)
        gain[gain > _LARGEST_GAIN] = 0.0
        dead = gain == 0.0
        self._gain = gain.ravel()
        self._dark = None if dark is None else np.where(dead, 0.0, dark).astype(np.float64).ravel()
        indices = np.flatnonzero(dead)
        self.dead = int(indices.size)
        self._parts = _parts(dead.size, indices, threads)
        self.means: list[float] = means.ravel().tolist() if self._has_flat else []
        self._references: dict[DType, tuple[Array | None, Array]] = {}
        self._result: Array | None = None
        self._native: Array | None = None

    def prepare(self, dtype: str) -> None:
        """Correct one black frame of this pixel type, so that the first real one need not wait for the compiler.

        Takes a fraction of a second, where the machine code is not in numba's cache yet.
        """
        self.apply(np.zeros(self.shape, dtype))

    def apply(self, image: Array, meta: Meta = _NO_META) -> Array:
        """Return the corrected image; the memory is this op's and reused at the next call.

        A pixel that is NaN or infinite is NaN in float32, and stays what it is in ``raw`` output.

        Raises
        ------
        WrongGeometry
            The image has another shape than flat and dark.
        TypeError
            The pixels are neither integers nor float32 or float64.
        """
        dtype = self.dtype_for(image.dtype)
        if self._result is None or self._result.dtype != dtype:
            self._result = np.empty(self.shape, dtype)
        self.apply_into(image, self._result)
        return self._result

    def apply_into(self, image: Array, out: Array) -> None:
        """Write the corrected image into `out`: contiguous, of the frames' shape and `dtype_for` the image's type.

        `out` may be the image itself, but must not overlap it otherwise. Raises what `apply` raises, and ValueError for
        an `out` that does not fit.
        """
        dtype = self.dtype_for(image.dtype)
        if image.shape != self.shape:
            raise WrongGeometry(
                f"flat field: an image of {image.shape} came, the references have {self.shape}; "
                f"take references with the camera's present binning and region"
            )
        if out.shape != self.shape or out.dtype != dtype or not out.flags.carray:
            raise ValueError(
                f"flat field: {out.shape} {out.dtype} given to write into, {self.shape} {dtype} is made; "
                f"give an array of this shape and type, contiguous, aligned and writable"
            )
        raw = self._as_compiled(image)
        target = out.reshape(-1).view(dtype.newbyteorder("="))
        self._correct(raw, target)
        if not dtype.isnative:
            target.byteswap(inplace=True)

    def dtype_for(self, raw: DType) -> DType:
        """Return the type of the result for images of this type."""
        if raw.kind not in "iu" and raw.newbyteorder("=") not in (np.float32, np.float64):
            raise TypeError(f"flat field: pixels of type {raw} came; integers, float32 or float64 can be corrected")
        return raw if self.output == "raw" else np.dtype(np.float32)

    def describe(self) -> dict[str, Any]:
        """Return what was done to the pixels, in values that JSON can carry."""
        return {
            "name": type(self).__name__,
            "formula": self.formula,
            "flat_name": self.flat_name,
            "dark_name": self.dark_name,
            "output": self.output,
            "color_mode": str(self.color_mode),
            "dead_pixels": self.dead,
            "dead_value": self.dead_value if math.isfinite(self.dead_value) else str(self.dead_value),
            "means": self.means,
        }

    @property
    def formula(self) -> str:
        """What is computed, as text."""
        if not self._has_flat:
            return "I_norm = I_raw - I_dark"
        if self._dark is None:
            return "I_norm = (I_raw / I_flat) * mean(I_flat)"
        return "I_norm = (I_raw - I_dark) / (I_flat - I_dark) * mean(I_flat - I_dark)"

    def _means(self, level: Array, live: NDArray[np.bool_]) -> Array:
        """Return the mean over live pixels, in a shape that broadcasts to the image's."""
        colour = _COLOURS.get(self.color_mode)
        axes = tuple(a for a in range(level.ndim) if a != colour)
        counts = live.sum(axis=axes, keepdims=True)
        means = level.sum(axis=axes, keepdims=True, where=live) / counts
        if not np.isfinite(means).all():
            what = "they sum up beyond float64" if counts.all() else "all pixels are dead"
            raise CalibrationError(
                f"flat field: the mean over live pixels asked for, {what} (live: {counts.ravel().tolist()}, flat "
                f"{self.flat_name!r}, dark {self.dark_name!r}); take a flat that is brighter than its dark"
            )
        return means

    def _correct(self, raw: Array, out: Array) -> None:
        dark, gain = self._references_for(raw.dtype)
        loops = []
        for part, dead in self._parts:
            arrays = (raw[part], None if dark is None else dark[part], gain[part], dead)
            loops.append(partial(self._correct_part, arrays, out[part]))
        others = [threading.Thread(target=loop) for loop in loops[1:]]
        for thread in others:
            thread.start()
        loops[0]()
        for thread in others:
            thread.join()

    def _correct_part(self, arrays: tuple[Array, Array | None, Array, Array], out: Array) -> None:
        real = out.dtype.type
        if self.output == "float32":
            self._kernels.to_float32(*arrays, real(self.dead_value), out)
        elif out.dtype.kind == "f":
            limits = np.finfo(out.dtype)
            self._kernels.to_floats(*arrays, real(self.dead_value), out, limits.min, limits.max)
        else:
            low, high = int(np.iinfo(out.dtype).min), int(np.iinfo(out.dtype).max)
            dead_value = real(min(max(round(self.dead_value), low), high))
            self._kernels.to_integers(*arrays, dead_value, out, real(low), real(high))

    def _references_for(self, raw: DType) -> tuple[Array | None, Array]:
        """Return dark and gain in the type to compute in, made at the first frame."""
        real = for_fractions(raw)
        if real not in self._references:
            gain, dark = self._gain.astype(real, copy=False), self._dark
            if dark is not None:
                with np.errstate(over="ignore"):
                    narrow = dark.astype(real, copy=False)
                dark = _read_only(narrow if np.array_equal(narrow, dark) else dark)
            self._references[real] = (dark, _read_only(gain))
        return self._references[real]

    def _as_compiled(self, image: Array) -> Array:
        """Return the pixels as the loops take them; they are copied only if they have gaps or another byte order."""
        if not (image.flags.c_contiguous and image.flags.aligned and image.dtype.isnative):
            native = image.dtype.newbyteorder("=")
            if self._native is None or self._native.dtype != native:
                self._native = np.empty(self.shape, native)
            np.copyto(self._native, image)
            image = self._native
        return _read_only(np.asarray(image).reshape(-1))


def _check_options(output: str, dead_value: float) -> None:
    if output not in ("float32", "raw"):
        raise ValueError(f"flat field: output {output!r} asked for; float32 or raw is made")
    if not (abs(dead_value) <= _LARGEST_FLOAT32 or (output == "float32" and math.isnan(dead_value))):
        raise ValueError(
            f"flat field: dead_value {dead_value} asked for, output {output!r} cannot hold it; give a number of counts"
        )


def _parts(size: int, dead: Array, threads: int) -> list[tuple[slice, Array]]:
    """Return what each thread works on: its pixels, and which of them are dead."""
    count = max(1, min(threads, os.cpu_count() or 1, size // _WORTH_A_THREAD))
    edges = [size * i // count for i in range(count + 1)]
    return [(slice(a, b), dead[(dead >= a) & (dead < b)] - a) for a, b in pairwise(edges)]


def _common_shape(flat: Array | None, dark: Array | None, color_mode: ColorMode) -> tuple[int, ...]:
    given = [reference for reference in (flat, dark) if reference is not None]
    if not given:
        raise ValueError("flat field: neither a flat nor a dark given; give at least one")
    shape = given[0].shape
    if given[-1].shape != shape:
        raise WrongGeometry(
            f"flat field: a flat of {shape} given with a dark of {given[-1].shape}; take both with the same settings"
        )
    colour = _COLOURS.get(color_mode)
    if colour is not None and (len(shape) != 3 or shape[colour] != 3):
        raise WrongGeometry(
            f"flat field: references for {color_mode} asked for, they have shape {shape}, not 3 colours in "
            f"axis {colour}; take them in the frames' colour mode"
        )
    return shape


def _level(flat: Array | None, dark: Array | None) -> NDArray[np.float64]:
    """Return the illumination that each pixel saw, above its dark; 1 without a flat, not finite without a dark."""
    if dark is None:
        return np.array(flat, np.float64)
    return np.where(np.isfinite(dark), 1.0, np.nan) if flat is None else np.subtract(flat, dark, dtype=np.float64)


def _read_only(view: Array) -> Array:
    view.flags.writeable = False
    return view
