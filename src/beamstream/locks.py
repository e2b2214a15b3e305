"""Whether somebody lives: processes that must be alone keep a file locked as long as they do."""

import fcntl
import os
from pathlib import Path


def is_locked(path: Path) -> bool:
    """Return whether a living process holds a file locked; not when there is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
