"""Live plots of what is recorded, drawn in a process of their own so that they cannot slow a run."""

import logging
import tempfile
import time
import weakref
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import numpy as np

from beamstream.callbacks.flatfield import FlatField, exposure_of
from beamstream.callbacks.work import Emit, image_keys, is_derived, object_name
from beamstream.exits import before_exit
from beamstream.frames import ColorMode, Geometry
from beamstream.plots.inbox import Message
from beamstream.plots.process import PlotProcess
from beamstream.references import Reference
from beamstream.sinks.hdf5 import MIMETYPE

log = logging.getLogger(__name__)

FALLBACK = Path("data/plots")
"""Where pictures go when there is neither a display nor a directory given."""
_GRACE = 0.5  # s that the end of a run waits for the account
_open: "weakref.WeakSet[LivePlot]" = weakref.WeakSet()


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
        self._detectors, self._stream = detectors, stream
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

    def close(self) -> None:
        """End the process that draws, when the last picture is complete; the next run starts it again."""
        process, self._process = self._process, None
        if process is not None:
            process.close()
        arrays, self._arrays = self._arrays, None
        if arrays is not None:
            arrays.cleanup()

    # for its work

    def wants(self, descriptor: Mapping[str, Any], data_key: str) -> bool:
        """Return whether these images are to be drawn."""
        detector = object_name(descriptor, data_key)
        if is_derived(descriptor, data_key) != (self._stream != "raw"):
            return False
        if self._stream != "raw":
            if not detector.endswith(f"_{self._stream}"):
                return False
            detector = detector.removesuffix(f"_{self._stream}")
        return self._detectors is None or detector in self._detectors

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
        return {"path": str(path), "name": reference.name}


class LiveWork:
    """What a live plot does for one run: pass on which frames there are."""

    def __init__(self, of: LivePlot, process: PlotProcess, start: Mapping[str, Any]) -> None:
        self.error: Exception | None = None
        self.moved = time.monotonic()
        self._of, self._process, self._start = of, process, start
        self._uid: str = start["uid"]
        self._rings: dict[str, str] = {}  # by data key
        self._resources: dict[str, Mapping[str, Any]] = {}
        self._announced: dict[str, int] = {}  # rows, by data key
        self._asked: float | None = None
        of.began(self._uid)
        scan_id = start.get("scan_id")
        self._tell(
            {
                "do": "begin",
                "scan_id": scan_id if isinstance(scan_id, int) else 0,
                "plan": str(start.get("plan_name", "")),
                "time": start.get("time", time.time()),
            }
        )

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Pass on what a document tells of frames; does not wait."""
        match name:
            case "descriptor":
                for data_key in image_keys(doc):
                    if self._of.wants(doc, data_key):
                        self._rings[data_key] = object_name(doc, data_key)
                        self._process.tell(partial(self._source, doc, data_key))
            case "stream_resource" if doc.get("mimetype") == MIMETYPE and doc["data_key"] in self._rings:
                self._resources[doc["uid"]] = doc
            case "stream_datum" if doc["stream_resource"] in self._resources:
                self._announce(self._resources[doc["stream_resource"]], doc["indices"]["stop"])

    def _announce(self, resource: Mapping[str, Any], stop: int) -> None:
        data_key = resource["data_key"]
        self._announced[data_key] = max(self._announced.get(data_key, 0), stop)
        message = {
            "do": "rows",
            "ring": self._rings[data_key],
            "path": unquote(urlsplit(resource["uri"]).path),
            "dataset": resource["parameters"]["dataset"],
            "stop": self._announced[data_key],
        }
        self._tell(message, key=(self._uid, data_key))  # takes the place of one that still waits

    def _source(self, descriptor: Mapping[str, Any], data_key: str) -> Message:
        correction = self._of.correction(self._start, descriptor, data_key)
        return {"do": "source", "run": self._uid, "ring": self._rings[data_key], "correction": correction}

    def _tell(self, message: Message, key: object = None) -> None:
        self._process.tell({**message, "run": self._uid}, key)

    # the end of the run

    @property
    def progress(self) -> tuple[int, int]:
        """Return that nothing is waited for."""
        return 0, 0

    def finish(self) -> None:
        """Hear that nothing more is announced; does not wait."""
        if self._asked is None:
            self._asked = time.monotonic()
            self._process.end(self._uid)

    def wait(self, timeout: float) -> bool:
        """Wait for the account, but not for long: the last picture may come later."""
        process = self._process
        if not process.screen or not process.alive or self._asked is None:
            return True
        left = self._asked + _GRACE - time.monotonic()
        if process.wait_for(lambda: process.account(self._uid).get("is") in ("ended", "done"), min(timeout, left)):
            return True
        if time.monotonic() - self._asked >= _GRACE and process.alive:
            process.warn(f"the process that draws (pid {process.pid}) does not answer")
        return time.monotonic() - self._asked >= _GRACE or not process.alive

    def give_up(self) -> None:
        """Wait no longer."""
        self.finish()

    @property
    def account(self) -> dict[str, Any]:
        """What was drawn while the run went on: ``drawn``, ``dropped``, ``errors``, and the last ``error``.

        ``dropped`` frames were recorded, and not drawn.
        """
        said = self._process.account(self._uid)
        drawn = int(said.get("drawn", 0))
        return {
            "drawn": drawn,
            "dropped": max(0, sum(self._announced.values()) - drawn),
            "errors": int(said.get("errors", 0)),
            "error": str(said.get("error", "")),
        }


class LiveImage(LivePlot):
    """Show the newest frame of each detector while it is recorded, with profiles, histogram and colour bar.

    In a window where there is a display, otherwise as PNG files: ``<detector>_live.png`` while the run goes on, and
    ``<scan_id>_<uid>_<detector>.png`` of its last frame.

    Parameters
    ----------
    detectors : collection of str, optional
        Whose frames; all by default.
    stream : str
        ``"raw"`` for what was recorded, or the name of what was derived: ``"corrected"``.
    period : float, optional
        s between drawings, at least; 0.1 in windows, 1 for files.
    directory : path-like, optional
        For files in place of windows; without it and without a display, ``data/plots``.
    cmap : str
        Matplotlib's name of the colours.
    percentile : tuple of float
        Which part of the pixels is darker than the darkest colour, and than the brightest, per cent.
    flat_field : beamstream.callbacks.flatfield.FlatField, optional
        Correct what is shown, as this callback would; it need not be in the chain. Where references are missing the
        raw frame is shown, and the picture says so.
    pipeline : path-like, optional
        A pipeline file; processors that fail are left out, and the picture says so.
    name : str, optional
        ``"live_image"``, with the name of the stream: of the callback in the run's account.
    """

    def __init__(
        self,
        detectors: Collection[str] | None = None,
        *,
        stream: str = "raw",
        period: float | None = None,
        directory: str | Path | None = None,
        cmap: str = "viridis",
        percentile: tuple[float, float] = (1, 99.5),
        flat_field: FlatField | None = None,
        pipeline: str | Path | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            "image",
            {"cmap": cmap, "percentile": percentile},
            name or _named("live_image", stream),
            detectors=detectors,
            stream=stream,
            period=period,
            directory=directory,
            flat_field=flat_field,
            pipeline=pipeline,
        )


class LiveWaterfall(LivePlot):
    """Show how a profile changes: one line a frame that is looked at, the newest on top and as a curve above.

    Files are called ``<detector>_waterfall_live.png`` and ``<scan_id>_<uid>_<detector>_waterfall.png``.

    Parameters
    ----------
    detectors, stream, period, directory, cmap, percentile, flat_field, pipeline, name
        See `LiveImage`.
    average : {"rows", "columns"}
        What the profile is the mean over: ``"rows"`` leaves one value a column.
    region : tuple of int, optional
        ``(row, col, n_rows, n_cols)`` in px; the whole image by default.
    profiles : int
        How many are shown.
    """

    def __init__(
        self,
        detectors: Collection[str] | None = None,
        *,
        stream: str = "raw",
        period: float | None = None,
        directory: str | Path | None = None,
        cmap: str = "magma",
        percentile: tuple[float, float] = (1, 99.5),
        flat_field: FlatField | None = None,
        pipeline: str | Path | None = None,
        name: str | None = None,
        average: Literal["rows", "columns"] = "rows",
        region: tuple[int, int, int, int] | None = None,
        profiles: int = 300,
    ) -> None:
        name = name or _named("live_waterfall", stream)
        if average not in ("rows", "columns"):
            raise ValueError(f"{name}: average {average!r} given; use 'rows' or 'columns'")
        if profiles < 2:
            raise ValueError(f"{name}: profiles={profiles} given; use 2 or more")
        if region is not None and (len(region) != 4 or min(region) < 0 or 0 in region[2:]):
            raise ValueError(f"{name}: region {region} given; use (row, col, n_rows, n_cols) in px")
        super().__init__(
            "waterfall",
            {"cmap": cmap, "percentile": percentile, "average": average, "region": region, "profiles": profiles},
            name,
            detectors=detectors,
            stream=stream,
            period=period,
            directory=directory,
            flat_field=flat_field,
            pipeline=pipeline,
        )


def _named(kind: str, stream: str) -> str:
    return kind if stream == "raw" else f"{kind}_{stream}"


def _close_all() -> None:
    for plot in list(_open):
        plot.close()


before_exit(_close_all)
