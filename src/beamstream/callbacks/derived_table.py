"""A stream of numbers that are made of the frames of another one: a row a frame, documented in batches."""

import math
import time
from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from beamstream.callbacks.derived import descriptor_of
from beamstream.callbacks.images import DERIVED, Emit, Source
from beamstream.sinks.documents import SinkDocuments
from beamstream.sinks.hdf5_table import Hdf5Table, TableColumn

_PUBLISH = 2.0  # s between two sets of documents: each is a request to the archive for each column
MADE = "made"
"""Key in a stream's configuration that names what its numbers are: ``"intensity"`` or ``"strip"``."""


class DerivedTable:
    """Keep numbers of each frame in a file beside the recorded one, and emit their documents.

    The stream is named ``<stream>_<name>``, the file ``<recorded file>_<name>.h5``, a data key
    ``<detector>_<column>``. To be used from one thread.

    Parameters
    ----------
    start : dict
        The run.
    source : Source
        What the numbers are made of.
    name : str
        ``"intensity"``.
    columns : Mapping of str to TableColumn
        What time it is in the column ``<name>_time``, which comes last.
    about : dict
        How they were made, in values that JSON can carry; goes into the descriptor's configuration.
    emit : callable
        Takes the documents.

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
        columns: Mapping[str, TableColumn],
        about: Mapping[str, Any],
        emit: Emit,
    ) -> None:
        path = source.path.with_name(f"{source.path.stem}_{name}.h5")
        when = f"{name}_time"
        columns = {**columns, when: TableColumn(units="s")}
        origin = {"source": f"{source.path.name}/{source.data_key}", "detector": source.name}
        self._table = Hdf5Table(path, columns, time=when, name=f"{source.name}_{name}", attributes={**origin, **about})
        self._table.open()
        self._emit = emit
        self._published = -math.inf  # who draws wants to know soon where the file is
        self._documents = SinkDocuments(self._table, source.name, start=start)
        about = {DERIVED: source.data_key, "detector": source.name, **about}
        self._descriptor: Any = descriptor_of(
            start,
            f"{source.descriptor.get('name', 'primary')}_{name}",
            {f"{source.name}_{name}": self._documents.data_keys(f"derived from {source.data_key}")},
            {f"{source.name}_{name}": about},
        )
        emit("descriptor", self._descriptor)

    def append(self, rows: Mapping[str, ArrayLike]) -> None:
        """Keep rows, and emit their documents when it is time."""
        self._table.append(rows)
        if time.monotonic() - self._published > _PUBLISH:
            self.publish()

    def publish(self) -> None:
        """Emit documents of what is kept."""
        self._published = time.monotonic()
        for name, doc in self._documents.up_to(self._table.kept, self._descriptor):
            self._emit(name, doc)

    def close(self, *, complete: bool = True) -> None:
        """Emit documents of the rest, and finish the file; `complete`: whether all frames are in it."""
        try:
            self.publish()
        finally:
            self._table.close(complete=complete)
