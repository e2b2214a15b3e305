"""Ctrl-C and SIGTERM end a command in order; asked again, they do not break into that."""

import os
import signal
from types import FrameType

from beamstream.exits import at_exit

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_asked = 0


def asked_first(number: int) -> bool:
    """Count a signal; return whether it is the first, which is to be obeyed.

    The second is answered with a word, the third ends the process at once: children watch their parent, and
    what was being recorded is recovered. To be called in a signal handler.
    """
    global _asked
    _asked += 1
    if _asked == 2:
        os.write(2, b"beamstream: ending, one moment (once more: at once)\n")
    if _asked > 2:
        os._exit(128 + number)
    return _asked == 1


def install() -> None:
    """Turn the first of both signals into KeyboardInterrupt or SystemExit, in the main thread."""
    global _asked
    _asked = 0
    for number in _SIGNALS:
        signal.signal(number, _end)
    at_exit(_ignore)  # early, so that it is called late


def over() -> None:
    """Say that the command has ended: what comes now must not break into putting things away."""
    global _asked
    _asked = max(_asked, 1)


def _end(number: int, _frame: FrameType | None) -> None:
    if asked_first(number):
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


def _ignore() -> None:
    """Let nothing kill the interpreter while it ends: it takes our handlers away, and the exit status with them."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
