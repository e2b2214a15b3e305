"""A status that reports how far it is, for progress bars."""

import time
from collections.abc import Callable
from typing import Any

from ophyd.status import DeviceStatus, InvalidState
from ophyd.utils.errors import StatusTimeoutError

from beamstream.errors import SinkError


class FrameStatus(DeviceStatus):
    """Done when the frames asked for are on disk.

    Parameters
    ----------
    device : ophyd.Device
    recorded : callable
        Returns the number of frames on disk, of the window that this status is for.
    number : int or None
        Frames asked for; None without an end.
    """

    def __init__(
        self, device: Any, *, recorded: Callable[[], int], number: int | None, timeout: float | None = None
    ) -> None:
        super().__init__(device, timeout=timeout)
        self._recorded = recorded
        self._number = number
        self._begun = time.monotonic()

    def settle(self, error: Exception | None) -> None:
        """Finish or fail; a second call is ignored."""
        try:
            if error is None:
                self.set_finished()
            else:
                self.set_exception(error)
        except InvalidState:
            pass

    def _settled(self) -> None:
        """Name the detector, and what to do, in place of ophyd's words for a timeout."""
        if isinstance(self._exception, StatusTimeoutError):
            self._exception = SinkError(
                f"{self.device.name}: frames asked for are not on disk after {self.timeout:g} s, {self._recorded()} "
                f"of {self._number} are; look at the disk"
            )

    @property
    def progress(self) -> tuple[int, int | None, float]:
        """Frames on disk, frames asked for (None: no end), seconds since the beginning."""
        return self._recorded(), self._number, time.monotonic() - self._begun

    def __str__(self) -> str:
        error = self.exception(timeout=0) if self.done else None
        return super().__str__() + (f": {error}" if error is not None else "")

    __repr__ = __str__
