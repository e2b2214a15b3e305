"""The newest frame of a run: from shared memory while it is there, from the recorded file otherwise."""

from contextlib import suppress
from pathlib import Path

from beamstream.errors import CodecError, RingError
from beamstream.frames import Frame
from beamstream.readers import Latest, RingView
from beamstream.recorded import RecordedFrames

_RATE_FRAMES = 32
_MOST_BACK = 16  # frames that are tried, where the last ones do not decode


class Newest:
    """Follow the frames of one detector through one run, each returned at most once.

    To be used from one thread.

    Parameters
    ----------
    ring : str
        Name of the ring.
    owner : int
        Id of its process: another session may have a camera of that name.

    Attributes
    ----------
    announced : int
        Rows that are in the file.
    skipped : int
        Frames of the ring that were never returned.
    """

    def __init__(self, ring: str, owner: int) -> None:
        self.announced = 0
        self.skipped = 0
        self._ring, self._owner = ring, owner
        self._view: RingView | None = None
        self._latest: Latest | None = None
        self._first = 0
        self._path: Path | None = None
        self._dataset = ""
        self._returned: tuple[int, int, float] | None = None

    def announce(self, path: str, dataset: str, stop: int) -> None:
        """Hear that rows up to `stop` are in a file."""
        self._path, self._dataset = Path(path), dataset
        self.announced = max(self.announced, stop)

    def read(self) -> Frame | None:
        """Return the newest frame that was not returned yet; None if there is no such.

        Raises
        ------
        SinkError, CodecError
            The file had to be read, and cannot.
        """
        frame = self._from_ring()
        if frame is None and (self._view is None or self._returned is None):
            return self.read_last_row()
        return self._once(frame)

    def read_last_row(self) -> Frame | None:
        """Return the last frame of the file that decodes, None if that was the last one returned.

        Raises
        ------
        SinkError
            The file cannot be read.
        CodecError
            None of its last frames decodes.
        """
        if self._path is None or not self.announced:
            return None
        with RecordedFrames(self._path, ring=self._ring, dataset=self._dataset) as file:
            return self._once(_last(file, self.announced))

    def _once(self, frame: Frame | None) -> Frame | None:
        if frame is None:
            return None
        before, self._returned = self._returned, (frame.ring_index, frame.unique_id, frame.timestamp)
        return None if self._returned == before else frame

    def _from_ring(self) -> Frame | None:
        try:
            if self._view is None:
                self._view = RingView(self._ring, owner=self._owner)
                self._first = self._view.bounds()[1]
                self._latest = Latest(self._view)
            assert self._latest is not None
            before = self._latest.skipped
            frame = self._latest.read(0.0)
            self.skipped += self._latest.skipped - before
            if frame is None and self._view.closed and not self._view.refresh():
                self._let_go()
            return frame
        except RingError:  # not yet there, or no more
            return None

    @property
    def rate(self) -> float | None:
        """Frames a second that arrive in the ring, by the detector's timestamps; None if it cannot be told."""
        if self._view is None:
            return None
        low, stop = self._view.bounds()
        start = max(low, self._first, stop - _RATE_FRAMES)
        if stop - start < 2:
            return None
        duration = self._view.identity(stop - 1)[1] - self._view.identity(start)[1]
        return (stop - 1 - start) / duration if duration > 0 else None

    def _let_go(self) -> None:
        if self._view is not None:
            self._view.close()
        self._view = self._latest = None

    def close(self) -> None:
        """Let go of the ring."""
        self._let_go()


def _last(file: RecordedFrames, stop: int) -> Frame:
    """Return the last frame before `stop` that decodes."""
    first = max(0, stop - _MOST_BACK)
    for row in range(stop - 1, first, -1):
        with suppress(CodecError):
            ((frame,),) = file.read(row, row + 1)
            return frame
    ((frame,),) = file.read(first, first + 1)
    return frame
