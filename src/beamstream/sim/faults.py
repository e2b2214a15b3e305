"""What can go wrong with a camera, to be switched on while it runs."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from beamstream.frames import ColorMode, Geometry

Malformed = Literal["none", "product", "negative", "zero", "missing"]
MALFORMED: tuple[Malformed, ...] = ("none", "product", "negative", "zero", "missing")


@dataclass(frozen=True)
class Faults:
    """Say what a simulated camera gets wrong; everything is off by default.

    ``_at`` and ``_after`` count exposures from 0, since the acquisition started or the faults were set,
    whichever is later; None is never. ``_every`` counts from 1; 0 is never.

    Parameters
    ----------
    skip_ids : frozenset of int
        Exposures with these ids are made and counted, but never posted: lost.
    skip_every : int
        So is every nth exposure.
    skip_random : float
        So is any exposure with this probability, 0 to 1; which ones is a function of `seed`.
    seed : int
    repeat_every : int
        Every nth exposure is posted twice, id and all.
    restart_at : int or None
        The id of this exposure is 0, and goes on from there.
    silent_after : int or None
        This many exposures are made, then the camera hangs: acquiring, without another frame.
    change_shape_at : int or None
        From this exposure on the frames have the shape `change_shape`.
    change_shape : tuple of (int, int) or None
        Rows and columns; None is half of both, as after binning.
    change_dtype_at : int or None
        From this exposure on the pixels have the type `change_dtype`.
    change_dtype : str
    malformed_at : int or None
        This exposure and the next `malformed_count` − 1 have wrong dimensions.
    malformed_count : int
    malformed : {"none", "product", "negative", "zero", "missing"}
        How: the product is not the number of values; the first is negative; is zero; there are none.
    piecewise : bool
        Frames are posted in three updates: id and time stamps with the previous picture, then dimensions,
        then pixels; some servers do that.
    """

    skip_ids: frozenset[int] = frozenset()
    skip_every: int = 0
    skip_random: float = 0.0
    seed: int = 0
    repeat_every: int = 0
    restart_at: int | None = None
    silent_after: int | None = None
    change_shape_at: int | None = None
    change_shape: tuple[int, int] | None = None
    change_dtype_at: int | None = None
    change_dtype: str = "<f4"
    malformed_at: int | None = None
    malformed_count: int = 1
    malformed: Malformed = "product"
    piecewise: bool = False

    def silent(self, index: int) -> bool:
        """Tell whether the camera hangs instead of making this exposure."""
        return _reached(index, self.silent_after)

    def posts(self, index: int, unique_id: int) -> int:
        """Return how often this exposure is posted: 0 is lost, 2 is repeated."""
        if unique_id in self.skip_ids or _nth(index, self.skip_every):
            return 0
        if self.skip_random and random.Random(f"{self.seed} {index}").random() < self.skip_random:
            return 0
        return 2 if _nth(index, self.repeat_every) else 1

    def geometry(self, index: int, normal: Geometry) -> Geometry:
        """Return the geometry that this exposure has in place of the normal one."""
        geometry = normal
        if _reached(index, self.change_dtype_at):
            geometry = replace(geometry, dtype=self.change_dtype)
        if _reached(index, self.change_shape_at):
            geometry = replace(geometry, shape=_reshaped(geometry, self.change_shape))
        return geometry

    def dimensions(self, index: int, normal: Iterable[int]) -> list[int]:
        """Return the dimension sizes to post for this exposure, fastest first."""
        sizes = list(normal)
        first = self.malformed_at
        if first is None or not first <= index < first + self.malformed_count or self.malformed == "none":
            return sizes
        if self.malformed == "missing":
            return []
        sizes[0] = {"product": sizes[0] + 1, "negative": -sizes[0], "zero": 0}[self.malformed]
        return sizes


def _reached(index: int, at: int | None) -> bool:
    return at is not None and index >= at


def _nth(index: int, every: int) -> bool:
    return every > 0 and (index + 1) % every == 0


def _reshaped(geometry: Geometry, rows_cols: tuple[int, int] | None) -> tuple[int, ...]:
    axis = {ColorMode.RGB1: 2, ColorMode.RGB2: 1, ColorMode.RGB3: 0}.get(geometry.color_mode)
    now = [n for i, n in enumerate(geometry.shape) if i != axis]
    wanted = list(rows_cols) if rows_cols else [max(1, n // 2) for n in now]
    if axis is not None:
        wanted.insert(axis, 3)
    return tuple(wanted)
