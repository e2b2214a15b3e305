"""What of the attributes of frames fits into no column, as an array of bytes in a Zarr group."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from beamstream.sinks.attribute_lines import AttributeLines
from beamstream.sinks.hdf5_layout import Column
from beamstream.sinks.zarr_layout import GrowingDocument, bytes_document
from beamstream.sinks.zarr_shards import Column as Numbers

_PER_CHUNK = 1 << 16  # bytes in one file


class ZarrAttributes(AttributeLines):
    """Keep the lines of `AttributeLines` in the array ``attribute_changes`` of a group, made when there is the first.

    Parameters
    ----------
    group : Path
        The directory.
    attributes, name, elsewhere
        As for `AttributeLines`.
    """

    def __init__(
        self, group: Path, attributes: Mapping[str, Any] | None, name: str, elsewhere: Sequence[Column]
    ) -> None:
        super().__init__(group, attributes, name, elsewhere, kinds="bif")  # Zarr v3 has no text of a fixed length
        self.path = group / "attribute_changes"
        self._document: GrowingDocument | None = None
        self._bytes = Numbers(self.path, "|u1", _PER_CHUNK)
        self._count = 0

    def _write(self, lines: bytes) -> None:
        if self._document is None:
            self.path.mkdir()
            self._document = GrowingDocument(self.path, bytes_document(_PER_CHUNK))
        self._bytes.append(np.frombuffer(lines, np.uint8), self._count)
        self._count += len(lines)
        self._document.publish(self._count)

    def files(self) -> tuple[Path, ...]:
        """Return what a sync is needed of."""
        if self._document is None:
            return ()
        return *self._bytes.files(0, self._count), *self._document.files()

    def close(self) -> None:
        """Close the files."""
        self._bytes.close()
        if self._document is not None:
            self._document.close()
            self._document = None
