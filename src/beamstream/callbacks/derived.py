"""A stream that is made of another one of the same run: where its frames go, and its documents."""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol
from uuid import uuid4

from beamstream.callbacks.axes import pixel_of_made
from beamstream.callbacks.images import DERIVED, Emit, Source
from beamstream.errors import CallbackFailed, RingError
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.ring import Ring
from beamstream.ring_size import LEAST_SLOTS
from beamstream.sinks.base import Sink
from beamstream.sinks.documents import SinkDocuments
from beamstream.slot_memory import slot_bytes

log = logging.getLogger(__name__)

_PUBLISH = 0.5  # s between two sets of documents


class DerivedStream:
    """Keep frames that were made of others, and emit their documents.

    The stream is named ``<stream>_<name>``, its data keys and its ring begin with ``<detector>_<name>``. To be used
    from one thread.

    Parameters
    ----------
    start : dict
        The run.
    source : Source
        What the frames are made of.
    name : str
        ``"corrected"``.
    sink : Sink
        Opened here, closed by `close`.
    about : dict
        What was done, in values that JSON can carry; goes into the descriptor's configuration.
    emit : callable, optional
        Takes the documents; without it, and of a format that tiled cannot read, there are none.
    ring_memory : int
        Shared memory for those who want to see the newest, bytes; 0: none.

    Raises
    ------
    SinkError
        There is no place for them.
    """

    def __init__(
        self,
        start: Mapping[str, Any],
        source: Source,
        name: str,
        sink: Sink,
        about: Mapping[str, Any],
        emit: Emit | None,
        *,
        ring_memory: int = 0,
    ) -> None:
        self.name = f"{source.name}_{name}"
        self.kept = 0
        self._emit = emit
        self._published = time.monotonic()
        uri = f"{source.descriptor['uid']}/{source.data_key}"
        self._ring = _ring(self.name, ring_memory, uri, sink) if ring_memory else None
        sink.ring = "" if self._ring is None else self._ring.token
        try:
            self._sink = sink.__enter__()
        except BaseException:
            self._close_ring()
            raise
        self._documents = SinkDocuments(sink, self.name, start=start)
        data_keys: dict[str, Any] = dict(self._documents.data_keys(f"derived from {source.data_key}"))
        if "data" in sink.arrays:
            pixel = pixel_of_made(source.descriptor, source.data_key, sink.arrays["data"].shape)
            data_keys[f"{self.name}_image"].update(pixel)
        stream = f"{source.descriptor.get('name', 'primary')}_{name}"
        about = {DERIVED: source.data_key, **about}
        self._descriptor: Any = descriptor_of(start, stream, {self.name: data_keys}, {self.name: about})
        if emit is not None and data_keys:
            emit("descriptor", self._descriptor)

    def write(self, frames: list[Frame]) -> None:
        """Keep frames, and emit their documents when it is time."""
        if self._ring is not None:
            frames = [replace(frame, ring_index=self._ring.put(frame)) for frame in frames]
        self.kept = self._sink.write(frames)
        if time.monotonic() - self._published > _PUBLISH:
            self.publish()

    def publish(self) -> None:
        """Emit documents of what is kept."""
        self._published = time.monotonic()
        if self._emit is not None:
            for name, doc in self._documents.up_to(self.kept, self._descriptor):
                self._emit(name, doc)

    def close(self, *, complete: bool = True) -> None:
        """Emit documents of the rest, and finish the file; `complete`: whether all frames are in it."""
        try:
            self.publish()
        finally:
            try:
                self._sink.__exit__(None if complete else CallbackFailed, None, None)
            finally:
                self._close_ring()

    def _close_ring(self) -> None:
        if self._ring is not None:
            self._ring.close()


def _ring(name: str, memory: int, source: str, sink: Sink) -> Ring | None:
    """Return a ring that is ready, or None where the shared memory is too small: the file has the frames as well."""
    pixels = sink.arrays["data"]
    geometry = Geometry(pixels.shape, pixels.dtype_numpy, ColorMode(pixels.color_mode))
    ring = Ring(name, memory=max(memory, LEAST_SLOTS * slot_bytes(geometry)), source=source)
    try:
        ring.prepare(geometry)
    except RingError as error:
        log.warning("%s; they are read from the file", error)
        return None
    return ring


class Closable(Protocol):
    """What a run ends with."""

    def close(self, *, complete: bool) -> None:
        """Finish; `complete`: whether everything is in it."""
        ...


def close_all(streams: Iterable[Closable | None], *, complete: bool) -> None:
    """Close streams, all of them, and raise the first error of those that cannot be."""
    errors: list[Exception] = []
    for stream in streams:
        try:
            if stream is not None:
                stream.close(complete=complete)
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


def descriptor_of(
    start: Mapping[str, Any],
    stream: str,
    data_keys: Mapping[str, Mapping[str, Any]],
    configuration: Mapping[str, Mapping[str, Any]],
    hints: Mapping[str, list[str]] | None = None,
) -> dict[str, Any]:
    """Compose a descriptor.

    Parameters
    ----------
    start : dict
    stream : str
    data_keys : dict
        By name of the object, then by data key.
    configuration : dict
        By name of the object: plain values.
    hints : dict, optional
        By name of the object: which data keys are worth plotting.
    """
    now = time.time()
    keys = {k: {**about, "object_name": obj} for obj, group in data_keys.items() for k, about in group.items()}
    return {
        "uid": str(uuid4()),
        "run_start": start["uid"],
        "time": now,
        "name": stream,
        "data_keys": keys,
        "object_keys": {obj: list(group) for obj, group in data_keys.items()},
        "configuration": {obj: _configuration(values, now) for obj, values in configuration.items()},
        "hints": {obj: {"fields": (hints or {}).get(obj, [])} for obj in data_keys},
    }


def event_of(descriptor: Mapping[str, Any], seq_num: int, data: Mapping[str, Any]) -> dict[str, Any]:
    """Compose an event of plain values, now."""
    now = time.time()
    return {
        "uid": str(uuid4()),
        "descriptor": descriptor["uid"],
        "time": now,
        "seq_num": seq_num,
        "data": dict(data),
        "timestamps": dict.fromkeys(data, now),
        "filled": {},
    }


def _configuration(values: Mapping[str, Any], now: float) -> dict[str, Any]:
    return {
        "data": dict(values),
        "timestamps": dict.fromkeys(values, now),
        "data_keys": {key: _described(value) for key, value in values.items()},
    }


def _described(value: Any) -> dict[str, Any]:
    kinds = {bool: "boolean", str: "string", int: "integer", float: "number"}
    shape = [len(value)] if isinstance(value, list | tuple) else []
    return {"source": "beamstream", "dtype": kinds.get(type(value), "array"), "shape": shape}
