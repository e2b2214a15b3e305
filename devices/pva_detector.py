"""A detector that streams NTNDArrays over PVAccess, as bluesky wants it: step and fly, recorded on the way."""

from collections.abc import Mapping
from typing import Any

from event_model import DataKey
from ophyd import Component as Cpt

from beamstream.errors import NotAnImage
from beamstream.frame_attributes import DIMENSION, sensor_part
from beamstream.frames import Geometry
from beamstream.sources.pva import PvaSource
from beamstream.window import Window
from devices.camera_control import CameraControl
from devices.frame_status import FrameStatus
from devices.statistics import FrameStatistics
from devices.stream_detector import StreamDetector

_PUT_TIMEOUT = 5.0  # s


class PvaDetector(StreamDetector):
    """Record every frame of a PVAccess camera, in step scans and in flight.

    Works unchanged in bluesky's `count`, `scan`, `grid_scan`: one frame a trigger. In flight (`kickoff`,
    `complete`) it takes `num_images` frames, or all until `complete` when that is 0. Either way the frames are in
    one HDF5 file a run, and documents name the rows of each event. Stage it anew for each run.

    Without `control` the camera is left to run as it does: a trigger takes the first frame whose exposure began
    after it. With it, the camera is started for each trigger or kickoff, and left as it was found.

    Parameters
    ----------
    pv : str
        The NTNDArray record, ``13SIM1:Pva1:Image``.
    name : str
    control : str, optional
        Prefix of the Channel Access records, ``13SIM1:cam1:``.
    queue_size : int
        Frames that the PVA client keeps while Python is busy.
    **kwargs
        ``directory``, ``on_loss``, ``timeout``, ``ring_memory``: see `StreamDetector`.

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

    stats = Cpt(FrameStatistics, kind="normal")

    def __init__(
        self, pv: str, *, name: str = "", control: str | None = None, queue_size: int = 50, **kwargs: Any
    ) -> None:
        super().__init__(pv, PvaSource(pv, name=name, queue_size=queue_size), name=name, **kwargs)
        self.control = CameraControl(control, name=f"{name}_control", parent=None) if control else None
        self._exact = self.control is not None

    @property
    def connected(self) -> bool:
        """Whether the PV, and the control records if any, answer now."""
        return self._source.connected and (self.control is None or self.control.connected)

    def _geometry(self, timeout: float) -> Geometry:
        geometry = self._source.connect(timeout)
        if geometry is None:
            raise NotAnImage(
                f"{self.name}: {self.prefix} has published no valid frame yet, so its shape is unknown; "
                "acquire one frame with it, then try again"
            )
        return geometry

    @property
    def _frame_attributes(self) -> Mapping[str, Any]:
        source: Any = self._source
        return source.attributes

    def describe_collect(self) -> dict[str, DataKey]:
        """Describe the arrays that stream datums refer to, and which part of the sensor an image is, where known."""
        keys: Any = super().describe_collect()
        if keys and (part := sensor_part(self._frame_attributes)):
            keys[f"{self.name}_image"][DIMENSION] = part
        return keys

    def _prepare(self, timeout: float) -> None:
        if self.control is not None:
            self.control.connect(timeout)
            self.control.take(_PUT_TIMEOUT)

    def _window(self, number: int | None, status: FrameStatus, *, exact: bool) -> Window:
        window = super()._window(number, status, exact=exact)
        if (control := self.control) is not None:
            window.idle = lambda: control.idle
        return window

    def _begin(self, number: int | None) -> None:
        if self.control is not None:
            self.control.start(number)

    def _halt(self) -> None:
        if self.control is not None:
            self.control.halt()

    def _leave(self) -> None:
        if self.control is not None:
            self.control.give_back(_PUT_TIMEOUT)

    @property
    def _frame_time(self) -> float:
        return self.control.frame_time if self.control is not None else 0.0

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
        super().destroy()
        if self.control is not None:
            self.control.destroy()
