"""The newest spectra of a ring as arrays, copied while the writer goes on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import RingOverrun
from beamstream.frames import Frame, Geometry
from beamstream.readers import FrameStore


@dataclass(frozen=True, slots=True)
class Spectra:
    """Some spectra of one beam, the oldest first; the arrays are copies.

    Parameters
    ----------
    values : ndarray of float32, shape (n, n_channels)
    times : ndarray of float64, shape (n,)
        Of the last sample in each average, s since 1970-01-01 UTC.
    unique_ids : ndarray of int64, shape (n,)
    """

    values: NDArray[np.float32]
    times: NDArray[np.float64]
    unique_ids: NDArray[np.int64]


NONE = Spectra(np.empty((0, 0), np.float32), np.empty(0), np.empty(0, np.int64))

_ATTEMPTS, _PATIENT = 14, 5
_Row = tuple[NDArray[np.float32], float, int, Geometry]


def newest(store: FrameStore, number: int, beam: int = 0) -> Spectra:
    """Return the `number` newest spectra of the present epoch, fewer if there are no more.

    Each is checked after it was copied. Reading is faster than any detector; a reader that is overtaken all the same
    (its machine was busy elsewhere) begins again, and at last is content with fewer.
    """
    for attempt in range(_ATTEMPTS):
        rows = _stretch(store, number >> max(0, attempt - _PATIENT), beam)
        if rows is not None:
            return _together(rows)
    return NONE


def _stretch(store: FrameStore, number: int, beam: int) -> list[_Row] | None:
    """Return the newest spectra; None if the writer overtook.

    What is overwritten before its turn is made up for by what comes meanwhile.
    """
    rows: list[_Row] = []
    start, stop = store.bounds()
    index, last = max(start, stop - number), stop + number
    while index < min(store.bounds()[1], last):
        row = _row(store, index, beam)
        if row is None or (rows and row[3] != rows[0][3]):
            if rows or index >= stop:
                return None
        else:
            rows.append(row)
        index += 1
    return rows[-number:] if rows or start == stop or not number else None


def _row(store: FrameStore, index: int, beam: int) -> _Row | None:
    """Return a copy of one spectrum, None if the writer came in between."""
    try:
        return store.read(index, lambda frame: _copy_of_beam(frame, beam))
    except RingOverrun:
        return None


def _copy_of_beam(frame: Frame, beam: int) -> _Row:
    """Copy one beam's values, the last beam's where there are not so many."""
    values = np.array(frame.payload[min(beam, len(frame.payload) - 1)], np.float32)
    return values, _time(frame), frame.unique_id, frame.geometry


def _time(frame: Frame) -> float:
    return frame.attributes.get("last_block_time", frame.timestamp)


def _together(rows: list[_Row]) -> Spectra:
    if not rows:
        return NONE
    values, times, unique_ids, _ = zip(*rows, strict=True)
    return Spectra(np.stack(values), np.array(times), np.array(unique_ids, np.int64))
