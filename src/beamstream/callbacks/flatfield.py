"""Flat-field the frames of a run while it is recorded."""

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from beamstream.callbacks.derive import Derive
from beamstream.callbacks.images import Source, object_name
from beamstream.errors import CalibrationError, WrongGeometry
from beamstream.frames import ColorMode, Geometry
from beamstream.ops.flatfield import FlatField as FlatFieldOp
from beamstream.references import Kind, Reference, ReferenceStore, import_npy

Which = Reference | NDArray[Any] | str | Path | None
"""A reference, an array, a file (``.npy`` or one of ours), ``"latest"``, or none."""


class FlatField(Derive):
    """Flat-field every frame into a stream of its own: ``primary_corrected`` of ``primary``.

    ``I_norm = (I_raw - I_dark) / (I_flat - I_dark) * mean(I_flat - I_dark)``, without a dark
    ``I_raw / I_flat * mean(I_flat)``. The raw frames stay as they are. Which references and which formula
    made the stream stands in its descriptor.

    Parameters
    ----------
    flat, dark : Reference, ndarray, str, Path or None
        ``"latest"``: the newest that fits detector, geometry and exposure; or a file, ``.npy`` as well.
    references : ReferenceStore or path-like, optional
        Where ``"latest"`` is looked for.
    output : {"float32", "raw"}
        ``"raw"`` rounds and clips back to the type of the raw frames.
    dead_value : float
        What pixels become that the flat has no value for; how many there are is in the descriptor.
    max_age : float, optional
        Oldest reference that ``"latest"`` may find, s.
    required : bool
        Whether a missing reference ends the run, before its first frame, and a frame that is left undone fails it.
    detectors : collection of str, optional
        Whose frames; all by default.
    ring_memory : int
        Shared memory for those who look at the newest, bytes.
    """

    def __init__(
        self,
        flat: Which = "latest",
        dark: Which = None,
        *,
        references: ReferenceStore | str | Path | None = None,
        output: Literal["float32", "raw"] = "float32",
        dead_value: float = 0.0,
        max_age: float | None = None,
        required: bool = True,
        detectors: Collection[str] | None = None,
        ring_memory: int = 256 * 2**20,
    ) -> None:
        super().__init__("corrected", _nothing, required=required, detectors=detectors, ring_memory=ring_memory)
        if output not in ("float32", "raw"):
            raise ValueError(f"flat field: output {output!r} given; use 'float32' or 'raw'")
        if flat is None and dark is None:
            raise ValueError("flat field: neither flat nor dark given; give at least one of them")
        self._which: dict[Kind, Which] = {"flat": flat, "dark": dark}
        self._store = references if isinstance(references, ReferenceStore | None) else ReferenceStore(references)
        self._output: Literal["float32", "raw"] = output
        self._dead_value = dead_value
        self._max_age = max_age

    def check(self, descriptor: Mapping[str, Any], data_key: str) -> None:
        """Find the references, or raise an error that names the missing ones, before a frame comes."""
        about = descriptor["data_keys"][data_key]
        mode = ColorMode(about.get("color_mode", ColorMode.MONO))
        geometry = Geometry(tuple(about["shape"]), about.get("dtype_numpy", "<f8"), mode)
        self.references(object_name(descriptor, data_key), geometry, exposure_of(descriptor, data_key))

    def op_for(self, source: Source) -> FlatFieldOp:
        """Return the correction of one detector's frames."""
        geometry = source.frames.geometry
        exposure = exposure_of(source.descriptor, source.data_key)
        return self.op(self.references(source.name, geometry, exposure), geometry)

    def references(
        self, detector: str, geometry: Geometry, exposure: float | None = None
    ) -> dict[Kind, Reference | None]:
        """Return flat and dark for frames of this geometry.

        Raises
        ------
        CalibrationError
            One is missing, too old, or of another shape.
        """
        found: dict[Kind, Reference | None] = {}
        for kind, which in self._which.items():
            found[kind] = reference = self._find(kind, which, detector, geometry, exposure)
            if reference is not None and reference.geometry.shape != geometry.shape:
                raise WrongGeometry(
                    f"{detector}: the {reference.name} is {reference.geometry}, the frames are {geometry}; "
                    f"take a {kind} of this size"
                )
        return found

    def op(self, references: Mapping[Kind, Reference | None], geometry: Geometry) -> FlatFieldOp:
        """Return the arithmetic for these references; with it, a live view is corrected as well."""
        flat, dark = references["flat"], references["dark"]
        op = FlatFieldOp(
            None if flat is None else flat.mean,
            None if dark is None else dark.mean,
            output=self._output,
            dead_value=self._dead_value,
            color_mode=geometry.color_mode,
            flat_name="" if flat is None else flat.name,
            dark_name="" if dark is None else dark.name,
        )
        op.prepare(geometry.dtype)
        return op

    def _find(
        self, kind: Kind, which: Which, detector: str, geometry: Geometry, exposure: float | None
    ) -> Reference | None:
        if which is None or isinstance(which, Reference):
            return which
        if isinstance(which, np.ndarray):
            mean = np.asarray(which, np.float64)
            return Reference(kind, mean, np.zeros_like(mean), 1, detector, geometry_of(mean), None, 0.0, origin="array")
        if which == "latest":
            if self._store is None:
                raise CalibrationError(f"{detector}: the latest {kind} asked for, but not where; give references=")
            return self._store.find(kind, detector, geometry, exposure=exposure, max_age=self._max_age)
        path = Path(which)
        if path.suffix == ".npy":
            return import_npy(path, kind, detector, geometry=geometry)
        return (self._store or ReferenceStore(path.parent)).load(path)


def geometry_of(image: NDArray[Any]) -> Geometry:
    """Return the geometry of a plain image: colours last, if it has any."""
    return Geometry.of(image, _mode(image.shape))


def exposure_of(descriptor: Mapping[str, Any], data_key: str) -> float | None:
    """Return the exposure in a stream's configuration, s; None if it has none."""
    about = descriptor.get("configuration", {}).get(object_name(descriptor, data_key), {})
    for key, value in about.get("data", {}).items():
        if key.endswith("_acquire_time") and isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    return None


def _mode(shape: Any) -> ColorMode:
    return ColorMode.RGB1 if len(shape) == 3 and shape[-1] == 3 else ColorMode.MONO


def _nothing() -> Any:
    raise NotImplementedError  # op_for makes the op
