"""Files that several streams have rows of, such as darks between the images of a scan: each gets its own rows.

A detector has one file for all that it takes while it is staged, and bluesky says of each row which stream it belongs
to. TiledWriter takes a file for that of the first such stream, and all of it from its first row on.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid5

from bluesky_tiled_plugins.writing.consolidators import CONSOLIDATOR_REGISTRY, HDF5Consolidator

from beamstream.archive.documents import Document
from beamstream.archive.hdf5_rows import ROWS


class Shares:
    """Give each stream a resource of its own."""

    def __init__(self) -> None:
        self._resources: dict[str, dict[str, Any]] = {}
        self._owners: dict[str, str] = {}  # descriptor that a resource was first used with
        self._told: set[str] = set()

    def __call__(self, name: str, doc: dict[str, Any]) -> Iterator[Document]:
        """Return what to file in place of a document."""
        if name == "stream_resource":
            self._resources[doc["uid"]] = doc
        elif name == "stream_datum":
            resource, descriptor = doc["stream_resource"], doc["descriptor"]
            if self._owners.setdefault(resource, descriptor) != descriptor:
                uid = str(uuid5(UUID(resource), descriptor))
                if uid not in self._told:
                    self._told.add(uid)
                    yield Document("stream_resource", {**self._resources[resource], "uid": uid})
                doc = {**doc, "stream_resource": uid}
        yield Document(name, doc)


class SomeRows(HDF5Consolidator):
    """Name the rows of a file that a stream has, where these are not simply the first ones.

    A point of a scan that was taken again has two rows of the same number: the later one is the event's.
    """

    def __init__(self, stream_resource: Any, descriptor: Any) -> None:
        super().__init__(stream_resource, descriptor)
        self._rows: list[list[int]] = []
        self._next = 0  # seq_num

    def consume_stream_datum(self, doc: Any) -> Any:
        """Take note of rows."""
        start, stop = doc["indices"]["start"], doc["indices"]["stop"]
        self._withdraw(self._next - doc["seq_nums"]["start"])
        self._next = doc["seq_nums"]["stop"]
        if self._rows and self._rows[-1][1] == start:
            self._rows[-1][1] = stop
        elif stop > start:
            self._rows.append([start, stop])
        return super().consume_stream_datum(doc)

    def _withdraw(self, count: int) -> None:
        """Forget the last rows: they are taken again."""
        while count > 0 and self._rows:
            last = self._rows[-1]
            fewer = min(count, last[1] - last[0])
            last[1] -= fewer
            self._num_rows -= fewer
            count -= fewer
            if last[0] == last[1]:
                self._rows.pop()

    def adapter_parameters(self) -> dict[str, Any]:
        """Return what the server's reader of the file is told."""
        simple = len(self._rows) < 2 and all(start == 0 for start, _ in self._rows)
        return super().adapter_parameters() | ({} if simple else {ROWS: self._rows})


def register() -> None:
    """Have TiledWriter use `SomeRows` in this process."""
    CONSOLIDATOR_REGISTRY["application/x-hdf5"] = SomeRows
