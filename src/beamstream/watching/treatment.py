"""What is done to frames before they are drawn: flat field, then a pipeline; a frame that fails is shown as it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beamstream import npy_file
from beamstream.errors import BeamstreamError
from beamstream.frames import Frame
from beamstream.ops.base import meta_of

if TYPE_CHECKING:
    from beamstream.ops.flatfield import FlatField
    from beamstream.pipeline import Pipeline


class Treatment:
    """Correct and process frames for the eye, and say what could not be done.

    Parameters
    ----------
    correction : Mapping
        ``flat`` and ``dark``, each ``{"path": …, "name": …}`` or None; ``reason`` when there is none of them though
        it was asked for; empty for no correction.
    pipeline : str
        Path of a pipeline file, ``""`` for none.

    Attributes
    ----------
    note : str
        What was done to the last frame.
    failed : bool
        Whether something that was asked for could not be done to the last frame.
    """

    def __init__(self, correction: Mapping[str, Any], pipeline: str = "") -> None:
        self.note = ""
        self.failed = False
        self._correction = correction
        self._reason: str = correction.get("reason", "")
        self._op: FlatField | None = None
        self._pipeline_path = pipeline
        self._pipeline: Pipeline | None = None

    def apply(self, frame: Frame) -> NDArray[Any]:
        """Return the image to draw; valid until the next call."""
        notes: list[str] = []
        self.failed = False
        image = self._process(self._correct(frame, notes), frame, notes)
        self.note = " · ".join(notes)
        return image

    def _correct(self, frame: Frame, notes: list[str]) -> NDArray[Any]:
        if not self._correction:
            return frame.image
        try:
            if self._reason:
                raise BeamstreamError(self._reason)
            if self._op is None:
                self._op = _flat_field(self._correction, frame)
            image = self._op.apply(frame.image)
        except (BeamstreamError, OSError, TypeError, ValueError) as error:
            self._fail(f"not corrected: {error}", notes)
            return frame.image
        names = [self._correction[kind]["name"] for kind in ("flat", "dark") if self._correction.get(kind)]
        notes.append(f"corrected: {', '.join(names)}")
        return image

    def _process(self, image: NDArray[Any], frame: Frame, notes: list[str]) -> NDArray[Any]:
        if not self._pipeline_path:
            return image
        name = Path(self._pipeline_path).name
        try:
            if self._pipeline is None:
                from beamstream.pipeline import Pipeline

                self._pipeline = Pipeline.load(self._pipeline_path)
            image, errors = self._pipeline.apply_or_pass(image, meta_of(frame))
        except (BeamstreamError, OSError) as error:
            self._fail(f"{name} is not used: {error}", notes)
            return image
        if errors:
            self._fail(f"{name}: {errors[0]}", notes)
        elif self._pipeline.reload_error:
            self._fail(f"{name}: {self._pipeline.reload_error}", notes)
        else:
            notes.append(f"processed: {name}")
        return image

    def _fail(self, text: str, notes: list[str]) -> None:
        self.failed = True
        notes.append(" ".join(text.split()))


def _flat_field(correction: Mapping[str, Any], frame: Frame) -> "FlatField":
    from beamstream.ops.flatfield import FlatField

    flat, dark = (_loaded(correction.get(kind)) for kind in ("flat", "dark"))
    return FlatField(flat, dark, color_mode=frame.geometry.color_mode)


def _loaded(about: Mapping[str, Any] | None) -> NDArray[np.float64] | None:
    if about is None:
        return None
    path = Path(about["path"])
    if path.suffix == ".npy":
        return npy_file.load(path)
    from beamstream.references import ReferenceStore

    return ReferenceStore(path.parent).load(path).mean
