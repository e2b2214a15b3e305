"""A report that grows step by step: what is being done, what came of it, how long it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rich.text import Text

from beamstream.terminal import Terminal

_GOOD, _BAD = ("✓", "green"), ("✗", "red")


class Steps:
    """Write one line a step; on a terminal with something that moves while it lasts."""

    def __init__(self, console: Terminal) -> None:
        self._console = console
        self._began = time.monotonic()
        self.failed = False

    @property
    def seconds(self) -> float:
        """Since the first step."""
        return time.monotonic() - self._began

    @contextmanager
    def step(self, title: str, *, moves: bool = True) -> Iterator["Step"]:
        """Do one step; an exception marks it as failed and goes on its way.

        Parameters
        ----------
        title : str
        moves : bool
            False when the step draws bars itself.
        """
        step, began = Step(), time.monotonic()
        waiting = self._console.status(f"{title} …") if moves and self._console.is_terminal else nullcontext()
        try:
            with waiting:
                yield step
        except BaseException:
            self._line(_BAD, title, step, began)
            raise
        self.failed = self.failed or not step.good
        self._line(_GOOD if step.good else _BAD, title, step, began)

    def _line(self, mark: tuple[str, str], title: str, step: "Step", began: float) -> None:
        seconds = (f"  {time.monotonic() - began:.1f} s", "dim")
        self._console.print(Text.assemble(mark, f" {title:<22} {step.text}", seconds), soft_wrap=True)


class Step:
    """What came of a step."""

    def __init__(self) -> None:
        self.text = ""
        self.good = True

    def __call__(self, text: str, good: bool = True) -> None:
        """Say it."""
        self.text, self.good = text, good
