"""A report that grows step by step: what is being done, what came of it, how long it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.markup import escape


class Steps:
    """Write one line a step; on a terminal with something that moves while it lasts."""

    def __init__(self, console: Console) -> None:
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
            self._line("[red]✗[/]", title, step, began)
            raise
        self.failed = self.failed or not step.good
        self._line("[green]✓[/]" if step.good else "[red]✗[/]", title, step, began)

    def _line(self, mark: str, title: str, step: "Step", began: float) -> None:
        text = escape(step.text)
        self._console.print(f"{mark} {title:<22} {text}  [dim]{time.monotonic() - began:.1f} s[/]", soft_wrap=True)


class Step:
    """What came of a step."""

    def __init__(self) -> None:
        self.text = ""
        self.good = True

    def __call__(self, text: str, good: bool = True) -> None:
        """Say it."""
        self.text, self.good = text, good
