"""Which row of a recorded file belongs where in a scan, and what was read there."""

import threading
from collections.abc import Mapping
from typing import Any

from beamstream.callbacks.axes import is_finite
from beamstream.callbacks.viewer_axes import RunAxes


class Places:
    """Bring together which row an event is and what was read then; written and read in two threads."""

    def __init__(self, axes: RunAxes) -> None:
        self._axes = axes
        self._lock = threading.Lock()
        self._read: dict[int, dict[str, float]] = {}
        self._rows: dict[str, dict[int, int]] = {}  # by data key, then by seq_num, of those not returned yet

    def rows(self, data_key: str, seq_nums: Mapping[str, int], indices: Mapping[str, int]) -> None:
        """Note which rows belong to which events; of several an event the last one."""
        count = seq_nums["stop"] - seq_nums["start"]
        if count < 1:
            return
        each = max(1, (indices["stop"] - indices["start"]) // count)
        with self._lock:
            rows = self._rows.setdefault(data_key, {})
            for i in range(count):
                rows[seq_nums["start"] + i] = indices["start"] + (i + 1) * each - 1

    def values(self, seq_num: int, data: Mapping[str, Any]) -> None:
        """Note what was read."""
        read = {field: float(data[field]) for field in self._axes.fields if is_finite(data.get(field))}
        with self._lock:
            self._read[seq_num] = read

    def waiting(self, data_key: str) -> bool:
        """Return whether there is something new."""
        with self._lock:
            return any(seq_num in self._read for seq_num in self._rows.get(data_key, ()))

    def take(self, data_key: str, most: int) -> list[dict[str, Any]]:
        """Return what was not returned yet."""
        with self._lock:
            rows = self._rows.get(data_key, {})
            ready = [seq_num for seq_num in rows if seq_num in self._read][:most]
            return [
                {"row": rows.pop(seq_num), "place": self._axes.place(seq_num), "values": self._read[seq_num]}
                for seq_num in ready
            ]
