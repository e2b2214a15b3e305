"""Finding: what one look at the house brought."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is: `FAIL` keeps frames from being recorded or served, `WARN` may."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor.

    Parameters
    ----------
    area : str
        What was looked at.
    level : Level
    text : str
        What is.
    advice : str
        What to do; empty when it is well.
    """

    area: str
    level: Level
    text: str
    advice: str = ""


def ok(area: str, text: str) -> Finding:
    """Return a finding that it is well."""
    return Finding(area, Level.OK, text)


def warn(area: str, text: str, advice: str) -> Finding:
    """Return a finding that something may go wrong."""
    return Finding(area, Level.WARN, text, advice)


def fail(area: str, text: str, advice: str) -> Finding:
    """Return a finding that something does not work."""
    return Finding(area, Level.FAIL, text, advice)
