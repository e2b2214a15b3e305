"""The documents of what a sink keeps: data keys, StreamResource, StreamDatum, as the stock TiledWriter reads them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from event_model import ComposeStreamResourceBundle, DataKey, compose_stream_resource
from event_model.documents import EventDescriptor

from beamstream.sinks.base import Stored, StoredArray

_DTYPES = {"S": "string", "b": "boolean"}  # of data keys, by numpy's kind


class SinkDocuments:
    """Compose the documents of one sink, each row once.

    Parameters
    ----------
    sink : Stored
        A sink, open or closed.
    name : str
        Of the detector: ``cam`` has the data keys ``cam_image``, ``cam_unique_id``, …
    start : dict, optional
        The run; a RunEngine puts its own in, elsewhere it is needed.
    pixels : str
        What the pixels are called: ``cam_image``.
    """

    def __init__(
        self, sink: Stored, name: str, *, start: Mapping[str, Any] | None = None, pixels: str = "image"
    ) -> None:
        self._sink = sink
        self._name = name
        self._start = start
        self.arrays = {f"{name}_{pixels if key == 'data' else key}": array for key, array in sink.arrays.items()}
        self._bundles: dict[str, ComposeStreamResourceBundle] = {}
        self.announced = 0
        """Rows that documents were made of."""
        self.is_broken = False
        """Whether documents of some arrays were emitted and of others not: their stream cannot go on."""
        self._resources: dict[str, dict[str, Any]] = {}
        self._latest: list[tuple[int, list[dict[str, Any]]]] = []  # rows before it, stream_datum documents of a step

    def recording_json(self) -> str:
        """Name the file and its arrays, so that it can be found when its writer is dead: HDF5 only."""
        arrays = [{"data_key": key, "dataset": a.parameters["dataset"]} for key, a in self.arrays.items()]
        return json.dumps({"detector": self._name, "uri": self._sink.uri, "arrays": arrays})

    def data_keys(self, source: str) -> dict[str, DataKey]:
        """Describe the arrays that stream datums refer to; `source` is a URI."""
        return {key: _data_key(array, source) for key, array in self.arrays.items()}

    @property
    def emitted(self) -> int:
        """Rows whose documents a RunEngine has emitted, of all arrays."""
        return next((rows for rows, datums in self._latest if not all(d["descriptor"] for d in datums)), self.announced)

    def withdraw_unused(self) -> None:
        """Forget documents that a RunEngine took and never emitted: it was paused, or failed, before an event's end.

        It fills them in only when it emits them (bluesky 1.15, `RunBundler._pack_external_assets`), one by one: what
        a subscriber raises ends that.
        """
        self.is_broken |= any(len({bool(d["descriptor"]) for d in datums}) > 1 for _, datums in self._latest)
        self.announced = self.emitted
        self._latest.clear()
        self._bundles = {key: b for key, b in self._bundles.items() if self._resources[key].get("run_start")}

    def up_to(self, stop: int, descriptor: EventDescriptor | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the documents for the rows that were not announced yet, up to `stop`.

        Parameters
        ----------
        stop : int
        descriptor : EventDescriptor, optional
            Of the stream that the rows are events of; a RunEngine puts its own in, elsewhere it is needed.
        """
        if stop <= self.announced or not self.arrays:
            return
        for key in [key for key in self.arrays if key not in self._bundles]:
            self._bundles[key] = self._resource(key)
            self._resources[key] = dict(self._bundles[key].stream_resource_doc)
            yield "stream_resource", self._resources[key]
        start, self.announced = self.announced, stop
        seq_nums = None if descriptor is None else {"start": start + 1, "stop": stop + 1}
        datums: list[dict[str, Any]] = []
        for key, array in self.arrays.items():
            rows = {"start": start + array.first, "stop": stop + array.first}
            datum = self._bundles[key].compose_stream_datum(rows, seq_nums, descriptor)  # pyright: ignore[reportArgumentType]
            datums.append(dict(datum))
        if descriptor is None:
            self._latest.append((start, datums))
        yield from (("stream_datum", datum) for datum in datums)

    def _resource(self, key: str) -> ComposeStreamResourceBundle:
        return compose_stream_resource(
            mimetype=self._sink.mimetype,
            uri=self.arrays[key].uri or self._sink.uri,
            data_key=key,
            parameters=dict(self.arrays[key].parameters),
            start=self._start,  # pyright: ignore[reportArgumentType]
        )


def key_dtype(shape: Sequence[int], dtype_numpy: str) -> str:
    """Return the ``dtype`` of a data key, by the shape and the type of what belongs to one frame."""
    return "array" if shape else _DTYPES.get(np.dtype(dtype_numpy).kind, "number")


def _data_key(array: StoredArray, source: str) -> DataKey:
    """Return the data key; pixels are an array, one number a frame is a number, or a text."""
    key: dict[str, Any] = {
        "source": source,
        "dtype": key_dtype(array.shape, array.dtype_numpy),
        "shape": list(array.shape),
        "dtype_numpy": array.dtype_numpy,
        "external": "STREAM:",
    }
    for about in ("units", "color_mode"):
        if getattr(array, about):
            key[about] = getattr(array, about)
    if array.attribute is not None:
        key["attribute"] = array.attribute
    if array.dims:
        key["dims"] = list(array.dims)
    return key  # pyright: ignore[reportReturnType]
