"""How much room a disk has, and for how long that will do."""

import os
import shutil
import time
from collections import deque
from pathlib import Path
from typing import Any

_WINDOW = 60.0  # s over which the rate is taken
_LEAST = 15.0  # s that it takes


class Disk:
    """Tell the room left where recordings go, and how fast it gets less.

    Parameters
    ----------
    path : Path
        A directory; where it is missing, the nearest one above it counts.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looks: deque[tuple[float, int]] = deque()

    def document(self) -> dict[str, Any]:
        """Say how much room there is.

        ``path``; ``free``, ``total``, bytes; ``rate`` at which it fills, bytes/s; ``left`` until it is full, s. What is
        not known is None; ``words`` says why, where there is no disk at all.
        """
        try:
            usage = shutil.disk_usage(_nearest(self._path))
        except OSError as error:
            words = f"{self._path} cannot be looked at: {error.strerror}"
            return {"path": str(self._path), **dict.fromkeys(("free", "total", "rate", "left")), "words": words}
        rate = self._rate(usage.free)
        left = usage.free / rate if rate else None
        return {"path": str(self._path), "free": usage.free, "total": usage.total, "rate": rate, "left": left}

    def _rate(self, free: int) -> float | None:
        """Return by how much it gets less, bytes/s; None where that is not known, 0 where it does not."""
        now = time.monotonic()
        self._looks.append((now, free))
        while len(self._looks) > 2 and now - self._looks[1][0] > _WINDOW:
            self._looks.popleft()
        then, before = self._looks[0]
        return max(0.0, (before - free) / (now - then)) if now - then >= _LEAST else None


def _nearest(path: Path) -> Path:
    """Return the path, or what is there above it."""
    return next((p for p in (path, *path.parents) if os.path.isdir(p)), path)  # noqa: PTH112, never raises
