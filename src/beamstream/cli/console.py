"""What commands write: people's text and tables, scripts' JSON, one red line for what went wrong."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from beamstream.terminal import Terminal

_WIDE = 200  # characters; where there is no terminal to fill, nothing is folded

LOST_AND_MARKED = 3
"""Exit status of a command that recorded everything that came, while the detector made more."""

INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def out() -> Terminal:
    """Return the console of standard output; colours on a terminal only."""
    terminal = sys.stdout.isatty()
    return Terminal(soft_wrap=not terminal, width=None if terminal else _WIDE)


def err() -> Terminal:
    """Return the console of standard error; colours on a terminal only."""
    return Terminal(stderr=True, soft_wrap=True)


def print_json(value: Any) -> None:
    """Write one JSON document, indented."""
    _write_json(value, indent=2)


def print_json_line(value: Any) -> None:
    """Write one JSON document in one line, without NaN, at once."""
    _write_json(value, allow_nan=False)


def _write_json(value: Any, **how: Any) -> None:
    text = json.dumps(value, default=str, **how)
    sys.stdout.write(text.replace("\x7f", "\\u007f") + "\n")  # the one control character that json leaves as it is
    sys.stdout.flush()


def complain(message: object) -> None:
    """Report in red what went wrong."""
    err().print_error(message)


def table(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    """Return an empty table; the columns in `right` are flush right."""
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


@contextmanager
def progress(total: float | None, what: str) -> Iterator["Bar"]:
    """Show a bar on standard error while the block runs, if that is a terminal.

    Parameters
    ----------
    total : float or None
        How much there is; None when nobody knows.
    what : str
        Stands before the bar.
    """
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Terminal(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        yield Bar(shown, shown.add_task(what, total=total))


class Bar:
    """One bar, made by `progress`; any thread may move it."""

    def __init__(self, shown: Progress, task: Any) -> None:
        self._shown, self._task = shown, task

    def at(self, done: float) -> None:
        """Move the bar to `done`."""
        self._shown.update(self._task, completed=done)


def size(number: float) -> str:
    """Return a number of bytes as people read it: ``1.5 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"
