"""Reference: a dark or a flat, with everything that tells whether it fits."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import Geometry

Kind = Literal["dark", "flat"]

_YEAR_10000 = 253_402_300_800.0  # s since 1970-01-01 UTC


class _About:
    """What can be said of a reference without its pixels."""

    __slots__ = ()

    kind: Kind
    number: int
    detector: str
    exposure: float | None
    taken: float
    run: str

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"{self.detector}: a reference of kind {self.kind!r}; the kinds are dark and flat")
        if self.number < 1:
            raise ValueError(f"{self.detector}: a {self.kind} of {self.number} frames; at least one is needed")
        if not 0 <= self.taken < _YEAR_10000:
            raise ValueError(f"{self.detector}: a {self.kind} taken at {self.taken}; give s since 1970-01-01 UTC")
        if self.exposure is not None and not 0 <= self.exposure < math.inf:
            raise ValueError(f"{self.detector}: a {self.kind} of exposure {self.exposure}; give s, or None if unknown")

    @property
    def age(self) -> float:
        """How long ago it was taken, s; negative if the detector's clock is ahead of ours."""
        return time.time() - self.taken

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def name(self) -> str:
        """What people call it: ``flat camera 2026-11-21T18:40:00Z (20 frames) 1f0c8a3e``."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.taken))
        frames = "1 frame" if self.number == 1 else f"{self.number} frames"
        return f"{self.kind} {self.detector} {when} ({frames}) {self.run[:8]}".rstrip()


@dataclass(frozen=True, slots=True, repr=False)
class ReferenceHeader(_About):
    """A kept reference without its pixels; the fields are those of `Reference`."""

    kind: Kind
    number: int
    detector: str
    geometry: Geometry
    exposure: float | None
    taken: float
    run: str
    origin: str
    path: Path


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Reference(_About):
    """A dark or a flat: frames averaged pixel by pixel, and what they were.

    Two references are equal only if they are the same object.

    Parameters
    ----------
    kind : "dark" or "flat"
    mean : ndarray of float64, shape ``geometry.shape``
        Counts. Whoever makes the reference leaves the memory to it.
    std : ndarray of float64, shape ``geometry.shape``
        Counts; the standard deviation over the frames (ddof 1), zeros when there was one frame.
    number : int
        Frames averaged.
    detector : str
    geometry : Geometry
        Of the raw frames.
    exposure : float or None
        s; None if unknown.
    taken : float
        When the last frame was taken, s since 1970-01-01 UTC.
    run : str
        The uid of the run that it was taken in.
    origin : str
        ``"run"``, ``"capture"``, or the path of the file that it was imported from.
    path : Path, optional
        Where it is kept, once it is.

    Raises
    ------
    ValueError
        The fields contradict each other.
    """

    kind: Kind
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    number: int
    detector: str
    geometry: Geometry
    exposure: float | None
    taken: float
    run: str = ""
    origin: str = "run"
    path: Path | None = None

    def __post_init__(self) -> None:
        _About.__post_init__(self)  # super() does not survive slots=True
        for key, array in (("mean", self.mean), ("std", self.std)):
            if array.shape != self.geometry.shape:
                is_now = f"its {key} has shape {array.shape}, the frames {self.geometry.shape}"
                raise ValueError(f"{self.detector}: a {self.kind} to be made, but {is_now}; make them the same")
