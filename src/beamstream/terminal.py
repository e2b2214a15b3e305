"""The console that everything for people is printed on: what comes from outside cannot steer it."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from beamstream.plain_text import plain, plain_block


class Terminal(Console):
    """A console of rich on which text is text: see `beamstream.plain_text`.

    No markup, no emoji codes, no guessed colours: what is to be coloured is a `Text` or has a style. A string, a
    `Text` and a cell of a table are one line each.

    Parameters
    ----------
    options
        Those of `rich.console.Console`.
    """

    def __init__(self, **options: Any) -> None:
        options = {"markup": False, "emoji": False, "highlight": False, **options}
        super().__init__(**options)

    def render_str(self, text: str, **options: Any) -> Text:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return a string as it is printed."""
        return super().render_str(plain(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is written; whatever made it, nothing but rich's own codes controls the terminal."""
        if isinstance(renderable, Text) and not renderable.plain.isprintable():
            renderable = self._plain(renderable)
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else plain_block(text), style, control)

    def print_error(self, message: object) -> None:
        """Print an error in red: a text in one line, an exception in the lines of its message."""
        first, *more = str(message).split("\n") if isinstance(message, Exception) else [message]
        for line in (f"beamstream: {first}", *(f"  {line}" for line in more)):
            self.print(line, style="bold red")

    def _plain(self, text: Text) -> Text:
        made = text.blank_copy()
        for piece in text.render(self):
            made.append(plain(piece.text), piece.style)
        return made
