"""Text from outside on its way to a terminal, a log or a label: what would steer it is written out instead.

Names, metadata, units, file names and messages come from detectors, files and other people. Written as they are they
could move the cursor, set the title of the window, fill the clipboard, hide what is printed next to them, or
add a line that is taken for ours.
"""

import unicodedata
from collections.abc import Iterable
from typing import Self

_KEPT = ("\t",)


def plain(text: object) -> str:
    r"""Return a text in one line, with everything that is no letter, sign or space written out: ``\x1b``, ``\n``.

    That are control characters (C0, DEL, C1), line and paragraph separators, marks that turn the direction of writing
    or have no width, and bytes of a file name that are no text. A tab stays.
    """
    return _written_out(str(text), _KEPT)


def plain_lines(text: object) -> str:
    """Return a text as `plain` does, in its lines; those after the first are indented, so none is taken for ours."""
    return "\n  ".join(plain(line) for line in str(text).split("\n"))


def plain_block(text: object) -> str:
    """Return a text as `plain` does, in its lines as they are: for what only we broke into lines."""
    return _written_out(str(text), (*_KEPT, "\n"))


class Report(str):
    """A text in several lines which only we broke: the text of a row cannot add one."""

    __slots__ = ()

    @classmethod
    def of(cls, rows: Iterable[object]) -> Self:
        """Return rows, each in a line."""
        return cls("\n".join(map(plain, rows)))


def _written_out(text: str, kept: tuple[str, ...]) -> str:
    if text.isprintable():
        return text
    return "".join(char if char in kept or _harmless(char) else _escaped(char) for char in text)


def _harmless(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
