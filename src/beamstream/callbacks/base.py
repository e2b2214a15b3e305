"""What a callback of a chain is: one object for all runs, and one `Work` for each."""

from collections.abc import Mapping
from typing import Any, Protocol

from beamstream.callbacks.images import Emit


class Work(Protocol):
    """What a callback does for one run; see `beamstream.callbacks.work.FrameWork`."""

    def __call__(self, name: str, doc: Mapping[str, Any], /) -> None: ...
    def finish(self) -> None: ...
    def wait(self, timeout: float, /) -> bool: ...
    def give_up(self) -> None: ...
    @property
    def error(self) -> Exception | None: ...
    @property
    def moved(self) -> float: ...
    @property
    def progress(self) -> tuple[int, int]: ...
    @property
    def account(self) -> dict[str, Any]: ...


class FrameCallback(Protocol):
    """A callback that works on frames, one `Work` a run.

    Attributes
    ----------
    name : str
    required : bool
        Whether its failure, a frame that it leaves undone included, fails the run; otherwise it is isolated and
        counted in the run's account.
    derives : bool
        Whether others may want what it makes: then it is finished before them.
    """

    name: str
    required: bool
    derives: bool

    def begin(self, start: Mapping[str, Any], emit: Emit, /) -> Work | None:
        """Begin with a run; None when there is nothing to do for it."""
        ...
