"""StreamResource and StreamDatum documents of one recorded file, as the stock TiledWriter understands them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from event_model import ComposeStreamResourceBundle, DataKey, compose_stream_resource

from beamstream.sinks.hdf5 import MIMETYPE
from beamstream.sinks.hdf5_layout import StoredArray


@dataclass(frozen=True, slots=True)
class RecordedArray:
    """One dataset of the file, and what it is called in documents."""

    data_key: str
    stored: StoredArray

    def describe(self, source: str) -> DataKey:
        """Return the data key; pixels are an array, one number a frame is a number."""
        key: dict[str, Any] = {
            "source": source,
            "dtype": "array" if self.stored.shape else "number",
            "shape": list(self.stored.shape),
            "dtype_numpy": self.stored.dtype_numpy,
            "external": "STREAM:",
        }
        if self.stored.units:
            key["units"] = self.stored.units
        return key  # pyright: ignore[reportReturnType]


class FileDocuments:
    """Compose the documents of one file, each row once.

    Parameters
    ----------
    path : Path
    arrays : list of RecordedArray
        They grow together, row by row.
    """

    def __init__(self, path: Path, arrays: list[RecordedArray]) -> None:
        self._path = path
        self.arrays = arrays
        self._bundles: list[ComposeStreamResourceBundle] = []
        self._told = 0

    def up_to(self, stop: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the documents for the rows that were not told of yet, up to `stop`."""
        if stop <= self._told:
            return
        if not self._bundles:
            self._bundles = [self._resource(array) for array in self.arrays]
            for bundle in self._bundles:
                yield "stream_resource", dict(bundle.stream_resource_doc)
        for bundle in self._bundles:
            yield (
                "stream_datum",
                dict(bundle.compose_stream_datum(indices={"start": self._told, "stop": stop})),
            )
        self._told = stop

    def _resource(self, array: RecordedArray) -> ComposeStreamResourceBundle:
        return compose_stream_resource(
            mimetype=MIMETYPE,
            uri=self._path.as_uri().replace("file://", "file://localhost", 1),
            data_key=array.data_key,
            parameters=array.stored.parameters,
        )
