"""Units as people write them, and what file formats call them."""

from dataclasses import dataclass
from unicodedata import normalize

_PREFIXES = {"um": "micro", "nm": "nano", "mm": "milli", "cm": "centi", "km": "kilo", "pm": "pico", "m": ""}
_METRES = {"km": 1e3, "m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "nm": 1e-9, "pm": 1e-12}
_DEGREES = {
    ("deg", "degs", "degree", "degrees", "°"): 1.0,
    ("rad", "rads", "radian", "radians"): 57.29577951308232,
    ("mrad", "millirad", "milliradian", "milliradians"): 0.05729577951308232,
    ("urad", "microrad", "microradian", "microradians"): 5.729577951308232e-05,
    ("arcmin", "arcminute", "arcminutes"): 1 / 60,
    ("arcsec", "arcsecond", "arcseconds", "asec"): 1 / 3600,
    ("mdeg", "millidegree", "millidegrees"): 1e-3,
    ("turn", "turns", "rev", "revs"): 360.0,
}


@dataclass(frozen=True, slots=True)
class Length:
    """A unit of length.

    Parameters
    ----------
    symbol : str
        ASCII: ``um``.
    name : str
        As UDUNITS and OME-Zarr have it: ``micrometer``.
    ome : str
        As OME-XML has it: ``µm``.
    metres : float
    """

    symbol: str
    name: str
    ome: str
    metres: float


def _spellings() -> dict[str, Length]:
    found: dict[str, Length] = {}
    for symbol, metres in _METRES.items():
        prefix = _PREFIXES[symbol]
        unit = Length(symbol, f"{prefix}meter", symbol.replace("u", "µ"), metres)
        spelled = [f"{prefix}{word}{s}" for word in ("meter", "metre") for s in ("", "s")]
        found |= dict.fromkeys((symbol, *spelled), unit)
    found |= dict.fromkeys(("micron", "microns"), found["um"])
    angstrom = Length("angstrom", "angstrom", "Å", 1e-10)
    found |= dict.fromkeys(("Å", "angstrom", "angstroms", "ångström", "ångströms"), angstrom)
    inch = Length("inch", "inch", "in", 0.0254)
    return found | dict.fromkeys(("in", "inch", "inches"), inch)


_LENGTHS = _spellings()


def length(unit: str) -> Length | None:
    """Return the unit of length that a text is; None if it is something else."""
    text = _plain(unit)
    return _LENGTHS.get(text) or (_LENGTHS.get(text.lower()) if len(text) > 2 else None)


def degrees(unit: str) -> float | None:
    """Return how many degrees the unit of an angle has; None if it is something else."""
    text = _plain(unit).lower()
    return next((factor for spellings, factor in _DEGREES.items() if text in spellings), None)


def _plain(unit: str) -> str:
    """Return a unit with one sign for micro and for Ångström, of which Unicode has two each."""
    return normalize("NFKC", unit).strip().replace("\N{GREEK SMALL LETTER MU}", "u")
