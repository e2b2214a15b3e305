"""How large a pixel is, as TIFF has it: pixels per centimetre, or per the unit that ImageJ's description names."""

from dataclasses import dataclass
from fractions import Fraction

from beamstream.sinks.description import Description

_NO_UNIT, _CENTIMETRE = 1, 3
_MOST = (1 << 32) - 1
_EXACT = 1e-6  # relative; a size beyond what two numbers of 32 bits hold is left out


@dataclass(frozen=True, slots=True)
class Resolution:
    """The values of XResolution, YResolution (numerator, denominator) and ResolutionUnit."""

    x: tuple[int, int] = (1, 1)
    y: tuple[int, int] = (1, 1)
    unit: int = _NO_UNIT


NO_RESOLUTION = Resolution()


def per_centimetre(description: Description) -> Resolution:
    """Return the resolution that every program understands; none where pixels have no length."""
    unit = description.length
    return NO_RESOLUTION if unit is None else _resolution(description, unit.metres * 100, _CENTIMETRE)


def per_unit(description: Description) -> Resolution:
    """Return the resolution as ImageJ has it, in pixels per the unit of its description."""
    return _resolution(description, 1.0, _NO_UNIT)


def _resolution(description: Description, centimetres: float, unit: int) -> Resolution:
    if description.pixel_size is None:
        return NO_RESOLUTION
    rows, columns = (_inverse(size * centimetres) for size in description.pixel_size)
    return NO_RESOLUTION if rows is None or columns is None else Resolution(columns, rows, unit)


def _inverse(size: float) -> tuple[int, int] | None:
    """Return two numbers of 32 bits whose ratio is 1 / size, as far as there are such."""
    if not 1 / _MOST <= size <= _MOST:
        return None
    value, exact = 1 / size, 1 / Fraction(size)
    found = exact.limit_denominator(min(_MOST, int(_MOST / max(value, 1))))
    good = 0 < found.numerator <= _MOST and abs(found - exact) <= exact * Fraction(_EXACT)
    return (found.numerator, found.denominator) if good else None
