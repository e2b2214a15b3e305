r"""Paths that people give: a control character in one is a slip, such as ``"D:\new"`` in double quotes.

A file system allows it, but such a name cannot be typed, printed or pasted again.
"""

import os
import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def control_fault(path: str | os.PathLike[str]) -> str:
    r"""Return what is wrong with a path that has a control character; empty if it has none.

    Examples
    --------
    >>> control_fault("D:\new")
    "it has the control character '\\n'"
    """
    found = _CONTROL.search(os.fspath(path))
    return f"it has the control character {found[0]!r}" if found else ""
