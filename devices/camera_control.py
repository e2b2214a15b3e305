"""The Channel Access side of an areaDetector camera: expose, start, stop, and leave it as it was."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device, EpicsSignal, EpicsSignalRO, EpicsSignalWithRBV
from ophyd.utils.errors import DisconnectedError

from beamstream.errors import NotConnected

_ENDS = 1.0  # s that the end of an acquisition may take
_LOOK = 0.001  # s
_NAMED = 3  # records, in the message that some do not answer
SINGLE, MULTIPLE, CONTINUOUS = 0, 1, 2  # areaDetector's ImageMode


class CameraControl(Device):
    """Control a camera through areaDetector's standard records.

    Parameters
    ----------
    prefix : str
        Ends in a colon, ``13SIM1:cam1:``.
    """

    acquire = Cpt(EpicsSignal, "Acquire", kind="omitted", auto_monitor=True)
    acquire_time = Cpt(EpicsSignalWithRBV, "AcquireTime", kind="config", auto_monitor=True)
    acquire_period = Cpt(EpicsSignalWithRBV, "AcquirePeriod", kind="config", auto_monitor=True)
    num_images = Cpt(EpicsSignalWithRBV, "NumImages", kind="config")
    image_mode = Cpt(EpicsSignalWithRBV, "ImageMode", kind="config")
    array_counter = Cpt(EpicsSignalRO, "ArrayCounter_RBV", kind="omitted")
    detector_state = Cpt(EpicsSignalRO, "DetectorState_RBV", kind="omitted")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._found: list[tuple[EpicsSignal, Any]] | None = None

    @property
    def frame_time(self) -> float:
        """Seconds from one frame to the next: the longer of exposure and period."""
        with self._answering("report its exposure"):
            return max(float(self.acquire_time.get()), float(self.acquire_period.get()))

    @property
    def idle(self) -> bool:
        """Whether the camera reports that it is not acquiring; not while its server is away. Does not wait."""
        if not self.connected:
            return False
        try:
            return not int(self.acquire.get(as_string=False))
        except (TimeoutError, DisconnectedError, TypeError):  # it went away just now; or nothing has come yet
            return False

    def connect(self, timeout: float) -> None:
        """Wait until every record answers.

        Raises
        ------
        NotConnected
            Which do not within `timeout` seconds.
        """
        try:
            self.wait_for_connection(timeout=timeout)
        except TimeoutError:
            silent = [signal.pvname for signal in self._records if not signal.connected]
            names = ", ".join(silent[:_NAMED]) + (f" and {len(silent) - _NAMED} more" if silent[_NAMED:] else "")
            raise NotConnected(
                f"{self.name}: control {self.prefix} asked for, {names} do not answer within {timeout:g} s; is the "
                "prefix right (13SIM1:cam1:), does its IOC run? Without control the camera is left to run by itself"
            ) from None

    def take(self, timeout: float) -> None:
        """Remember how the camera is set, and stop it."""
        if self._found is None:
            settings = (self.image_mode, self.num_images, self.acquire)
            with self._answering("stop"):
                self._found = [(s, s.get(as_string=False, use_monitor=False)) for s in settings]
                self.acquire.put(0, wait=True, timeout=timeout)

    def give_back(self, timeout: float) -> None:
        """Set everything as it was before `take`; a second call does nothing."""
        if self._found is None:
            return
        found, self._found = self._found, None
        with self._answering("be set as it was found"):
            self.acquire.put(0, wait=True, timeout=timeout)
            for signal, value in found:
                if signal is not self.acquire or value:
                    signal.put(value, wait=signal is not self.acquire, timeout=timeout)

    def start(self, number: int | None) -> None:
        """Begin to acquire `number` frames, or until `halt`; does not wait for them."""
        self._wait_until_idle()
        with self._answering("start"):
            self.image_mode.put(CONTINUOUS if number is None else MULTIPLE, wait=False)
            if number is not None:
                self.num_images.put(number, wait=False)
            self.acquire.put(1, wait=False)

    def halt(self) -> None:
        """Stop acquiring; does not wait."""
        with self._answering("stop"):
            self.acquire.put(0, wait=False)

    @property
    def _records(self) -> list[Any]:
        return [walk.item for walk in self.walk_signals() if hasattr(walk.item, "pvname")]

    @contextmanager
    def _answering(self, request: str) -> Iterator[None]:
        """Name the camera and what it was asked for when it does not answer."""
        try:
            yield
        except (TimeoutError, DisconnectedError) as error:
            raise NotConnected(
                f"{self.name}: asked to {request}, the camera's records {self.prefix} do not answer ({error}); is its "
                "IOC running? it may still acquire"
            ) from None

    def _wait_until_idle(self) -> None:
        """Let the camera end what its last frame was of: until it reports that it ignores a start.

        Its frame may be here first. The record itself is read: the monitor's last update may be from before.
        """
        deadline = time.monotonic() + _ENDS
        try:
            while self.connected and int(self.acquire.get(as_string=False, use_monitor=False, timeout=_ENDS)):
                if time.monotonic() > deadline:
                    return
                time.sleep(_LOOK)
        except TimeoutError:  # it went away just now; that no frame comes is noticed
            return
