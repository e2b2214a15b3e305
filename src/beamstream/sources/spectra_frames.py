"""From a message to a frame: checked, treated, numbered; pure, so that a test needs no socket."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import MalformedMessage
from beamstream.frames import Frame, Geometry
from beamstream.sources.cadence import Cadence
from beamstream.spectra_wire import PARTS, Spectrum, decode

Treat = Callable[[NDArray[Any]], NDArray[Any]]
"""Make of (n_beams, n_channels, n_polarizations) what is wanted of it: a `beamstream.ops.spectra.Selection`."""


@dataclass(slots=True)
class SpectraCounters:
    """What came over the wire since the source was started; `malformed_kinds` counts by what was wrong."""

    messages: int = 0
    frames: int = 0
    repeated: int = 0
    malformed: int = 0
    disconnects: int = 0
    malformed_kinds: dict[str, int] = field(default_factory=dict)

    def count_malformed(self, kind: str) -> None:
        """Count one more that was none."""
        self.malformed += 1
        self.malformed_kinds[kind] = self.malformed_kinds.get(kind, 0) + 1


class SpectraDecoder:
    """Make frames of the messages of one publisher.

    Parameters
    ----------
    source : str
        Put into the frames, a URI.
    treat : callable, optional
        Applied to the values. If it has a method ``check(shape)``, that is asked for each new shape, and raises
        ValueError for one that cannot be treated.
    """

    def __init__(self, source: str, treat: Treat | None = None) -> None:
        self.cadence = Cadence()
        self._source = source
        self._treat = treat
        self._check: Callable[[tuple[int, ...]], None] | None = getattr(treat, "check", None)
        self._checked: tuple[int, ...] = ()
        self._geometry: Geometry | None = None
        self._last: tuple[bytes, Spectrum] | None = None

    def __call__(self, parts: Sequence[Any], number: int, received: float) -> tuple[Frame, int | None] | None:
        """Return a frame and how many are missing before it, or None for a message that came already.

        Parameters
        ----------
        parts : sequence of buffers
            The first three, or all if there are fewer; the values stay where they are.
        number : int
            Parts that the message had.
        received : float
            s since 1970-01-01 UTC.

        Raises
        ------
        MalformedMessage
            It is no spectrum, or none that can be treated.
        """
        if number != PARTS:
            raise MalformedMessage(f"{PARTS} parts expected, the message has {number}", kind="parts")
        header = bytes(parts[1])
        spectrum = decode((bytes(parts[0]), header, parts[2]))
        if self._last is not None and _same(self._last, (header, spectrum)):
            return None
        payload = self._treated(spectrum.values)
        self._last = header, spectrum
        unique_id, missing = self.cadence.see(spectrum)
        attributes = {
            "last_block_time": spectrum.last_block_time,
            "delay": received - spectrum.timestamp,
            "time_tag": spectrum.time_tag,
        }
        frame = Frame(
            payload,
            self._geometry_of(payload),
            unique_id,
            spectrum.timestamp,
            received,
            self._source,
            attributes=attributes,
        )
        return frame, missing

    def _treated(self, values: NDArray[Any]) -> NDArray[Any]:
        if self._treat is not None:
            try:
                if self._check is not None and values.shape != self._checked:
                    self._check(values.shape)
                    self._checked = values.shape
                values = self._treat(values)
            except (ValueError, IndexError, TypeError) as e:
                raise MalformedMessage(f"a spectrum of shape {values.shape} came: {e}", kind="selection") from e
        values.flags.writeable = False
        return values

    def _geometry_of(self, values: NDArray[Any]) -> Geometry:
        last = self._geometry
        if last is None or values.shape != last.shape or values.dtype.str != last.dtype:
            self._geometry = last = Geometry.of(values)
        return last


def _same(last: tuple[bytes, Spectrum], now: tuple[bytes, Spectrum]) -> bool:
    """Whether a message brings nothing new: its count and time are the last one's, or all its bytes are."""
    (header, a), (other, b) = last, now
    if b.sequence is not None:
        return b.sequence == a.sequence and b.last_block_time == a.last_block_time and b.time_tag == a.time_tag
    return header == other and np.array_equal(a.values.view(np.uint8), b.values.view(np.uint8))
