"""The processors that a pipeline's file may name without a module: ours, and those of installed packages.

A package offers its own as an entry point of the group ``beamstream.ops``: a class with ``apply(image, meta)``, or a
function of an image, its ``meta`` and options.
"""

import importlib
import inspect
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

GROUP = "beamstream.ops"
OURS = {
    "median": "beamstream.ops.filters:MedianFilter",
    "gaussian": "beamstream.ops.filters:GaussianFilter",
    "clip": "beamstream.ops.filters:Clip",
    "threshold": "beamstream.ops.filters:Threshold",
    "background": "beamstream.ops.temporal:BackgroundSubtract",
    "average": "beamstream.ops.temporal:RunningAverage",
    "sum": "beamstream.ops.temporal:RunningSum",
    "difference": "beamstream.ops.temporal:Difference",
    "dark": "beamstream.ops.calibrate:SubtractDark",
    "flat": "beamstream.ops.calibrate:DivideFlat",
    "crop": "beamstream.ops.reduce:Crop",
    "bin": "beamstream.ops.reduce:Bin",
    "rotate": "beamstream.ops.orient:Rotate",
    "flip": "beamstream.ops.orient:Flip",
    "transpose": "beamstream.ops.orient:Transpose",
    "statistics": "beamstream.ops.observe:CollectStatistics",
    "publish": "beamstream.pipeline.publish:PublishSpectra",
}


@dataclass(frozen=True)
class Known:
    """A processor that has a name of its own.

    Parameters
    ----------
    name : str
        What a file calls it.
    reference : str
        ``module:attribute``.
    package : str
        The installed package that offers it.
    """

    name: str
    reference: str
    package: str = "beamstream"

    @property
    def attribute(self) -> str:
        """The name of the class or function."""
        return self.reference.partition(":")[2]

    def load(self) -> Any:
        """Import it and return the class or function; whatever its module raises passes through."""
        module, _, attribute = self.reference.partition(":")
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        return found


def known() -> dict[str, Known]:
    """Return all by name; ours come first and keep their names."""
    ours = {name: Known(name, reference) for name, reference in OURS.items()}
    others = {point.name: Known(point.name, point.value, _package(point)) for point in entry_points(group=GROUP)}
    return ours | {name: one for name, one in sorted(others.items()) if name not in ours}


def find(name: str) -> Known | None:
    """Return the one of this name, or whose class or function is called so."""
    all_of_them = known()
    return all_of_them.get(name) or next((one for one in all_of_them.values() if one.attribute == name), None)


@dataclass(frozen=True)
class Option:
    """An option of a processor; `default` is None where it must be given, otherwise as Python writes it."""

    name: str
    default: str | None


def options(made: Any) -> list[Option]:
    """Return the options of a class, or of a function behind image and meta."""
    parameters = list(inspect.signature(made).parameters.values())
    if not isinstance(made, type):
        parameters = [p for p in parameters[1:] if p.name != "meta"]
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [
        Option(stars.get(p.kind, "") + p.name, None if p.default is p.empty else repr(p.default)) for p in parameters
    ]


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "?"
