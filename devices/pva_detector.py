"""A detector that streams NTNDArrays over PVAccess, as bluesky wants it: step and fly, recorded on the way."""

import time
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from event_model import DataKey
from ophyd import Component as Cpt
from ophyd import Device, Signal
from ophyd.signal import AttributeSignal
from ophyd.status import DeviceStatus

from beamstream.errors import NotAnImage, SinkError
from beamstream.exits import before_exit
from beamstream.frames import Geometry
from beamstream.ledger import OnLoss
from beamstream.recording import Recording
from beamstream.ring import Ring
from beamstream.sinks.documents import SinkDocuments
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.sources.pva import PvaSource
from beamstream.window import Window
from devices.camera_control import CameraControl
from devices.frame_status import FrameStatus
from devices.ledger import LedgerDevice
from devices.statistics import FrameStatistics

_staged: "weakref.WeakSet[PvaDetector]" = weakref.WeakSet()
_PUT_TIMEOUT = 5.0  # s
_DRAIN_TIMEOUT = 5.0  # s; a ring full of frames takes the disk less than one


class PvaDetector(Device):
    """Record every frame of a PVAccess camera, in step scans and in flight.

    Works unchanged in bluesky's `count`, `scan`, `grid_scan`: one frame a trigger. In flight (`kickoff`,
    `complete`) it takes `num_images` frames, or all until `complete` when that is 0. Either way the frames are in
    one HDF5 file a run, and documents say which rows belong to which event. Stage it anew for each run.

    Without `control` the camera is left to run as it does: a trigger takes the first frame whose exposure began
    after it. With it, the camera is started for each trigger or kickoff, and left as it was found.

    Parameters
    ----------
    pv : str
        The NTNDArray record, ``13SIM1:Pva1:Image``.
    name : str
    control : str, optional
        Prefix of the Channel Access records, ``13SIM1:cam1:``.
    directory : str or Path
        Where files go; made if missing. One subdirectory a day.
    on_loss : {"mark", "fail"}
        Whether a lost frame fails the run or is marked in its ledger, with a warning.
    timeout : float
        Longest silence, s, beyond two frame times where these are known.
    ring_memory : int
        Bytes of shared memory for frames that wait for the disk or are looked at.
    queue_size : int
        Frames that the PVA client keeps while Python is busy.

    Attributes
    ----------
    num_images : Signal
        Frames a kickoff; 0: until completed.
    ledger : LedgerDevice
        Received, recorded, lost since the last stage.
    stats : FrameStatistics
        Total, mean and so on of the last trigger's frame; ``cam.stats.kind = "omitted"`` does without.
    control : CameraControl or None
    """

    num_images = Cpt(Signal, value=0, kind="config")
    on_loss = Cpt(Signal, value="mark", kind="config")
    timeout = Cpt(Signal, value=10.0, kind="config")
    lost = Cpt(AttributeSignal, attr="ledger.account.lost", write_access=False, kind="normal")
    stats = Cpt(FrameStatistics, kind="normal")
    ledger = Cpt(LedgerDevice, kind="omitted")

    def __init__(
        self,
        pv: str,
        *,
        name: str = "",
        control: str | None = None,
        directory: str | Path = "data/recordings",
        on_loss: OnLoss = "mark",
        timeout: float = 10.0,
        ring_memory: int = 512 * 2**20,
        queue_size: int = 50,
        **kwargs: Any,
    ) -> None:
        super().__init__(pv, name=name, **kwargs)
        if on_loss not in ("mark", "fail"):
            raise ValueError(f"{name}: on_loss {on_loss!r} given; use 'mark' or 'fail'")
        self.on_loss.put(on_loss)
        self.timeout.put(timeout)
        self.control = CameraControl(control, name=f"{name}_control", parent=None) if control else None
        self._directory = Path(directory).absolute()
        self._source = PvaSource(pv, name=name, queue_size=queue_size)
        self._ring = Ring(name or "detector", memory=ring_memory, source=f"pva://{pv}")
        self._recording: Recording | None = None
        self._documents: SinkDocuments | None = None
        self._flight: FrameStatus | None = None
        self._numbers_described = True
        self.path: Path | None = None
        """The file of the present run, or of the last one."""

    @property
    def connected(self) -> bool:
        """Whether the PV, and the control records if any, answer now."""
        return self._source.connected and (self.control is None or self.control.connected)

    @property
    def ring(self) -> Ring:
        """The last frames, for whoever looks at them."""
        return self._ring

    # staging

    def stage(self) -> list[object]:
        """Ask the PV for its geometry, open file and ring, follow the stream.

        Raises
        ------
        NotConnected, NotAnImage
            The PV does not answer, or has no image.
        SinkError, RingError
            There is no place to record to.
        """
        timeout = float(_value(self.timeout))
        geometry = self._source.connect(timeout)
        if geometry is None:
            raise NotAnImage(
                f"{self.name}: {self.prefix} has published no valid frame yet, so its shape is unknown; "
                "acquire one frame with it, then try again"
            )
        staged = super().stage()
        _staged.add(self)
        try:
            if self.control is not None:
                self.control.wait_for_connection(timeout=timeout)
                self.control.take(_PUT_TIMEOUT)
            self._source.start(self._open(geometry), timeout)
        except BaseException:
            self.unstage()
            raise
        return staged

    def _open(self, geometry: Geometry) -> Recording:
        day = self._directory / time.strftime("%Y/%m/%d")
        try:
            day.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise SinkError(f"{self.name}: {day} cannot be made: {e.strerror}; choose another directory") from None
        self.path = day / f"{self.name}_{time.strftime('%H%M%S')}_{uuid.uuid4().hex[:8]}.h5"
        sink = Hdf5Sink(self.path, geometry, name=self.name, attributes={"source": f"pva://{self.prefix}"})
        self._recording = Recording(self.name, self._ring, sink, geometry, on_loss=_value(self.on_loss))
        self.ledger.account = self._recording.ledger
        self._documents = SinkDocuments(sink, self.name)
        self.stats.reset()
        self._numbers_described = True
        return self._recording

    def unstage(self) -> list[object]:
        """Stop following, finish the file, leave the camera as it was found. Calling it again does no harm."""
        _staged.discard(self)
        recording, self._recording = self._recording, None
        self._flight = None
        try:
            self._source.stop()
        finally:
            try:
                if recording is not None:
                    recording.close()
            finally:
                if self.control is not None:
                    self.control.give_back(_PUT_TIMEOUT)
        return super().unstage()

    # what both ways of taking frames share

    def _arm(self, number: int | None, *, exact: bool, timeout: float | None = None) -> FrameStatus:
        recording = self._require_recording()
        before = recording.ledger.recorded
        status = FrameStatus(self, recorded=lambda: recording.ledger.recorded - before, number=number, timeout=timeout)
        window = Window(number, status.settle, self._deadline, discard=0 if self.control else 1, exact=exact)
        if (control := self.control) is not None:
            window.frame_time, window.idle = control.frame_time, lambda: control.idle
        recording.arm(window)
        if self.control is not None:
            self.control.start(number)
        return status

    def _require_recording(self) -> Recording:
        if self._recording is None:
            raise RuntimeError(f"{self.name}: asked for frames, but it is not staged; stage it first")
        return self._recording

    @property
    def _deadline(self) -> float:
        frame_time = self.control.frame_time if self.control is not None else 0.0
        return float(_value(self.timeout)) + 2 * frame_time

    # step

    def trigger(self) -> DeviceStatus:
        """Take one frame; the status is done when it is on disk."""
        status = self._arm(1, exact=False, timeout=2 * self._deadline + 30)
        assert self._recording is not None
        assert self.path is not None
        self.stats.follow(status, self._recording, self.path)
        return status

    def describe(self) -> dict[str, DataKey]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Describe what an event carries, external arrays included."""
        arrays = self.describe_collect()
        self._numbers_described = True
        return dict(super().describe()) | arrays  # pyright: ignore[reportReturnType]

    @property
    def hints(self) -> dict[str, Any]:
        """Name what is worth a curve, of what was described last: a flight has no numbers in its events."""
        # the RunEngine asks for it right after describe or describe_collect, and without telling for which
        return super().hints if self._numbers_described else {"fields": []}

    # fly

    def kickoff(self) -> DeviceStatus:
        """Begin to take `num_images` frames, or all until `complete` when that is 0."""
        number = int(_value(self.num_images)) or None
        self.stats.reset()
        self._flight = self._arm(number, exact=self.control is not None)
        status = DeviceStatus(self)
        status.set_finished()
        return status

    def complete(self) -> DeviceStatus:
        """Return the status of the flight; one without a number ends now, when all of it is on disk."""
        if self._flight is None:
            raise RuntimeError(f"{self.name}: complete without kickoff; kick it off first")
        if not int(_value(self.num_images)):
            self._finish()
        return self._flight

    def describe_collect(self) -> dict[str, DataKey]:
        """Describe the arrays that stream datums refer to."""
        self._numbers_described = False
        if self._documents is None:
            return {}
        return self._documents.data_keys(f"pva://{self.prefix}")

    def get_index(self) -> int:
        """Return the number of frames on disk."""
        return self.ledger.account.recorded

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the documents of the frames that are on disk and were not told of yet."""
        if self._documents is not None:
            recorded = self.get_index()
            yield from self._documents.up_to(recorded if index is None else min(index, recorded))

    # interruptions

    def stop(self, *, success: bool = False) -> None:
        """Take no more frames, and wait until those that were accepted are on disk."""
        self._finish()
        if self._recording is not None:
            self._recording.drain(_DRAIN_TIMEOUT)

    def _finish(self) -> None:
        if self._recording is not None:
            if self.control is not None:
                self.control.halt()
            self._recording.finish()

    def pause(self) -> None:
        """Let frames pass while the RunEngine is paused."""
        if self._recording is not None:
            self._recording.pause()

    def resume(self) -> None:
        """Go on taking frames."""
        if self._recording is not None:
            self._recording.resume(discard=0 if self.control else 1)

    # configuration

    def read_configuration(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the settings, the camera's included."""
        extra = self.control.read_configuration() if self.control is not None else {}
        return {**super().read_configuration(), **extra}  # pyright: ignore[reportReturnType]

    def describe_configuration(self) -> dict[str, DataKey]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Describe the settings, the camera's included."""
        extra = self.control.describe_configuration() if self.control is not None else {}
        return {**super().describe_configuration(), **extra}  # pyright: ignore[reportReturnType]

    def destroy(self) -> None:
        """Give everything back; the device cannot be used again."""
        self.unstage()
        self._source.close()
        self._ring.close()
        if self.control is not None:
            self.control.destroy()
        super().destroy()


def _value(signal: Any) -> Any:
    """Return a signal's value; ophyd's annotations have a sentinel in the way."""
    return signal.get()


def _unstage_all() -> None:
    """Finish files and free cameras when the session ends inside a run."""
    for detector in list(_staged):
        detector.unstage()


before_exit(_unstage_all)
