"""Readings on their way into the table of a stream: what no column can hold is an error that names it.

bluesky-tiled-plugins 2.0 has pyarrow find out the type of a column from Python's values, and pyarrow ends at integers
beyond 2**63; of dictionaries tiled 0.2.20 makes an answer 500.
"""

from typing import Any

import numpy as np

from beamstream.errors import ArchiveError

_BEYOND_INT64 = 2**63


class Readings:
    """Give the unsigned integers of a run's events the type that they are declared with."""

    def __init__(self) -> None:
        self._unsigned: dict[str, frozenset[str]] = {}  # data keys, by the uid of their descriptor

    def __call__(self, name: str, doc: dict[str, Any]) -> dict[str, Any]:
        """Return a document to be filed.

        Raises
        ------
        ArchiveError
            A reading is none that a table can hold.
        """
        if name == "descriptor":
            keys = doc["data_keys"].items()
            self._unsigned[doc["uid"]] = frozenset(key for key, about in keys if _is_uint64(about.get("dtype_numpy")))
        elif name == "event":
            unsigned = self._unsigned.get(doc["descriptor"], frozenset())
            return {**doc, "data": {key: _reading(key, value, key in unsigned) for key, value in doc["data"].items()}}
        return doc


def _reading(key: str, value: Any, unsigned: bool) -> Any:
    if isinstance(value, dict):
        raise ArchiveError(f"archive: the reading {key} is {value!r:.60}; a reading is a number, text, or an array")
    if unsigned and value is not None:
        array = np.asarray(value, "u8")
        return list(array) if array.ndim == 1 else array[()] if array.ndim == 0 else value
    if isinstance(value, int) and value >= _BEYOND_INT64:
        raise ArchiveError(
            f"archive: the reading {key} is {value}, an integer beyond 63 bits that its descriptor does not declare; "
            'give its data key the dtype_numpy "<u8"'
        )
    return value


def _is_uint64(dtype: Any) -> bool:
    return isinstance(dtype, str) and dtype in ("<u8", "|u8", ">u8", "u8", "uint64")
