"""Plots of what is recorded, drawn in a process of their own so that they cannot slow a run."""

import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from beamstream.callbacks.flatfield import FlatField, exposure_of
from beamstream.callbacks.images import Emit, object_name, wanted
from beamstream.callbacks.live_work import LiveWork
from beamstream.exits import OpenObjects
from beamstream.frames import ColorMode, Geometry
from beamstream.plots.inbox import Message
from beamstream.plots.process import PlotProcess
from beamstream.references import Reference

FALLBACK = Path("data/plots")
"""Where pictures go when there is neither a display nor a directory given."""


class LivePlot:
    """Draw the newest frame of each detector again and again; a base of `LiveImage` and `LiveWaterfall`.

    One process draws for one callback, in all runs; its windows stay. It is started with the first run and ended
    with the session, or by `close`. It takes what time is left and at most 30 % of a core; frames that it had no
    time for are counted. If it dies or hangs, runs go on, and the next one gets a new process.

    Parameters
    ----------
    kind : str
        Of picture.
    look : dict
        What that kind of picture takes.
    name : str
        Of the callback, in the run's account.
    """

    required = False
    derives = False

    def __init__(
        self,
        kind: str,
        look: Mapping[str, Any],
        name: str,
        *,
        detectors: Collection[str] | None,
        stream: str,
        period: float | None,
        directory: str | Path | None,
        flat_field: FlatField | None,
        pipeline: str | Path | None,
    ) -> None:
        if period is not None and not period > 0:
            raise ValueError(f"{name}: period {period} given; use s above 0")
        if isinstance(detectors, str):
            raise TypeError(f"{name}: detectors {detectors!r} given; use a list of names")
        low, high = look["percentile"]
        if not 0 <= low < high <= 100:
            raise ValueError(f"{name}: percentile {(low, high)} given; use two of 0 to 100, the smaller one first")
        self.name = name
        self.flat_field = flat_field
        self.wants = wanted(stream, detectors)
        """``wants(descriptor, data_key)``: whether these images are to be drawn."""
        self._options: Message = {
            "kind": kind,
            "look": dict(look),
            "period": period,
            "directory": None if directory is None else str(Path(directory).absolute()),
            "fallback": str(FALLBACK.absolute()),
            "pipeline": "" if pipeline is None else str(Path(pipeline).absolute()),
        }
        self._process: PlotProcess | None = None
        self._arrays: tempfile.TemporaryDirectory[str] | None = None
        self._last = ""
        _open.add(self)

    def begin(self, start: Mapping[str, Any], _emit: Emit) -> "LiveWork":
        """Begin with a run."""
        return LiveWork(self, self.start(), start)

    def start(self) -> PlotProcess:
        """Start the process that draws, unless there is one; does not wait until it is ready."""
        process = self._process
        if process is not None and process.alive and process.hangs:
            process.warn("the process that draws does not answer, it is ended")
            process.kill()
            process = None
        if process is None or not process.alive:
            process = self._process = PlotProcess(self.name, self._options)
        return process

    def wait_ready(self, timeout: float = 30.0) -> bool:
        """Wait until the process can draw; return whether it can."""
        process = self.start()
        return process.wait_for(lambda: process.screen, timeout)

    def wait_drawn(self, timeout: float = 10.0) -> bool:
        """Wait until the pictures of the last run are complete; return whether they are."""
        process, run = self._process, self._last
        return process is not None and process.wait_for(lambda: process.account(run).get("is") == "done", timeout)

    @property
    def pid(self) -> int | None:
        """Of the process that draws; None if there is none."""
        return self._process.pid if self._process is not None and self._process.alive else None

    @property
    def drawn(self) -> int:
        """How many frames of the last run were drawn so far, by the last word of the process that draws."""
        return int(self._process.account(self._last).get("drawn", 0)) if self._process is not None else 0

    def close(self) -> None:
        """End the process that draws, when the last picture is complete; the next run starts it again."""
        process, self._process = self._process, None
        if process is not None:
            process.close()
        arrays, self._arrays = self._arrays, None
        if arrays is not None:
            arrays.cleanup()

    # for its work

    def began(self, run: str) -> None:
        """Hear which run is the last one."""
        self._last = run

    def correction(self, start: Mapping[str, Any], descriptor: Mapping[str, Any], data_key: str) -> Message:
        """Return where flat and dark are, or why there are none; not in the RunEngine's thread: it reads files."""
        if self.flat_field is None or start.get("purpose") == "reference":
            return {}
        try:
            about = descriptor["data_keys"][data_key]
            mode = ColorMode(about.get("color_mode", ColorMode.MONO))
            geometry = Geometry(tuple(about["shape"]), about.get("dtype_numpy", "<f8"), mode)
            detector = object_name(descriptor, data_key)
            found = self.flat_field.references(detector, geometry, exposure_of(descriptor, data_key))
            return {kind: self._kept(reference) for kind, reference in found.items()}
        except Exception as error:
            return {"reason": str(error)}

    def _kept(self, reference: Reference | None) -> Message | None:
        """Return where the process finds a reference: its own file, or one that is made here."""
        if reference is None:
            return None
        path = reference.path
        if path is None:
            if self._arrays is None:
                self._arrays = tempfile.TemporaryDirectory(prefix="beamstream-plots-")
            path = Path(self._arrays.name) / f"{id(reference)}_{time.monotonic_ns()}.npy"
            np.save(path, reference.mean, allow_pickle=False)
        name = reference.name if reference.taken else f"{reference.kind} given as {reference.origin}"
        return {"path": str(path), "name": name}


def _close_all(plots: list[LivePlot]) -> None:
    for plot in plots:
        plot.close()


_open = OpenObjects(_close_all, early=True)
