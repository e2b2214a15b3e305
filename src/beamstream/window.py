"""What a device requests of a recording: from when on, how many frames, how long to wait, what to call then."""

from collections.abc import Callable
from dataclasses import dataclass

from beamstream.frame_times import FirstFrame

Done = Callable[[Exception | None], None]
_GRACE = 1.5  # s that frames may be under way from a detector that has finished
_LATE_GRACE = 0.25  # s, when no number is missing but those that count as lost


@dataclass(slots=True)
class Window:
    """What is requested at the moment: from when on, how many frames, and what to call then.

    Parameters
    ----------
    number : int or None
        Frames wanted; None until `Recording.finish`.
    done : callable
        Called once, with None or the error, from a thread of the recording.
    deadline : float
        Longest time without a frame, s.
    frame_time : float
        From one frame to the next, s, as far as that is known.
    discard : int
        Above 0: the detector runs by itself, and frames that were begun before the request pass; so many at least
        where the detector's clock does not show which these are (see `beamstream.frame_times.FirstFrame`).
    exact : bool
        The detector makes just `number` frames: what is lost of them is not waited for once it is idle.
    idle : callable, optional
        Whether the detector reports that it has finished; called when it is silent. Given for a detector that is
        started for this window.
    """

    number: int | None
    done: Done
    deadline: float
    frame_time: float = 0.0
    discard: int = 0
    exact: bool = False
    idle: Callable[[], bool] | None = None
    accepted: int = 0
    lost: int = 0
    last_frame: float = 0.0  # time.monotonic() of the last frame
    open: bool = True
    first: FirstFrame | None = None  # as long as frames pass that were begun before the request

    @property
    def started(self) -> bool:
        """Whether the detector was started for this window, rather than running anyway."""
        return self.idle is not None

    @property
    def patience(self) -> float:
        """Longest silence, s, before the detector is asked whether it has finished."""
        if self.all_counted:
            return min(_LATE_GRACE + 2 * self.frame_time, self.deadline)
        return min(_GRACE + self.frame_time, self.deadline) if self.started else self.deadline

    @property
    def wanted(self) -> int | None:
        """Frames still to be accepted; None for no end."""
        return None if self.number is None else self.number - self.accepted

    @property
    def all_counted(self) -> bool:
        """Whether the detector has made all its frames, by its count, and only lost ones did not come."""
        return self.exact and self.number is not None and 0 < self.number - self.accepted <= self.lost

    def over(self) -> bool:
        """Return whether no frame is to be expected any more from a detector that is silent now."""
        if not self.exact or not self.wanted or not self.accepted:
            return False
        return self.idle() if self.idle is not None else self.all_counted
