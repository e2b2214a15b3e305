"""What programs of others look for in a file: how large a pixel is, and which run the frames are of."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from numpy.typing import NDArray

from beamstream.frames import NO_ATTRIBUTES
from beamstream.sinks.hdf5_layout import Column
from beamstream.sinks.units import Length, length
from beamstream.sinks.zarr_layout import jsonable

_NAMES = {
    "sample": ("sample", "sample_name"),
    "user": ("user", "user_name", "operator", "experimenter", "owner"),
    "proposal": ("proposal", "proposal_id", "experiment_id"),
}
_ABOUT_THE_PROGRAM = ("versions", "hints")
_BRIEF = 1000  # characters of JSON
_NO_DATE = 253_402_300_800  # s, the year 10 000


@dataclass(frozen=True, slots=True)
class Description:
    """What a file holds of frames beside the frames.

    Parameters
    ----------
    pixel_size : tuple of float, optional
        Of rows and columns: how far it is from one to the next.
    pixel_units : str
        As the user wrote it.
    exposure : float, optional
        Of one frame, s.
    start : Mapping
        The run's start document.
    stopped : float, optional
        When the run ended, s since 1970-01-01 UTC; of a run that is over.
    scanned : tuple of str
        The columns of what the run scanned, slowest first.
    theta : Column, optional
        The column that is the angle of the sample.
    dark, white : ndarray, optional
        Counts, of the shape of a frame: without light, and without a sample.
    """

    pixel_size: tuple[float, float] | None = None
    pixel_units: str = ""
    exposure: float | None = None
    start: Mapping[str, Any] = field(default_factory=lambda: NO_ATTRIBUTES)
    stopped: float | None = None
    scanned: tuple[str, ...] = ()
    theta: Column | None = None
    dark: NDArray[Any] | None = None
    white: NDArray[Any] | None = None

    @classmethod
    def of(cls, pixel: Mapping[str, Any], **known: Any) -> Self:
        """Return the description of pixels that documents describe, ``pixel_size`` and ``pixel_units``."""
        size = pixel.get("pixel_size")
        both = None if size is None else (float(size[0]), float(size[1]))
        return cls(pixel_size=both, pixel_units=str(pixel.get("pixel_units", "")), **known)

    @property
    def length(self) -> Length | None:
        """What `pixel_size` is in, if it is a length."""
        return None if self.pixel_size is None else length(self.pixel_units)

    @property
    def sample(self) -> str:
        """The sample's name; empty if the run has none."""
        return self._named("sample")

    @property
    def user(self) -> str:
        """Who took it."""
        return self._named("user")

    @property
    def proposal(self) -> str:
        """What it was taken for."""
        return self._named("proposal")

    @property
    def title(self) -> str:
        """One line for people: ``scan 17, record, GaAs``."""
        given = self.start.get("title")
        if isinstance(given, str) and given:
            return given
        scan_id, plan = self.start.get("scan_id"), self.start.get("plan_name")
        parts = ("" if scan_id is None else f"scan {scan_id}", str(plan or ""), self.sample)
        return ", ".join(part for part in parts if part)

    @property
    def began(self) -> str:
        """When the run began, ISO 8601, UTC; empty if that is not known."""
        return iso_time(self.start.get("time"))

    @property
    def ended(self) -> str:
        """When the run ended, ISO 8601, UTC; empty if that is not known."""
        return iso_time(self.stopped)

    def attributes(self) -> dict[str, Any]:
        """Return what stands beside the frames as it is: the pixels' size, and the start document without long values.

        In values that JSON can carry.
        """
        pixel = (
            {} if self.pixel_size is None else {"pixel_size": list(self.pixel_size), "pixel_units": self.pixel_units}
        )
        given = {key: value for key, value in self.start.items() if key not in _ABOUT_THE_PROGRAM}
        plain = {key: value for key, value in jsonable(given).items() if len(json.dumps(value)) <= _BRIEF}
        return pixel | ({"start": plain} if plain else {})

    def _named(self, what: str) -> str:
        """Return a text from the start document: the value itself, or its name."""
        for key in _NAMES[what]:
            value = self.start.get(key)
            if isinstance(value, Mapping):
                value = next((value[of] for of in ("name", *_NAMES[what], "id", "title") if of in value), None)
            if value is not None and isinstance(value, str | int | float) and str(value):
                return str(value)
        return ""


NO_DESCRIPTION = Description()


def iso_time(seconds: Any) -> str:
    """Return a time in s since 1970-01-01 UTC as ISO 8601; empty for what is none."""
    if not isinstance(seconds, int | float) or not 0 <= seconds < _NO_DATE:
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def interval(timestamps: Sequence[float]) -> float | None:
    """Return the time from one frame to the next, s, where that is regular: each is nearest to its own place."""
    count = len(timestamps)
    if count < 2 or not all(map(math.isfinite, timestamps)):
        return None
    first = timestamps[0]
    step = (timestamps[-1] - first) / (count - 1)
    regular = step > 0 and all(abs(t - first - number * step) < step / 2 for number, t in enumerate(timestamps))
    return step if regular else None
