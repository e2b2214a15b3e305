"""The simplest detector: a source of frames that are filled with their number, recorded by `StreamDetector`."""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from ophyd import Component as Cpt

from beamstream.frames import Frame, Geometry
from beamstream.ledger import UniqueIds
from devices.statistics import FrameStatistics
from devices.stream_detector import StreamDetector


class CountingSource:
    """Make frames by itself, from 1 on each time it is started.

    Parameters
    ----------
    geometry : Geometry
    period : float
        s.
    left_out : collection of int
        unique_id of frames that are not delivered.
    value : callable
        What each pixel is, by unique_id.
    attributes_of : callable
        What else a frame carries, by unique_id.
    """

    uri, connected = "test://counting", True

    def __init__(
        self,
        geometry: Geometry,
        *,
        period: float = 0.004,
        left_out: Collection[int] = (),
        value: Callable[[int], float] = lambda number: number,
        attributes_of: Callable[[int], Mapping[str, Any]] = lambda _: {},
    ) -> None:
        self.geometry, self.period = geometry, period
        self._left_out, self._value = left_out, value
        self.attributes_of = attributes_of
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def connect(self, timeout: float) -> Geometry:
        return self.geometry

    def start(self, listener: Any, timeout: float) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._deliver, args=(listener,), name="counting", daemon=True)
        self._thread.start()

    def _deliver(self, listener: Any) -> None:
        ids, number = UniqueIds(), 0
        while not self._stop.wait(self.period):
            number += 1
            if number not in self._left_out:
                image = np.full(self.geometry.shape, self._value(number), self.geometry.dtype)
                now = time.time()
                attributes = self.attributes_of(number)
                frame = Frame(image, self.geometry, number, now, now, self.uri, attributes=attributes)
                listener.frame(frame, ids.see(number))

    def stop(self) -> None:
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    close = stop


class CountingDetector(StreamDetector):
    """Records from a `CountingSource`, with statistics."""

    stats = Cpt(FrameStatistics, kind="normal")

    @property
    def _frame_attributes(self) -> Mapping[str, Any]:
        source: Any = self._source
        return source.attributes_of(1)

    def _geometry(self, timeout: float) -> Geometry:
        geometry = self._source.connect(timeout)
        assert geometry is not None
        return geometry
