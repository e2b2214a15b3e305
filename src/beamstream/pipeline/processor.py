"""Processor: one step of a pipeline, which cannot do more harm than fail on a frame."""

import inspect
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import BeamstreamError, PipelineError, ProcessorFailed
from beamstream.ops.base import described

Call = Callable[[NDArray[Any], dict[str, Any]], Any]
_HERE = str(Path(__file__).parent)
_NUMBERS = "buifc"


@dataclass(frozen=True, slots=True)
class ProcessorStatistics:
    """What a processor did so far.

    Parameters
    ----------
    calls, failures : int
        Frames; a failure is a call too.
    seconds : float
        Spent in it.
    last_error : str or None
    """

    name: str
    calls: int
    failures: int
    seconds: float
    last_error: str | None


class Processor:
    """Call one op or function, check what it returns, count.

    Our own ops get the image for reading only, as an op is promised. Others get a copy of their own: plug-ins for
    Pystream change their image in place, or keep it for the next call, while a ring or an op before reuses its memory.

    Parameters
    ----------
    op : object
        An op, or a function of an image, or of an image and its meta.
    name : str
        What its errors and statistics call it.
    description : Mapping, optional
        Where it comes from and its parameters, in values that JSON can carry.
    """

    def __init__(self, op: object, name: str, description: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.op = op
        self._call = calling(op)
        self._description = dict(description or {"op": name_of(op), "parameters": getattr(op, "keywords", {})})
        self._trusted = type(op).__module__.startswith("beamstream.")
        self._expected: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._calls = self._failures = 0
        self._seconds = 0.0
        self._last_error: str | None = None

    def apply(self, image: NDArray[Any], meta: dict[str, Any]) -> NDArray[Any]:
        """Return the new image.

        Raises
        ------
        ProcessorFailed
            The op raised, or what it returned is no image, is another kind of image than before for such
            frames, or has a NaN that was not there.
        """
        self._calls += 1
        start = time.perf_counter()
        try:
            result = self._result(_locked(image) if self._trusted else image.copy(), meta)
            self._check(image, result)
        except (Exception, SystemExit) as error:  # a plug-in may call sys.exit
            self._failures += 1
            self._last_error = _told(error, self.op)
            raise ProcessorFailed(f"{self.name}: no image of frame {meta.get('uid')}: {self._last_error}") from error
        finally:
            self._seconds += time.perf_counter() - start
        return result

    def statistics(self) -> ProcessorStatistics:
        """Return what happened so far; any thread may ask."""
        return ProcessorStatistics(self.name, self._calls, self._failures, self._seconds, self._last_error)

    def describe(self) -> dict[str, Any]:
        """Return name, origin and parameters in values that JSON can carry."""
        said = {key: value for key, value in described(self.op).items() if key != "name"}
        parameters = self._description.get("parameters", {}) | said
        whole = {"name": self.name, **self._description, "parameters": parameters}
        return json.loads(json.dumps(whole, default=str, skipkeys=True), parse_constant=str)  # NaN is not JSON

    def _result(self, image: NDArray[Any], meta: dict[str, Any]) -> NDArray[Any]:
        result = self._call(image, meta)
        if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping | None):
            result, said = result  # as Pystream's functions may
            meta.update(said or {})
        if not isinstance(result, np.ndarray) or isinstance(result, np.ma.MaskedArray):
            raise _refused(f"returned {_kind(result)}", "return the image, an array")
        return np.asarray(result)

    def _check(self, image: NDArray[Any], result: NDArray[Any]) -> None:
        if result.dtype.kind not in _NUMBERS or not result.size or not result.ndim:
            raise _refused(f"returned {_kind(result)}", "return rows and columns of numbers")
        now = (result.shape, result.dtype)
        before = self._expected.setdefault((image.shape, image.dtype), now)
        if now != before:
            shape = f"changed from {_geometry(*before)} to {_geometry(*now)}"
            raise _refused(shape, "return the same shape and type for each frame")
        if _has_nan(result) and not _has_nan(image):
            raise _refused("returned NaN where the frame has none", "look for a division by zero")


def calling(op: object) -> Call:
    """Return how to call an op with an image and its meta.

    Raises
    ------
    PipelineError
        It has no method ``apply`` and is no function.
    """
    apply = getattr(op, "apply", None)
    if callable(apply) and not isinstance(op, type):
        return apply
    if not callable(op) or isinstance(op, type):
        raise PipelineError(f"{name_of(op)}: no op; give an object with apply(image, meta), or a function of an image")
    return _function(op)


def _function(function: Callable[..., Any]) -> Call:
    """Return a call with meta by its name (or among ``**options``), by its place where that is required, or without."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # written in C
        parameters = []
    kinds = inspect.Parameter
    if any(
        p.kind is kinds.VAR_KEYWORD or (p.name == "meta" and p.kind is not kinds.POSITIONAL_ONLY) for p in parameters
    ):
        return lambda image, meta: function(image, meta=meta)
    positional = (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.default is p.empty and p.kind in positional]
    return function if len(required) > 1 else lambda image, meta: function(image)


def _refused(what: str, advice: str) -> PipelineError:
    return PipelineError(f"{what}; {advice}")


def _told(error: BaseException, op: object) -> str:
    """Return type and text of an error, and where in the processor's code it came from; ours say all in the text."""
    if isinstance(error, BeamstreamError):
        return str(error)
    place = place_of(error, _file_of(op))
    return f"{type(error).__name__}: {error}" + (f" ({place})" if place else "")


def place_of(error: BaseException, file: str) -> str:
    """Return ``file:line`` of an error: the innermost near `file`, otherwise the first outside the pipeline."""
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    outside = [place for place in frames if not place[0].startswith((_HERE, "<frozen importlib"))]
    near = [place for place in outside if Path(place[0]).parent == Path(file).parent]
    return "{}:{}".format(*(near[-1] if near else outside[0])) if outside else ""


def _file_of(op: object) -> str:
    function: Any = getattr(type(op), "apply", None) or getattr(op, "func", op)
    return function.__code__.co_filename if hasattr(function, "__code__") else ""


def _locked(image: NDArray[Any]) -> NDArray[Any]:
    """Return the image for reading only."""
    if image.flags.writeable:
        image = image.view()
        image.flags.writeable = False
    return image


def _has_nan(image: NDArray[Any]) -> bool:
    """Return whether there is a NaN; as a rule one sum says that there is none, at the speed of memory."""
    if image.dtype.kind not in "fc":
        return False
    with np.errstate(all="ignore"):
        total = image.sum(dtype=np.float32 if image.dtype == np.float16 else None)
    return not np.isfinite(total) and bool(np.isnan(image).any())  # a sum may overflow


def _kind(result: object) -> str:
    if isinstance(result, np.ma.MaskedArray):
        return "a masked array"
    if isinstance(result, np.ndarray):
        return f"an array of {_geometry(result.shape, result.dtype)}"
    return "None" if result is None else f"{type(result).__name__}, no array"


def _geometry(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    return f"{' × '.join(map(str, shape)) or 'no axis,'} {dtype}"


def name_of(op: object) -> str:
    """Return what people call an op: its class, or the function's own name."""
    named = getattr(op, "func", op)  # a partial's function
    return getattr(named, "__name__", None) or type(op).__name__
