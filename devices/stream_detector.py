"""What every detector that streams does for bluesky: step and fly, recorded on the way."""

import logging
import math
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from event_model import DataKey
from ophyd import Component as Cpt
from ophyd import Device, Signal
from ophyd.signal import AttributeSignal
from ophyd.status import DeviceStatus

from beamstream.errors import BeamstreamError, SinkError
from beamstream.exits import OpenObjects
from beamstream.frames import Geometry
from beamstream.ledger import OnLoss
from beamstream.recording import Recording
from beamstream.ring import Ring
from beamstream.sinks.description import Description
from beamstream.sinks.disk import make_directories
from beamstream.sinks.documents import SinkDocuments
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.sinks.hdf5_layout import NEXUS
from beamstream.sinks.nexus import of_run
from beamstream.sources.base import Source
from beamstream.window import Window
from devices.channel_access import keep_search_port
from devices.frame_status import FrameStatus
from devices.ledger import LedgerDevice

keep_search_port()  # before the first signal searches for its record

log = logging.getLogger(__name__)


class StreamDetector(Device):
    """Record every frame of a source, in step scans and in flight.

    To be derived from, for one kind of source. The source runs by itself unless a derived class starts it: a
    trigger takes the first frame that was begun after it.

    Parameters
    ----------
    prefix : str
    source : Source
        Closed with the device.
    name : str
    directory : str or Path
        Where files go; made if missing. One subdirectory a day.
    on_loss : {"mark", "fail"}
        Whether a lost frame fails the run or is marked in its ledger, with a warning.
    timeout : float
        Longest silence, s, beyond two frame times where these are known.
    ring_memory : int, optional
        Bytes of shared memory for frames that wait for the disk or are looked at; by default some seconds of the
        stream, as far as there is memory, see `beamstream.ring_size`.
    pixel_size : float or pair of float, optional
        How large a pixel is: both ways, or rows and columns apart. Viewers draw a scale bar of it.
    pixel_units : str
        What `pixel_size` is in.

    Attributes
    ----------
    num_images : Signal
        Frames a kickoff; 0: until completed.
    recorded_to : AttributeSignal
        What `recording_json` returns.
    ledger : LedgerDevice
        Received, recorded, lost since the last stage.
    trigger_rule : AttributeSignal
        How the frame that answers a trigger or kickoff was found: ``"timestamp"`` (by its own time it was
        begun after it), ``"count"`` (one frame passed, and as many as were under way), ``"started"`` (the detector
        is started each time). ``"unknown"`` in the descriptor of a flight, which comes before its first frame; the
        descriptor of its ledger has it.
    path : Path or None
        The file of the present run, or of the last one.
    """

    num_images = Cpt(Signal, value=0, kind="config")
    on_loss = Cpt(Signal, value="mark", kind="config")
    timeout = Cpt(Signal, value=10.0, kind="config")
    recorded_to = Cpt(AttributeSignal, attr="recording_json", write_access=False, kind="omitted")
    lost = Cpt(AttributeSignal, attr="ledger.account.lost", write_access=False, kind="normal")
    ledger = Cpt(LedgerDevice, kind="omitted")
    trigger_rule = Cpt(AttributeSignal, attr="ledger.account.trigger_rule", write_access=False, kind="config")
    stats: Any  # a component that is a `devices.statistics.LastFrame`

    _pixels = "image"  # what the frames are called in data keys
    _exact = False  # whether it is started for each flight, and makes just as many frames as asked for

    def __init__(
        self,
        prefix: str,
        source: Source,
        *,
        name: str = "",
        directory: str | Path = "data/recordings",
        on_loss: OnLoss = "mark",
        timeout: float = 10.0,
        ring_memory: int | None = None,
        pixel_size: float | Sequence[float] | None = None,
        pixel_units: str = "um",
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self._scale = _scale(name, pixel_size, pixel_units)
        if on_loss not in ("mark", "fail"):
            raise ValueError(f"{name}: on_loss {on_loss!r} given; use 'mark' or 'fail'")
        self.on_loss.put(on_loss)
        self.timeout.put(timeout)
        self._directory = Path(directory).absolute()
        self._source = source
        self._ring = Ring(name or "detector", memory=ring_memory, source=source.uri)
        self._recording: Recording | None = None
        self._documents: SinkDocuments | None = None
        self._flight: FrameStatus | None = None
        self._asked: Window | None = None  # what the recording was asked for last
        self._status: FrameStatus | None = None  # of that
        self._paused = False
        self._interrupted: FrameStatus | None = None  # by a pause, before it was done
        self._in_event = False  # read since documents were collected last
        self._numbers_described = True
        self.path: Path | None = None

    # what kinds of detectors differ in

    def _geometry(self, timeout: float) -> Geometry:
        """Ask the source what its frames are like."""
        raise NotImplementedError

    def _sink(self, path: Path, geometry: Geometry) -> Hdf5Sink:
        about, layout = {"source": self._source.uri, **self._scale}, of_run(NEXUS, Description.of(self._scale))
        frame_attributes = self._frame_attributes
        return Hdf5Sink(
            path, geometry, name=self.name, attributes=about, layout=layout, frame_attributes=frame_attributes
        )

    @property
    def _frame_attributes(self) -> Mapping[str, Any] | None:
        """Attributes as frames have them; None where they have none."""
        return None

    def _prepare(self, timeout: float) -> None:
        """Do what has to be done before frames are followed."""

    def _window(self, number: int | None, status: FrameStatus, *, exact: bool) -> Window:
        """Return what to ask the recording for."""
        discard = 0 if self._exact else 1
        return Window(number, status.settle, self._deadline, self._frame_time, discard, exact)

    def _begin(self, number: int | None) -> None:
        """Start the detector, where it does not run by itself."""

    def _halt(self) -> None:
        """Stop the detector, where it does not run by itself."""

    def _leave(self) -> None:
        """Leave the detector as it was found."""

    @property
    def _frame_time(self) -> float:
        """From one frame to the next, s, as far as that is known."""
        return 0.0

    # the rest is the same for all

    @property
    def connected(self) -> bool:
        """Whether the source answers now."""
        return self._source.connected

    @property
    def ring(self) -> Ring:
        """The last frames, for viewers and other readers."""
        return self._ring

    @property
    def flight(self) -> FrameStatus | None:
        """The status of the flight under way; it fails as soon as no more frames can be recorded."""
        return self._flight

    @property
    def recording_json(self) -> str:
        """Where frames are recorded, JSON: {detector, uri, arrays: [{data_key, dataset}]}; empty when not staged."""
        return self._documents.recording_json() if self._recording and self._documents else ""

    # staging

    def stage(self) -> list[object]:
        """Ask the source for its geometry, open file and ring, follow the stream.

        Raises
        ------
        SourceError
            The source does not answer, or not with frames.
        SinkError, RingError
            There is no place to record to.
        """
        timeout = float(value_of(self.timeout))
        geometry = self._geometry(timeout)
        staged = super().stage()
        _staged.add(self)
        try:
            self._prepare(timeout)
            self._source.start(self._open(geometry), timeout)
        except BaseException:
            self.unstage()
            raise
        return staged

    def _open(self, geometry: Geometry) -> Recording:
        day = self._directory / time.strftime("%Y/%m/%d")
        try:
            make_directories(day)
        except OSError as e:
            raise SinkError(f"{self.name}: {day} cannot be made: {e.strerror}; choose another directory") from None
        self.path = day / f"{self.name}_{time.strftime('%H%M%S')}_{uuid.uuid4().hex[:8]}.h5"
        sink = self._sink(self.path, geometry)
        self._ring.frame_time = self._frame_time
        self._recording = Recording(self.name, self._ring, sink, geometry, on_loss=value_of(self.on_loss))
        self.ledger.account, self.ledger.recording = self._recording.ledger, self._recording
        self._documents = SinkDocuments(sink, self.name, pixels=self._pixels)
        self.stats.reset()
        self._numbers_described = True
        return self._recording

    def unstage(self) -> list[object]:
        """Stop following, finish the file, leave the detector as it was found. Calling it again does no harm."""
        _staged.discard(self)
        recording, self._recording = self._recording, None
        self._flight = self._interrupted = self.ledger.recording = None
        self._paused = self._in_event = False
        try:
            self._source.stop()
        finally:
            try:
                if recording is not None:
                    recording.close()
            finally:
                self._leave()
                unstaged = super().unstage()
        return unstaged

    # what both ways of taking frames share

    def _arm(self, number: int | None, *, exact: bool, timeout: float | None = None) -> FrameStatus:
        recording = self._require_recording()
        before = recording.ledger.recorded
        status = FrameStatus(self, recorded=lambda: recording.ledger.recorded - before, number=number, timeout=timeout)
        self._asked = self._window(number, status, exact=exact)
        recording.arm(self._asked)
        interrupted, self._interrupted, self._status = self._interrupted, None, status
        if interrupted is not None:  # what a pause broke into is done anew: it is not waited for any longer
            interrupted.settle(None)
        self._begin(number)
        return status

    def _require_recording(self) -> Recording:
        if self._recording is None:
            raise RuntimeError(f"{self.name}: asked for frames, but it is not staged; stage it first")
        return self._recording

    @property
    def _deadline(self) -> float:
        return float(value_of(self.timeout)) + 2 * self._frame_time

    # step

    def trigger(self) -> DeviceStatus:
        """Take one frame; the status is done when it is on disk.

        Triggered again for the same event, as bluesky does after a pause, it takes another frame: the event is of that
        one, and the earlier one stays in the file.
        """
        self._flight = None
        status = self._arm(1, exact=False, timeout=2 * self._deadline + 30)
        assert self._recording is not None
        assert self.path is not None
        self.stats.follow(status, self._recording, self.path)
        return status

    def read(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the numbers of an event."""
        self._in_event = True
        return dict(super().read())  # pyright: ignore[reportReturnType]

    def describe(self) -> dict[str, DataKey]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Describe what an event carries, external arrays included."""
        arrays = self.describe_collect()
        self._numbers_described = True
        return dict(super().describe()) | arrays  # pyright: ignore[reportReturnType]

    @property
    def hints(self) -> dict[str, Any]:
        """Name what is worth a curve, of what was described last: a flight has no numbers in its events."""
        # the RunEngine asks for it right after describe or describe_collect, and does not name which
        return super().hints if self._numbers_described else {"fields": []}

    # fly

    def kickoff(self) -> DeviceStatus:
        """Begin to take `num_images` frames, or all until `complete` when that is 0.

        Asked again after a pause, as bluesky does, it goes on with the flight that was interrupted.
        """
        number = int(value_of(self.num_images)) or None
        if self._flight is None or self._flight is not self._interrupted or self._flight.done:
            self.stats.reset()
            self._flight = self._arm(number, exact=self._exact)
        status = DeviceStatus(self)
        status.set_finished()
        return status

    def complete(self) -> DeviceStatus:
        """Return the status of the flight; one without a number ends now, when all of it is on disk."""
        if self._flight is None:
            raise RuntimeError(f"{self.name}: complete without kickoff; kick it off first")
        if not int(value_of(self.num_images)):
            self._finish()
        return self._flight

    def describe_collect(self) -> dict[str, DataKey]:
        """Describe the arrays that stream datums refer to."""
        self._numbers_described = False
        if self._documents is None:
            return {}
        keys: Any = self._documents.data_keys(self._source.uri)
        keys[f"{self.name}_{self._pixels}"].update(self._scale)
        return keys

    def get_index(self) -> int:
        """Return the number of frames on disk."""
        return self.ledger.account.recorded

    @property
    def unannounced(self) -> int:
        """Frames on disk that documents do not name, or not whole: of a point or a collect that was broken off."""
        return 0 if self._documents is None else max(0, self.get_index() - self._documents.emitted)

    def begin_stream(self) -> None:
        """Let what is collected from now on be of another stream, which may go on where the one before could not."""
        if self._documents is not None:
            self._documents.withdraw_unused()
            self._documents.is_broken = False

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the documents of the frames that are on disk and were not announced yet."""
        if self._documents is None:
            return
        in_event, self._in_event = self._in_event and self._flight is None, False
        recorded = self.get_index()
        stop = recorded if index is None else min(index, recorded)
        self._documents.withdraw_unused()
        if self._documents.is_broken:
            return
        # an event has one index: frames of tries before it get the same number, and the last one counts
        for row in range(self._documents.announced + 1, stop) if in_event else ():
            yield from self._documents.up_to(row)
        yield from self._documents.up_to(stop)

    # interruptions

    def stop(self, *, success: bool = False) -> None:
        """Take no more frames; a trigger of `ledger` waits until those that were accepted are on disk."""
        self._finish()

    def _finish(self) -> None:
        if self._recording is not None:
            try:
                self._halt()
            finally:
                self._recording.finish()

    def pause(self) -> None:
        """Take no frames while the RunEngine is paused: what runs by itself runs on, what we started is stopped."""
        if self._recording is None or self._paused:
            return
        self._paused = True
        if self._status is not None and not self._status.done:
            self._interrupted = self._status
        try:
            self._halt()
        except BeamstreamError as error:  # raised, it would end the RunEngine without the plan's cleanup
            log.warning("%s; its frames pass", error)
        self._recording.pause()

    def resume(self) -> None:
        """Go on with the rest of a flight, from now on; what was triggered is triggered again by the RunEngine."""
        if self._recording is None or not self._paused:
            return
        self._paused = False
        self._recording.resume(discard=0 if self._exact else 1)
        window, flight = self._asked, self._flight
        if window is None or flight is None or flight.done:
            return
        rest = None if window.wanted is None else window.wanted - window.lost
        if rest is not None and rest < 1:
            return
        try:
            self._begin(rest)
        except BeamstreamError as error:
            self._recording.fail(error)

    def destroy(self) -> None:
        """Give everything back; the device cannot be used again."""
        self.unstage()
        self._source.close()
        self._ring.close()
        super().destroy()


def value_of(signal: Any) -> Any:
    """Return a signal's value; ophyd's annotations have a sentinel in the way."""
    return signal.get()


def _scale(name: str, size: float | Sequence[float] | None, units: str) -> dict[str, Any]:
    """Return what a data key holds about the size of a pixel; nothing where that is not known."""
    if size is None:
        return {}
    both = [float(n) for n in (size if isinstance(size, Sequence) else (size, size))]
    if len(both) != 2 or not all(0 < n < math.inf for n in both):
        raise ValueError(f"{name}: pixel_size {size!r} given; use a number above 0, or two: rows, columns")
    return {"pixel_size": both, "pixel_units": units}


def _unstage_all(detectors: list[StreamDetector]) -> None:
    """Finish files and free detectors when the session ends inside a run."""
    for detector in detectors:
        detector.unstage()


_staged = OpenObjects(_unstage_all, early=True)
