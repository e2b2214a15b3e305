"""Where the documents of what a RunEngine collects end: between them an error would break them off."""

from collections.abc import Mapping
from typing import Any


class Collects:
    """Follow the documents of a run.

    A RunEngine (bluesky 1.15, `RunBundler._pack_external_assets`) drops the rest of what it collected when a
    subscriber raises: the arrays of one file would have different numbers of rows.
    """

    def __init__(self) -> None:
        self._last: dict[str, str] = {}  # stream_resource, by URI

    def ends(self, name: str, doc: Mapping[str, Any]) -> bool:
        """Return whether nothing that belongs to a document comes behind it; to be asked about each."""
        if name == "stream_resource":
            self._last[doc.get("uri", "")] = doc["uid"]
            return False
        return name != "stream_datum" or doc["stream_resource"] in self._last.values()
