"""Flat, dark and pipeline as a viewer switches them: the newest references that fit, for the eye only."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from beamstream.errors import CalibrationError
from beamstream.frames import Frame, Geometry
from beamstream.references.reference import Kind
from beamstream.watching.treatment import Treatment

KINDS: tuple[Kind, Kind] = ("flat", "dark")


class Corrections:
    """Treat the frames of one stream as somebody asks for, and say what was done and what could not be.

    What is recorded is not touched. A reference that was captured after it was looked for is used after `look_again`.
    To be used from one thread.

    Parameters
    ----------
    name : str
        Of the stream, under which its references are kept.
    references : path-like
        Directory of the `ReferenceStore`; ``""``: there is none.
    pipeline : path-like
        A pipeline file; ``""``: there is none.

    Attributes
    ----------
    flat, dark, pipeline : bool
        What is asked for; changed by `switch`.
    note : str
        What was done to the last frame, in words; empty before the first.
    failed : bool
        Whether something that was asked for could not be done to it.
    """

    def __init__(self, name: str, references: str | Path = "", pipeline: str | Path = "") -> None:
        self.flat = self.dark = self.pipeline = False
        self.note = ""
        self.failed = False
        self._name, self._references, self._file = name, str(references), str(pipeline)
        self._geometry: Geometry | None = None
        self._used: dict[str, str | None] = {}
        self._missing: list[str] = []
        self._treatment: Treatment | None = None

    def switch(self, *, flat: bool | None = None, dark: bool | None = None, pipeline: bool | None = None) -> None:
        """Ask for other corrections; None leaves one as it is."""
        now = self.flat, self.dark, self.pipeline
        asked = tuple(old if new is None else bool(new) for old, new in zip(now, (flat, dark, pipeline), strict=True))
        if asked != now:
            self.flat, self.dark, self.pipeline = asked
            self.look_again()

    def look_again(self) -> None:
        """Use the newest references from the next frame on."""
        self._treatment = None

    @property
    def wanted(self) -> bool:
        """Whether anything is asked for."""
        return self.flat or self.dark or self.pipeline

    @property
    def state(self) -> dict[str, Any]:
        """Return ``flat``, ``dark``, ``pipeline`` (the names of what is used, None), ``note`` and ``failed``."""
        used = {key: self._used.get(key) for key in (*KINDS, "pipeline")}
        return {**used, "note": self.note, "failed": self.failed}

    def apply(self, frame: Frame) -> NDArray[Any]:
        """Return the image to show: the frame's own where nothing is asked for; valid until the next call.

        Raises
        ------
        CodecError
            The frame cannot be decoded.
        """
        if not self.wanted:
            self.note, self.failed, self._used = "", False, {}
            return frame.image
        if self._treatment is None or frame.geometry != self._geometry:
            self._geometry = frame.geometry
            self._treatment = self._make(frame.geometry)
        image = self._treatment.apply(frame)
        notes = [*self._missing, self._treatment.note]
        self.note = " · ".join(note for note in notes if note)
        self.failed = bool(self._missing) or self._treatment.failed
        return image

    def _make(self, geometry: Geometry) -> Treatment:
        self._missing, self._used = [], {}
        correction = {}
        for kind in KINDS:
            if getattr(self, kind) and (found := self._found(kind, geometry)) is not None:
                correction[kind] = found
                self._used[kind] = found["name"]
        pipeline = self._file if self.pipeline else ""
        if self.pipeline and not pipeline:
            self._missing.append("no pipeline is configured")
        self._used["pipeline"] = Path(pipeline).name or None
        return Treatment(correction, pipeline)

    def _found(self, kind: Kind, geometry: Geometry) -> dict[str, str] | None:
        """Return where the newest reference lies; None, and a word about it, if there is none that fits."""
        if not self._references:
            self._missing.append(f"no {kind}: there is no directory of references")
            return None
        from beamstream.references import ReferenceStore

        try:
            found = ReferenceStore(self._references).find(kind, self._name, geometry)
        except (CalibrationError, OSError, ValueError) as error:
            self._missing.append(f"not corrected: {' '.join(str(error).split())}")
            return None
        return {"path": str(found.path), "name": found.name}
