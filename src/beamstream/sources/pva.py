"""Frames from an EPICS PVAccess server: connect, follow, and say what was missed."""

import contextlib
import logging
import os
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import pvaccess

from beamstream.errors import BeamstreamError, NotAnImage, NotConnected, SourceError
from beamstream.exits import OpenObjects
from beamstream.frames import Geometry
from beamstream.ledger import UniqueIds
from beamstream.sources.base import Listener
from beamstream.sources.ntndarray import Decoder

logger = logging.getLogger(__name__)

_FIELDS = "value,codec,compressedSize,uncompressedSize,dimension,uniqueId,dataTimeStamp,timeStamp,attribute"
_SUBSCRIBER = "beamstream"
_LOOK = 0.05  # s
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
    once both its image and its ``uniqueId`` are new, so that servers which post field by field are understood.

    Parameters
    ----------
    pv : str
        Name of the NTNDArray record, ``13SIM1:Pva1:Image``.
    name : str
        Who speaks in errors; the detector's name.
    queue_size : int
        Updates that the client library keeps while Python is busy. The default of pvAccess, 2, loses frames.
    present : bool
        Deliver the frame that the server already had as well, as received when it was taken: for eyes only.
    """

    def __init__(self, pv: str, *, name: str = "", queue_size: int = 50, present: bool = False) -> None:
        self.pv = pv
        self.name = name or pv
        self.counters = PvaCounters()
        self._listener: Listener | None = None
        self._present = present
        self._request = f"record[queueSize={queue_size}]field({_FIELDS})"
        self._decoder = Decoder(source=self.uri)
        self._ids = UniqueIds()
        self._first = True
        self._id_first = False  # whether the server was seen to post an id before its image
        self._address = 0
        self._held: Any = None  # the last value array: while it is held, its address is not used again
        self._begun = threading.Event()
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
            return self._decoder(pv, time.time()).geometry
        except NotAnImage as e:
            raise NotAnImage(f"{self.name}: {e}") from None
        except SourceError:
            return None

    def start(self, listener: Listener, timeout: float) -> None:
        """Begin to deliver to `listener`; return when the server's present frame has been seen.

        Raises
        ------
        NotConnected
            The first update did not come within `timeout` seconds.
        """
        self._listener = listener
        self.counters = PvaCounters()
        self._ids = UniqueIds()
        self._first = True
        self._id_first = False
        self._begun.clear()
        self._stopping = threading.Event()
        if not (self._begins(timeout / 2) or self._begins(timeout / 2)):
            self.stop()
            raise NotConnected(
                f"{self.name}: the PV {self.pv} sent no first update within {timeout:g} s; is its server alive?"
            )
        self._watcher = threading.Thread(target=self._watch_connection, name=f"{self.name}-connection", daemon=True)
        self._watcher.start()

    def _begins(self, timeout: float) -> bool:
        """Start the monitor; return whether its first update came. Seen once not to, after another one's end."""
        self._channel.startMonitor(self._request)
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
        """Look whether the server is there; pvaccess' own callback for that aborts the interpreter now and then.

        It is called without the GIL when the channel is connected already, and can block a first connection. A
        server takes longer than a look to come back.
        """
        was_up = True
        while not self._stopping.wait(_LOOK):
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
            self._take(pv, received, listener)
        except Exception as e:  # pvaccess would print it and forget
            listener.failed(e)

    def _take(self, pv: Any, received: float, listener: Listener) -> None:
        self.counters.updates += 1
        unique_id = pv["uniqueId"]
        if self._first:
            self._greet(pv, unique_id, received, listener)
            return
        array = _value_of(pv)
        address = array.__array_interface__["data"][0] if array is not None else 0
        new_id, new_image = unique_id != self._ids.last, address != self._address
        if new_id and new_image:
            self._address, self._held = address, array  # also of a malformed one: its pixels belong to no other id
            self._decode_and_deliver(pv, received, listener)
        elif new_id:
            self._id_first = True
            self.counters.partial += 1  # the image follows
        elif new_image:
            if self._id_first:  # otherwise the id of this image may follow
                self._address, self._held = address, array
            self.counters.repeated += 1
            listener.repeated()
        else:
            self.counters.partial += 1

    def _greet(self, pv: Any, unique_id: int, received: float, listener: Listener) -> None:
        """Take the first update of a connection: know where the count stands, and what image is an old one."""
        self._first = False
        again = self._begun.is_set()
        array = _value_of(pv)
        if array is not None:
            self._address, self._held = array.__array_interface__["data"][0], array
        if again and self._ids.last is not None and unique_id > self._ids.last:
            self._decode_and_deliver(pv, received, listener)
            return
        self.counters.stale += 1
        if self._present and not again and array is not None:
            self._deliver_present(pv, received, listener)
        restarted = again and self._ids.last is not None and unique_id != self._ids.last
        self._ids.last = None if restarted or array is None else unique_id
        if restarted:
            logger.warning("%s: the server of %s was restarted", self.name, self.pv)
        self._begun.set()

    def _deliver_present(self, pv: Any, received: float, listener: Listener) -> None:
        with contextlib.suppress(BeamstreamError):  # nothing that can be shown
            frame = self._decoder(pv, received)
            listener.frame(replace(frame, received=min(received, frame.timestamp)), 0)

    def _decode_and_deliver(self, pv: Any, received: float, listener: Listener) -> None:
        try:
            frame = self._decoder(pv, received)
        except BeamstreamError as e:
            self.counters.malformed += 1
            listener.malformed(e)
            return
        self.counters.frames += 1
        listener.frame(frame, self._ids.see(frame.unique_id))


def _value_of(pv: Any) -> Any:
    """Return the array in the union ``value``, a view; None while the server has never posted one."""
    value = pv["value"][0]
    return next(iter(value.values())) if isinstance(value, dict) and value else None


def _close_all(sources: list[PvaSource]) -> None:
    """Close every channel before the interpreter goes: a callback after that aborts it.

    pvaccess' threads end with ``FATAL: exception not rethrown`` when they call Python too late.
    """
    for source in sources:
        source.close()
    time.sleep(_GRACE)


_open = OpenObjects(_close_all)
