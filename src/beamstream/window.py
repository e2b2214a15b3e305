"""What a device asks a recording for: from when on, how many frames, how long to wait, whom to tell."""

from collections.abc import Callable
from dataclasses import dataclass

Done = Callable[[Exception | None], None]
_GRACE = 1.5  # s that frames may be under way from a detector that has finished


@dataclass(slots=True)
class Window:
    """What is asked for at the moment: from when on, how many frames, and whom to tell.

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
        Frames to let pass first: a free-running camera exposed them before it was asked.
    exact : bool
        The detector makes just `number` frames: what is lost of them is not waited for.
    idle : callable, optional
        Whether the detector says that it has finished; asked when it is silent. Given for a detector that is
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
    heard: float = 0.0  # time.monotonic() of the last frame
    open: bool = True

    @property
    def started(self) -> bool:
        """Whether the detector was started for this window, rather than running anyway."""
        return self.idle is not None

    @property
    def patience(self) -> float:
        """Longest silence, s, before the detector is asked whether it has finished."""
        return min(_GRACE + self.frame_time, self.deadline) if self.started else self.deadline

    @property
    def wanted(self) -> int | None:
        """Frames still to be accepted; None for no end."""
        if self.number is None:
            return None
        return self.number - self.accepted - (self.lost if self.exact else 0)
