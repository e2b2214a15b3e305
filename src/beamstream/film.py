"""What a film of ours says about itself beyond its pictures, and the library that reads and writes films."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Self

from beamstream.errors import SinkError, SourceError

_MARK = "beamstream"
_MOST_NS = 2**63  # 292 years from 1970
_AXES = {"mono": 2, "bayer": 2, "rgb1": 3, "rgb2": 3, "rgb3": 3}  # by `beamstream.frames.ColorMode`


def pyav(who: str, error: type[SourceError] | type[SinkError] = SourceError) -> ModuleType:
    """Return PyAV, ready to be used.

    Raises
    ------
    SourceError, SinkError
        It is not installed.
    """
    try:
        import av
        import av.error
    except ImportError as e:
        raise error(f"{who}: films want PyAV, which is not installed ({e}); pip install 'beamstream[video]'") from None
    av.logging.set_level(None)  # pyright: ignore[reportPrivateImportUsage]  # FFmpeg would print; what matters comes as an error
    return av


def nanoseconds(seconds: float) -> int:
    """Return a time in whole ns, rounded once: a product of floats would be off by a hundred or more."""
    whole = int(seconds // 1)
    return whole * 10**9 + round((seconds - whole) * 1e9)


@dataclass(frozen=True, slots=True)
class FilmNotes:
    """What a reader has to know to get back the very frames that were written; kept in a film's comment.

    Parameters
    ----------
    start_ns : int
        Time of the first frame, ns since 1970-01-01 UTC.
    shape : tuple of int
        Of a frame; the pictures of a film may have a row and a column more.
    dtype : str
        Numpy's type string of the frames that were written.
    color_mode : str
        A name of `beamstream.frames.ColorMode`.
    window : tuple of float, optional
        Values that became 0 and 255.
    about : Mapping
        Of the run; what JSON can carry.
    """

    start_ns: int
    shape: tuple[int, ...]
    dtype: str
    color_mode: str
    window: tuple[float, float] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_text(self) -> str:
        """Return it as the comment of a film."""
        said: dict[str, Any] = {
            "start_ns": self.start_ns,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "color_mode": self.color_mode,
            "about": dict(self.about),
        }
        if self.window is not None:
            said["window"] = list(self.window)
        return json.dumps({_MARK: said}, allow_nan=False)

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """Read what `to_text` wrote; None for the comment of another film, and for notes that cannot be."""
        try:
            said = json.loads(text)[_MARK]
            window = said.get("window")
            notes = cls(
                int(said["start_ns"]),
                tuple(int(n) for n in said["shape"]),
                str(said["dtype"]),
                str(said["color_mode"]),
                (float(window[0]), float(window[1])) if window else None,
                dict(said["about"]),
            )
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError):
            return None
        return notes if notes._possible else None

    @property
    def _possible(self) -> bool:
        n_axes = _AXES.get(self.color_mode)
        return len(self.shape) == n_axes and min(self.shape) > 0 and abs(self.start_ns) < _MOST_NS
