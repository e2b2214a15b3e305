"""A bound for the file that a process logs into, whatever writes there: we, a library, a child, the interpreter."""

import contextlib
import fcntl
import os
import stat
import threading
import time
from pathlib import Path

LARGEST = 5_000_000
"""Bytes of a log."""

_PERIOD = 0.5  # s


def keep_small(descriptor: int = 2, largest: int = LARGEST) -> None:
    """Keep the file behind a descriptor below a size, if it is a regular file; the newest half of it stays.

    The size is checked twice a second, so the bound also holds for what libraries and children write there.
    """
    with contextlib.suppress(OSError):
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            _append_only(descriptor)
            watch = threading.Thread(target=_watch, args=(descriptor, largest), name="log-size", daemon=True)
            watch.start()


def cut_in_half(descriptor: int, largest: int) -> bool:
    """Keep the last half of `largest` bytes, from the next line on, where there are more; return whether there were."""
    size = os.fstat(descriptor).st_size
    if size <= largest:
        return False
    with Path(f"/proc/self/fd/{descriptor}").open("rb", buffering=0) as file:  # ours may be for writing only
        kept = os.pread(file.fileno(), largest // 2, size - largest // 2)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, kept.partition(b"\n")[2])
    return True


def _append_only(descriptor: int) -> None:
    """Write at the end, wherever that is; else a file that was cut would begin with a hole."""
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)


def _watch(descriptor: int, largest: int) -> None:
    while True:
        time.sleep(_PERIOD)
        with contextlib.suppress(OSError):  # a full disk; the next time may do better
            cut_in_half(descriptor, largest)
