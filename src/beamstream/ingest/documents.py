"""The run of a stream: every document a function of what is stored, so that a restart goes on with the same ones."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID, uuid5

from beamstream.archive.documents import COPY_PLAN
from beamstream.callbacks.derived import descriptor_of, event_of
from beamstream.file_uri import uri_of
from beamstream.ingest.catalogue import Item
from beamstream.ingest.files import StreamFiles
from beamstream.ingest.tokens import Chunk
from beamstream.sinks.base import StoredArray
from beamstream.sinks.documents import SinkDocuments
from beamstream.sinks.zarr import MIMETYPE

DETECTOR = "rheed"
_TAGGED_RUN, _TAGGED_RULE = "run:", "8bit:"
_SETTINGS = {
    "fps_capture_rate": "frames_per_second",
    "rotations_per_min": "rotations_per_min",
    "rotational_period": "frames_per_turn",
    "azimuth_label": "azimuth",
    "project_id": "project_id",
}


def start_of(item: Item) -> dict[str, Any]:
    """Return the start document of a stream: what was known when its first frames came."""
    start: dict[str, Any] = {
        "uid": item.run,
        "time": item.created,
        "plan_name": COPY_PLAN,
        "data_id": item.data_id,
        "stream_name": item.settings.get("data_item_name") or item.settings.get("stream_name") or "",
        "tags": list(item.tags),
    }
    if item.kind == "rheed":
        start["detectors"] = [DETECTOR]
    if item.sample is not None:
        start |= {"sample": item.sample[1], "physical_sample": item.sample[1], "physical_sample_id": item.sample[0]}
    if item.run != item.data_id:
        start["continues"] = item.data_id
    return start | _tagged(item, _TAGGED_RUN, "recorded_run")


def stop_of(item: Item, ended: float, reason: str, num_events: Mapping[str, int]) -> dict[str, Any]:
    """Return the stop document of a stream."""
    return {
        "uid": uid(item, "stop"),
        "time": ended,
        "run_start": item.run,
        "exit_status": "success",
        "reason": reason,
        "num_events": dict(num_events),
    }


def uid(item: Item, what: str) -> str:
    """Return the uid of a document of a stream's run, the same at each call."""
    return str(uuid5(UUID(item.run), what))


class StreamDocuments:
    """Compose the documents of the frames of one stream.

    Parameters
    ----------
    item : Item
    files : StreamFiles
    first : Chunk
        Any chunk of it: they are all of one geometry.
    """

    def __init__(self, item: Item, files: StreamFiles, first: Chunk) -> None:
        self._item = item
        shape = (first.rows, first.columns)
        per_frame = {"chunk_shape": [1, *shape]}
        image = StoredArray("|u1", shape, "counts", per_frame, color_mode="mono", uri=uri_of(files.frames))
        times = StoredArray("<f8", (), "s", {"chunk_shape": [first.chunk_size]}, uri=uri_of(files.timestamp))
        self.uri, self.mimetype = image.uri, MIMETYPE
        self.arrays = {"data": image, "timestamp": times}
        self._by_key = SinkDocuments(self, DETECTOR).arrays
        self._descriptor = uid(item, "primary")
        self._chunk_size = first.chunk_size

    def beginning(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what comes before any frame."""
        start = start_of(self._item)
        yield "start", start
        settings = self._item.settings
        about = {new: settings[old] for old, new in _SETTINGS.items() if settings.get(old) is not None}
        about |= {"chunk_size": self._chunk_size} | _tagged(self._item, _TAGGED_RULE, "eight_bit_rule")
        keys = SinkDocuments(self, DETECTOR).data_keys(f"ingest/{self._item.data_id}")
        descriptor = descriptor_of(start, "primary", {DETECTOR: keys}, {DETECTOR: about})
        yield "descriptor", {**descriptor, "uid": self._descriptor}
        for key, array in self._by_key.items():
            resource = {"mimetype": MIMETYPE, "uri": array.uri, "parameters": dict(array.parameters)}
            yield (
                "stream_resource",
                {"uid": uid(self._item, key), "run_start": start["uid"], "data_key": key, **resource},
            )

    def rows(self, told: Mapping[str, int], stop: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what says that rows up to `stop` are there; `told` are those that were told of by stream_resource."""
        for key in self._by_key:
            resource = uid(self._item, key)
            start = told.get(resource, 0)
            if start < stop:
                datum = {"uid": f"{resource}/{start}", "stream_resource": resource, "descriptor": self._descriptor}
                numbers = {"start": start + 1, "stop": stop + 1}
                yield "stream_datum", {**datum, "indices": {"start": start, "stop": stop}, "seq_nums": numbers}

    def account(self, frames: int, rows: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the ledger: how many frames came, and how many are missing between them."""
        numbers = {"received": frames, "recorded": frames, "lost": rows - frames}
        data = {f"{DETECTOR}_ledger_{what}": number for what, number in numbers.items()}
        keys = {key: {"source": "ingest", "dtype": "integer", "shape": [], "dtype_numpy": "<i8"} for key in data}
        descriptor = descriptor_of({"uid": self._item.run}, "ledger", {DETECTOR: keys}, {})
        descriptor["uid"] = uid(self._item, "ledger")
        yield "descriptor", descriptor
        yield "event", {**event_of(descriptor, 1, data), "uid": uid(self._item, "account")}


def _tagged(item: Item, prefix: str, name: str) -> dict[str, str]:
    """Return what a tag such as ``run:<uid>`` says."""
    said = [tag.removeprefix(prefix).strip() for tag in item.tags if tag.startswith(prefix)]
    return {name: said[0]} if said else {}
