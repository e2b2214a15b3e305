"""Keep darks and flats in a directory, and find the one that fits."""

import logging
import math
import os
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from beamstream.errors import CalibrationError, NoReference, StaleReference, WrongGeometry
from beamstream.frames import Geometry
from beamstream.references.file import content, read, read_header
from beamstream.references.publish import make, published, sweep
from beamstream.references.reference import Kind, Reference, ReferenceHeader
from beamstream.sinks.disk import explained

_log = logging.getLogger(__name__)

_NAME = re.compile(r"\w[\w .:+@=-]{0,99}")  # a directory that cannot lead elsewhere, nor break a URI
_SAME_EXPOSURE = 0.01  # relative
_SPANS = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))


class ReferenceStore:
    """Keep darks and flats as files, and find the newest one that fits.

    A file appears whole or not at all and is never changed, so any number of processes may keep and find at
    once. Files that are damaged or something else are passed over with a warning. Any thread may call.

    Parameters
    ----------
    directory : path-like
        ``<directory>/<detector>/<kind>_<YYYYmmdd_HHMMSS>_<8 hex>.h5``; made when the first one is kept.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory).absolute()

    def __repr__(self) -> str:
        there = self.list()
        return "\n".join(about.name for about in there) if there else f"no references in {self.directory}"

    def keep(self, reference: Reference) -> Reference:
        """Write a reference to a new file; when this returns it survives a power cut.

        Returns
        -------
        Reference
            The same, with the path of its file.

        Raises
        ------
        ValueError
            The detector's name cannot be that of a directory.
        DiskFull, SinkError
            It cannot be written; nothing is left of it.
        """
        where = self._place(reference.detector)
        when = time.strftime("%Y%m%d_%H%M%S", time.gmtime(reference.taken))
        path = where / f"{reference.kind}_{when}_{secrets.token_hex(4)}.h5"
        with explained(reference.detector, f"keep a {reference.kind} in", path):
            make(where)
            sweep(where)
            with published(path) as file:
                file.write(content(reference))
        return replace(reference, path=path)

    def load(self, path: str | os.PathLike[str]) -> Reference:
        """Read one reference.

        Raises
        ------
        CalibrationError
            There is no such file, it is damaged, or it is not the file of a reference.
        """
        return read(Path(path).absolute())

    def find(
        self,
        kind: Kind,
        detector: str,
        geometry: Geometry,
        *,
        exposure: float | None = None,
        max_age: float | None = None,
        until: float | None = None,
    ) -> Reference:
        """Return the newest reference that fits.

        Parameters
        ----------
        kind : "dark" or "flat"
        detector : str
        geometry : Geometry
            Of the frames to correct. Shape and colour mode have to fit; the pixel type and the codec need not.
        exposure : float, optional
            s; a reference that knows its own has to be within 1 %.
        max_age : float, optional
            s.
        until : float, optional
            s since 1970-01-01 UTC; those that were taken later do not count.

        Raises
        ------
        WrongGeometry
            There are some, all of another geometry.
        NoReference
            There is none that fits.
        StaleReference
            The newest that fits is too old.
        ValueError
            The detector's name cannot be that of a directory.
        """
        there = [about for about in self.list(kind, detector) if until is None or about.taken <= until]
        fitting = [about for about in there if _fits_geometry(about, geometry) and _fits_exposure(about, exposure)]
        for about in fitting:
            if max_age is not None and about.age > max_age:
                raise StaleReference(
                    f"{detector}: a {kind} of the last {_in_words(max_age)} asked for, the newest that fits is "
                    f"{_in_words(about.age)} old ({about.path.name}); {_take_some(kind, detector)}"
                )
            try:
                return self.load(about.path)
            except CalibrationError as error:
                _pass_over(error)
                there.remove(about)
        raise self._none(kind, detector, geometry, exposure, there)

    def named(self, name: str) -> Reference:
        """Return the reference that people call so, see `Reference.name`.

        Raises
        ------
        NoReference
            There is none.
        CalibrationError
            It is damaged.
        """
        for about in self.list():
            if about.name == name:
                return self.load(about.path)
        raise NoReference(f"references: {name!r} asked for, there is none in {self.directory}; was it moved away?")

    def _none(
        self,
        kind: Kind,
        detector: str,
        geometry: Geometry,
        exposure: float | None,
        there: "list[ReferenceHeader]",
    ) -> CalibrationError:
        """Say why none fits."""
        of_exposure = "" if exposure is None else f" with {exposure:g} s"
        asked = f"{detector}: a {kind} for {geometry}{of_exposure} asked for"
        todo = _take_some(kind, detector)
        if not there:
            return NoReference(f"{asked}, there is none in {self._place(detector)}; {todo}")
        same_exposure = [about for about in there if _fits_exposure(about, exposure)]
        if same_exposure and not any(_fits_geometry(about, geometry) for about in there):
            others = _listed(str(about.geometry) for about in same_exposure)
            return WrongGeometry(f"{asked}, there are some for {others}; {todo}, or set the detector back")
        others = _listed(_conditions(about) for about in there)
        return NoReference(f"{asked}, there are some for {others}; {todo}")

    def _place(self, detector: str) -> Path:
        if not _NAME.fullmatch(detector):
            raise ValueError(
                f"references: a detector named {detector!r}; give a name of letters, digits, spaces and _.:+@=- that "
                "begins with a letter or a digit and has at most 100"
            )
        return self.directory / detector

    def list(self, kind: Kind | None = None, detector: str | None = None) -> "list[ReferenceHeader]":
        """Return what there is without its pixels, newest first; about 2 ms a file.

        Raises
        ------
        ValueError
            The detector's name cannot be that of a directory.
        """
        paths = self.directory.glob("*/*.h5") if detector is None else self._place(detector).glob("*.h5")
        found = []
        for path in sorted(paths):
            try:
                about = read_header(path)
            except CalibrationError as error:
                _pass_over(error)
                continue
            if kind in (None, about.kind) and detector in (None, about.detector):
                found.append(about)
        return sorted(found, key=lambda about: about.taken, reverse=True)


def _pass_over(error: CalibrationError) -> None:
    _log.warning("passed over: %s", error)


def _fits_geometry(about: ReferenceHeader, geometry: Geometry) -> bool:
    return (about.geometry.shape, about.geometry.color_mode) == (geometry.shape, geometry.color_mode)


def _fits_exposure(about: ReferenceHeader, exposure: float | None) -> bool:
    if exposure is None or about.exposure is None:
        return True
    return math.isclose(about.exposure, exposure, rel_tol=_SAME_EXPOSURE)


def _conditions(about: ReferenceHeader) -> str:
    exposure = "unknown exposure" if about.exposure is None else f"{about.exposure:g} s"
    return f"{about.geometry} with {exposure}"


def _listed(texts: Iterable[str]) -> str:
    """Say each once, the newest first, and not too many."""
    each = list(dict.fromkeys(texts))
    more = f" and {len(each) - 5} more" if len(each) > 5 else ""
    return ", ".join(each[:5]) + more


def _in_words(seconds: float) -> str:
    """Say a span of time as people do: ``45 seconds``, ``90 minutes``, ``3.5 hours``."""
    length, unit = next(((length, unit) for length, unit in _SPANS if seconds >= 2 * length), _SPANS[-1])
    return f"{seconds / length:.3g} {unit}s"


def _take_some(kind: Kind, detector: str) -> str:
    return f"take some: RE({kind}s({detector}, 20)), or `beamstream {kind}s`"
