"""Reading a ring: every frame or the latest, in the writer's process or in another one."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from beamstream.errors import NotARing, RingError, RingOverrun
from beamstream.frames import Frame, Geometry
from beamstream.segment import Segment, held, is_written, ring_files

log = logging.getLogger(__name__)

T = TypeVar("T")
_MOST_WARNED = 50
_warned: set[str] = set()
_POLL = 0.002  # s; how late a reader in another process may notice a frame


class FrameStore(Protocol):
    """Where readers get frames from: the ring itself or a view of it in another process."""

    name: str

    def bounds(self) -> tuple[int, int]:
        """Return the indices held, as (start, stop)."""
        ...

    def frame(self, index: int) -> Frame:
        """Return one frame as a view."""
        ...

    def read(self, index: int, compute: Callable[[Frame], T]) -> T:
        """Return what a function makes of a frame: a copy, or what it computes.

        Raises
        ------
        RingOverrun
            The frame is not in the ring, or was overwritten meanwhile, whatever the function raised.
        """
        ...

    def holds(self, index: int) -> bool:
        """Return whether a frame is still untouched."""
        ...

    def wait(self, index: int, timeout: float) -> bool:
        """Wait until frame `index` is there; False after `timeout` seconds."""
        ...


def copied(frame: Frame) -> Frame:
    """Return the same frame in memory of its own; for `FrameStore.read`."""
    return replace(frame, payload=frame.payload.copy())


def frames(store: FrameStore, start: int, stop: int) -> list[Frame]:
    """Return the frames ``start:stop`` as views into the ring, oldest first.

    Raises
    ------
    RingOverrun
        Some of them are overwritten or not there yet; the message tells what the ring holds.
    """
    try:
        return [store.frame(i) for i in range(start, stop)]
    except RingOverrun:
        low, high = store.bounds()
        raise RingOverrun(
            f"{store.name}: frames {start}:{stop} asked for, the ring holds {low}:{high} (capacity {high - low}); "
            "raise the ring memory or make the reader faster"
        ) from None


class RingView:
    """A ring of another process, followed through its epochs by name.

    Parameters
    ----------
    name : str
        As given to `Ring`; of several living rings of that name the youngest is taken.
    owner : int, optional
        Id of the process whose ring it has to be; any by default.
    token : str, optional
        The `Ring.token` that it has to have, whatever process made it.
    """

    def __init__(self, name: str, owner: int | None = None, *, token: str = "") -> None:
        self.name = name
        self._start, self._token = f"{name}.{'' if owner is None else f'{owner}-'}", token
        self._segment = self._find()

    def _find(self) -> Segment:
        """Attach to the youngest; what is not ours, damaged or not yet complete is passed over."""
        why: RingError | None = None
        for path in sorted(ring_files(self._start, self._token), key=_age):
            try:
                return Segment.attach(path)
            except NotARing as error:
                why = error
                _warn_once(error)
            except RingError as error:
                why = error
        passed = f" Passed over: {why}" if why else ""
        raise RingError(f"{self.name}: no ring of this name; is its device staged or watched?{passed}") from why

    @property
    def closed(self) -> bool:
        """Whether the writer has ended this epoch."""
        return self._segment.closed

    @property
    def alive(self) -> bool:
        """Whether its writer is there."""
        return is_written(self._segment.path)

    @property
    def geometry(self) -> Geometry:
        """Of the frames of this epoch."""
        return self._segment.geometry

    @property
    def capacity(self) -> int:
        """Frames that this epoch holds."""
        return self._segment.capacity

    @property
    def source(self) -> str:
        """Where the writer says that its frames come from, a URI."""
        return self._segment.source

    def identity(self, index: int) -> tuple[int, float]:
        """Return the unique_id and timestamp in the slot of a frame, whole or not; much faster than `frame`."""
        return self._segment.identity(index)

    def received(self, index: int) -> float:
        """Return when the frame in a slot was received, s since 1970-01-01 UTC."""
        return self._segment.received(index)

    def refresh(self) -> bool:
        """Follow the writer into its next epoch; False while there is none."""
        if self._segment.closed:
            old = self._segment
            try:
                self._segment = self._find()
            except RingError:
                return False
            old.detach()
        return not self._segment.closed

    def bounds(self) -> tuple[int, int]:
        """Return the indices held of the present epoch, as (start, stop)."""
        return held(self._segment)

    def frame(self, index: int) -> Frame:
        """Return one frame as a view."""
        return self._segment.frame(index)

    def read(self, index: int, compute: Callable[[Frame], T]) -> T:
        """Return what a function makes of a frame, see `FrameStore.read`."""
        return self._segment.read(index, compute)

    def holds(self, index: int) -> bool:
        """Return whether a frame is still untouched."""
        return self._segment.holds(index)

    def wait(self, index: int, timeout: float) -> bool:
        """Wait until frame `index` is there; False after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self._segment.next_index <= index:
            if time.monotonic() > deadline:
                return False
            self.refresh()
            time.sleep(_POLL)
        return True

    def close(self) -> None:
        """Let go of the memory."""
        self._segment.detach()


def _age(path: Path) -> int:
    try:
        return -path.lstat().st_mtime_ns
    except FileNotFoundError:  # its writer ends it this moment
        return 1


def _warn_once(error: NotARing) -> None:
    """Log why a file was passed over, of so many that it cannot fill the log."""
    text = str(error)
    if text not in _warned and len(_warned) < _MOST_WARNED:
        _warned.add(text)
        log.warning("passed over: %s", text)


def every(store: FrameStore, start: int | None = None, *, timeout: float, most: int = 64) -> Iterator[list[Frame]]:
    """Yield every frame from `start` on, in order, in batches of views; end after `timeout` seconds without one.

    Raises
    ------
    RingOverrun
        The reader fell behind by more than the ring holds, also while it worked on the last batch.
    """
    index = store.bounds()[1] if start is None else start
    while store.wait(index, timeout):
        batch = frames(store, index, min(index + most, store.bounds()[1]))
        yield batch
        if not store.holds(index):
            frames(store, index, index + 1)  # raises, with the numbers
        index += len(batch)


class Latest:
    """Read the newest frame whenever there is time for one; older ones are skipped and counted.

    Parameters
    ----------
    store : Ring or RingView
    """

    def __init__(self, store: FrameStore) -> None:
        self._store = store
        self._next = store.bounds()[1]
        self.skipped = 0

    def read(self, timeout: float) -> Frame | None:
        """Return a copy of the newest frame that was not returned yet, or None after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self._store.wait(self._next, max(0.0, deadline - time.monotonic())):
            start, stop = self._store.bounds()
            if start == stop:  # a new epoch, nothing in it yet
                self._next = stop
                continue
            index = stop - 1
            copy = self._copy(index)
            if copy is not None:
                self.skipped += index - self._next
                self._next = index + 1
                return copy
        return None

    def _copy(self, index: int) -> Frame | None:
        """Return a copy, None if the writer came in between."""
        try:
            return self._store.read(index, copied)
        except RingOverrun:
            return None
