"""Frames from an EPICS PVAccess server: connect, follow, and say what was missed."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pvaccess
from numpy.typing import NDArray

from beamstream.errors import BeamstreamError, CodecError, MalformedFrame, NotAnImage, NotConnected, SourceError
from beamstream.exits import OpenObjects
from beamstream.frames import NO_ATTRIBUTES, Frame, Geometry
from beamstream.ledger import UniqueIds
from beamstream.sources.base import Listener
from beamstream.sources.camera_clock import CameraClock
from beamstream.sources.ntndarray import Decoder, timestamp_of

logger = logging.getLogger(__name__)

_FIELDS = "value,codec,compressedSize,uncompressedSize,dimension,uniqueId,dataTimeStamp,timeStamp,attribute"
_SUBSCRIBER = "beamstream"
_MOST_QUEUED, _QUEUE_BYTES = 500, 16 * 2**20  # of small frames, which come at thousands a second
_LOOK = 0.05  # s
_REPEATS = 3  # images in a row under one number: it is none
_GRACE = 0.1  # s, for callbacks that are under way at exit


@dataclass(slots=True)
class PvaCounters:
    """What came over the wire since the source was started."""

    updates: int = 0
    frames: int = 0
    stale: int = 0
    partial: int = 0
    repeated: int = 0
    malformed: int = 0
    disconnects: int = 0


class PvaSource:
    """Follow one NTNDArray record.

    The first update after each (re)start of the monitor is the frame that the server already had: it tells where
    the count stands and is not delivered. After a broken connection a newer frame is. An update counts as a frame
    once both its image and its ``uniqueId`` are new, so that servers which post field by field are understood. A
    server that does not number its frames is told from one that repeats some by its time stamps, or by having none:
    its frames are delivered as they come, with nobody knowing what is missing.

    Parameters
    ----------
    pv : str
        Name of the NTNDArray record, ``13SIM1:Pva1:Image``.
    name : str
        Who speaks in errors; the detector's name.
    queue_size : int
        Updates that the client library keeps while Python is busy. The default of pvAccess, 2, loses frames. Of small
        frames it keeps more: up to 500, as far as they take 16 MB.
    present : bool
        Deliver the frame that the server already had as well, as received when it was taken: for eyes only.
    """

    def __init__(self, pv: str, *, name: str = "", queue_size: int = 50, present: bool = False) -> None:
        self.pv = pv
        self.name = name or pv
        self.counters = PvaCounters()
        self.attributes: Mapping[str, Any] = NO_ATTRIBUTES
        """Of the frame that the server had when it was connected last."""
        self._listener: Listener | None = None
        self._present = present
        self._queue_size = queue_size
        self._frame_bytes = 0
        self._decoder = Decoder(source=self.uri)
        self._clock = CameraClock(self.name)
        self._forget()
        self._address = 0
        self._held: Any = None  # the last value array: while it is held, its address is not used again
        self._begun = threading.Event()
        self._turn = threading.Lock()  # held while an update is delivered
        self._channel: Any = pvaccess.Channel(pv)  # pyright: ignore[reportAttributeAccessIssue]
        self._channel.subscribe(_SUBSCRIBER, self._on_update)
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        _open.add(self)

    @property
    def uri(self) -> str:
        """What documents call it."""
        return f"pva://{self.pv}"

    @property
    def connected(self) -> bool:
        """Whether the server answers at the moment."""
        return self._channel is not None and bool(self._channel.isConnected())

    def connect(self, timeout: float) -> Geometry | None:
        """Ask the server for its structure; return the geometry of the frame that it has, None if it has none.

        Raises
        ------
        NotConnected
            Nobody answered within `timeout` seconds.
        NotAnImage
            The record is no NTNDArray.
        MalformedFrame, CodecError
            The frame that it has contradicts itself, or nobody knows its codec.
        """
        self._channel.setTimeout(timeout)
        try:
            pv = self._channel.get("field()")
        except pvaccess.PvaException as e:  # pyright: ignore[reportAttributeAccessIssue]
            raise NotConnected(
                f"{self.name}: the PV {self.pv} did not answer within {timeout:g} s; is the name right, does its "
                f"server run, and does EPICS_PVA_ADDR_LIST ({os.environ.get('EPICS_PVA_ADDR_LIST', 'not set')}) "
                f"reach it? ({e})"
            ) from None
        try:
            frame = self._clock.dated_old(self._decoder(pv, time.time()))
        except (SourceError, CodecError) as e:
            if isinstance(e, MalformedFrame) and _is_blank(pv):
                return None
            raise type(e)(f"{self.name}: {e}") from None
        self.attributes, self._frame_bytes = frame.attributes, frame.geometry.nbytes
        return frame.geometry

    def start(self, listener: Listener, timeout: float) -> None:
        """Begin to deliver to `listener`; return when the server's present frame has been seen.

        Raises
        ------
        NotConnected
            The first update did not come within `timeout` seconds.
        """
        self._listener = listener
        self.counters = PvaCounters()
        self._clock.begin()
        self._forget()
        self._begun.clear()
        self._stopping = threading.Event()
        if not (self._begins(timeout / 2) or self._begins(timeout / 2)):
            self.stop()
            raise NotConnected(
                f"{self.name}: the PV {self.pv} sent no first update within {timeout:g} s; is its server alive?"
            )
        self._watcher = threading.Thread(target=self._watch_connection, name=f"{self.name}-connection", daemon=True)
        self._watcher.start()

    def _forget(self) -> None:
        """Know nothing of how the server counts."""
        self._decoder.forget()
        self._first = True
        self._id_first = False  # whether the server was seen to post an id before its image
        self._follow_from(None, 0.0)

    def _follow_from(self, unique_id: int | None, timestamp: float) -> None:
        """Count from a frame on; 0.0 is a time stamp that was not set."""
        self._ids = UniqueIds(unique_id)
        self._current, self._stamp = unique_id, timestamp  # the last frame's
        self._counts = False  # whether the server was seen to number its frames
        self._stands = False  # whether it was seen not to
        self._repeats, self._repeat_stamp = 0, timestamp  # images in a row under the last number, and the newest's time
        self._most_repeats = _REPEATS
        self._undecided: tuple[int, Frame] | None = None  # the address of an image without a number of its own yet

    def _begins(self, timeout: float) -> bool:
        """Start the monitor; return whether its first update came. Seen once not to, after another one's end."""
        small = min(_MOST_QUEUED, _QUEUE_BYTES // self._frame_bytes) if self._frame_bytes else 0
        self._channel.startMonitor(f"record[queueSize={max(self._queue_size, small)}]field({_FIELDS})")
        if self._begun.wait(timeout):
            return True
        self._channel.stopMonitor()
        return False

    def stop(self) -> None:
        """Stop delivering; a callback that is under way ends first. Calling it again does no harm."""
        if self._listener is not None:
            self._listener = None
            self._stopping.set()
            self._channel.stopMonitor()
            if self._watcher is not None:
                self._watcher.join()
                self._watcher = None
            self._held = None

    def close(self) -> None:
        """Stop and give the channel back; the source cannot be used again."""
        self.stop()
        self._channel = None  # its callbacks refer to us: nobody else breaks this circle
        _open.discard(self)

    def _watch_connection(self) -> None:
        """Look whether the server is there, and whether an image still waits for its number.

        pvaccess' own callback for the connection aborts the interpreter now and then: it is called
        without the GIL when the channel is connected already, and can block a first connection. A server takes longer
        than a look to come back.
        """
        was_up = True
        while not self._stopping.wait(_LOOK):
            if self._undecided is not None:
                self._deliver_undecided()
            up = self.connected
            if up != was_up:
                was_up = up
                self._on_connection(up)

    def _on_connection(self, up: bool) -> None:
        listener = self._listener
        if listener is None:
            return
        if not up:
            self.counters.disconnects += 1
            self._first = True
        try:
            listener.connection(up)
        except Exception as e:
            listener.failed(e)

    def _on_update(self, pv: Any) -> None:
        received = time.time()
        listener = self._listener
        if listener is None:
            return
        try:
            with self._turn:
                self._take(pv, received, listener)
        except Exception as e:  # pvaccess would print it and forget
            listener.failed(e)

    def _take(self, pv: Any, received: float, listener: Listener) -> None:
        self.counters.updates += 1
        try:
            unique_id, array = pv.getInt("uniqueId"), _value_of(pv)
        except (pvaccess.PvaException, KeyError, TypeError, IndexError) as e:  # pyright: ignore[reportAttributeAccessIssue]
            self._count_malformed(
                NotAnImage(f"{self.uri}: an NTNDArray expected, the server posts something else ({e})"), listener
            )
            return
        if self._first:
            self._greet(pv, unique_id, array, received, listener)
            return
        address = array.__array_interface__["data"][0] if array is not None else 0
        new_id, new_image = unique_id != self._current, address != self._address
        if new_id and new_image:
            self._address, self._held = address, array  # also of a malformed one: its pixels belong to no other id
            self._stands, self._repeats = False, 0
            if self._undecided is not None:
                self._settle_undecided(self._undecided[0], address, listener)
            if (frame := self._decoded(pv, received, listener)) is not None:
                self._deliver(frame, listener)
        elif new_id:
            self._id_first = True
            self.counters.partial += 1  # the image follows
        elif new_image:
            if self._id_first or self._stands:  # otherwise the id of this image may follow
                self._address, self._held = address, array
            self._take_unnumbered(pv, address, received, listener)
        else:
            self.counters.partial += 1

    def _take_unnumbered(self, pv: Any, address: int, received: float, listener: Listener) -> None:
        """Take a new image with the number of the last frame: a repeated one, or the server does not number them.

        A server that posts the image before its number looks the same for a moment.
        """
        stamp = timestamp_of(pv)
        again = stamp == self._stamp and stamp != 0.0 and self._undecided is None
        if not self._stands and (again or (self._counts and not self._stopped_counting(pv, stamp))):
            self._count_repeated(listener)
            return
        frame = self._decoded(pv, received, listener)
        if frame is None:
            return
        if self._stands:
            self._deliver(frame, listener)
        elif self._undecided is None:
            self._undecided = address, frame
        elif self._undecided[0] != address:
            before = self._undecided[1]
            self._stands, self._undecided = True, None
            self._deliver(before, listener)
            self._deliver(frame, listener)

    def _stopped_counting(self, pv: Any, stamp: float) -> bool:
        """Whether a server that numbered its frames has ceased to: new images under one number, again and again."""
        image: Any = _value_of(pv)
        if stamp == self._repeat_stamp and (stamp or np.array_equal(image, self._held)):
            return False
        self._repeat_stamp = stamp
        self._repeats += 1
        if self._repeats < self._most_repeats:
            return False
        self._stands, self._most_repeats = True, 1
        return True

    def _deliver_undecided(self) -> None:
        """Deliver an image whose number has not followed it: there is none. In the watcher's thread."""
        listener = self._listener
        if listener is None:
            return
        try:
            with self._turn:
                if self._undecided is None or time.time() - self._undecided[1].received < _LOOK:
                    return
                (address, frame), self._undecided, self._stands = self._undecided, None, True
                self._address, self._held = address, frame.payload
                self._deliver(frame, listener)
        except Exception as e:
            listener.failed(e)

    def _settle_undecided(self, before: int, address: int, listener: Listener) -> None:
        """Let go of an image that waited for its number; if a number came with another one, it never got any."""
        self._undecided = None
        if before != address:
            self._count_repeated(listener)

    def _count_repeated(self, listener: Listener) -> None:
        self.counters.repeated += 1
        listener.repeated()

    def _greet(self, pv: Any, unique_id: int, array: Any, received: float, listener: Listener) -> None:
        """Take the first update of a connection: know where the count stands, and what image is an old one."""
        self._first = False
        again, last = self._begun.is_set(), self._ids.last
        if array is not None:
            self._address, self._held = array.__array_interface__["data"][0], array
        if again and last is not None and unique_id > last:
            if (frame := self._decoded(pv, received, listener)) is not None:
                self._deliver(frame, listener)
            return
        self.counters.stale += 1
        if self._present and not again and array is not None:
            self._deliver_present(pv, received, listener)
        restarted = again and last is not None and unique_id != last
        self._follow_from(None if restarted or array is None else unique_id, timestamp_of(pv))
        if restarted:
            logger.warning("%s: the server of %s was restarted", self.name, self.pv)
        self._begun.set()

    def _deliver_present(self, pv: Any, received: float, listener: Listener) -> None:
        with contextlib.suppress(BeamstreamError):  # nothing that can be shown
            frame = self._clock.dated_old(self._decoder(pv, received))
            listener.frame(replace(frame, received=min(received, frame.timestamp)), 0)

    def _decoded(self, pv: Any, received: float, listener: Listener) -> Frame | None:
        """Return the frame; None if it is none, which is delivered as that."""
        try:
            return self._clock.dated(self._decoder(pv, received))
        except BeamstreamError as e:
            self._count_malformed(e, listener)
            return None

    def _count_malformed(self, error: BeamstreamError, listener: Listener) -> None:
        self.counters.malformed += 1
        listener.malformed(error)

    def _deliver(self, frame: Frame, listener: Listener) -> None:
        self.counters.frames += 1
        self._stamp = frame.stamped if frame.stamped != frame.received else 0.0
        missing = self._ids.see(frame.unique_id)
        if not self._counts:
            self._counts = missing is not None and self._current is not None
        self._current = frame.unique_id
        listener.frame(frame, missing)


def _value_of(pv: Any) -> NDArray[Any] | None:
    """Return the array in the union ``value``, a view; None while the server has never posted one."""
    value = pv["value"][0]
    array = next(iter(value.values())) if isinstance(value, dict) and value else None
    return array if isinstance(array, np.ndarray) else None


def _is_blank(pv: Any) -> bool:
    """Whether a server has never had a frame: no pixels, and no dimensions that ask for some."""
    array = _value_of(pv)
    return (array is None or not array.size) and not any(d["size"] for d in pv["dimension"])


def _close_all(sources: list[PvaSource]) -> None:
    """Close every channel before the interpreter goes: a callback after that aborts it.

    pvaccess' threads end with ``FATAL: exception not rethrown`` when they call Python too late.
    """
    for source in sources:
        source.close()
    time.sleep(_GRACE)


_open = OpenObjects(_close_all)
