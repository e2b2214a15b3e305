"""What the events of a run hold beside each frame: where the motor stood, what the point detector read."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import nan
from typing import Any

from event_model import unpack_event_page

from beamstream.frames import Frame
from beamstream.sinks.file_names import safe_name
from beamstream.sinks.hdf5_layout import SCALARS, Column

_TAKEN = {"data", "image", "spectrum", "time", "beam", "polarization", "frequency", "frequency_mhz", "about"}
_TAKEN |= {column.name for column in SCALARS}
_NUMBERS = ("number", "integer", "boolean")


class Readings:
    """Gather the numbers in a run's events while its documents pass, for the frames of the same events.

    In a step scan each event goes with one frame of each detector. In flight there are no such events.
    """

    def __init__(self) -> None:
        self._events: dict[str, dict[int, Mapping[str, Any]]] = {}
        self._about: dict[str, Mapping[str, Any]] = {}  # data keys, by descriptor
        self._spans: dict[str, list[tuple[int, int, int, str]]] = {}  # rows, what to add for a seq_num, descriptor

    def take(self, name: str, doc: Mapping[str, Any]) -> None:
        """Follow one document."""
        match name:
            case "descriptor":
                self._about[doc["uid"]] = doc["data_keys"]
            case "event":
                self._events.setdefault(doc["descriptor"], {})[doc["seq_num"]] = doc["data"]
            case "event_page":
                for event in unpack_event_page(doc):  # pyright: ignore[reportArgumentType]
                    self.take("event", event)
            case "stream_datum":
                rows, numbers = doc["indices"], doc["seq_nums"]
                spans = self._spans.setdefault(doc["stream_resource"], [])
                before = spans[-1] if spans else (0, -1, 0, "")
                offset, stream = numbers["start"] - rows["start"], doc["descriptor"]
                if before[1:] == (rows["start"], offset, stream):  # a flight is one span, however long
                    spans[-1] = (before[0], rows["stop"], offset, stream)
                else:
                    spans.append((rows["start"], rows["stop"], offset, stream))

    def of(self, resource: str) -> "RowReadings":
        """Return what there is for the rows of one recorded file, whichever streams they are of."""
        spans = [span for span in self._spans.get(resource, []) if span[-1] in self._events]
        abouts = [self._about[stream] for stream in dict.fromkeys(span[-1] for span in spans)]
        columns = {key: _column(key, about) for keys in abouts for key, about in keys.items() if _is_number(key, about)}
        rows = {  # a point that was taken again has several: the last one is the event's
            (stream, row + offset): row for start, stop, offset, stream in spans for row in range(start, stop)
        }
        events = {row: self._events[stream].get(number, {}) for (stream, number), row in rows.items()}
        return RowReadings(tuple(columns.values()), events if columns else {})


class RowReadings:
    """What is beside the frames of one file.

    Parameters
    ----------
    columns : tuple of Column
    rows : dict
        What the event of each row holds.
    """

    def __init__(self, columns: tuple[Column, ...], rows: Mapping[int, Mapping[str, Any]]) -> None:
        self.columns = columns
        self._rows = rows

    def beside(self, frames: list[Frame], first: int) -> list[Frame]:
        """Return the frames from row `first` on with what was read, as attributes; NaN where nothing was."""
        return list(self._beside(frames, first)) if self.columns else frames

    def _beside(self, frames: list[Frame], first: int) -> Iterator[Frame]:
        for row, frame in enumerate(frames, first):
            read = self._rows.get(row, {})
            numbers = {column.name: float(read.get(column.name, nan)) for column in self.columns}
            own = {_beside(key, numbers): value for key, value in frame.attributes.items()}
            yield replace(frame, attributes={**own, **numbers})


def _beside(attribute: str, numbers: Mapping[str, float]) -> str:
    """Return the name of a frame's attribute beside what was read."""
    return f"attr_{attribute}" if attribute in numbers else attribute


def _is_number(key: str, about: Mapping[str, Any]) -> bool:
    if "external" in about or about.get("shape") or about["dtype"] not in _NUMBERS or key in _TAKEN:
        return False
    try:
        safe_name(key, "data key")  # it becomes the name of a dataset, of a directory
    except ValueError:
        return False
    return True


def _column(key: str, about: Mapping[str, Any]) -> Column:
    return Column(key, "<f8", str(about.get("units") or ""))
