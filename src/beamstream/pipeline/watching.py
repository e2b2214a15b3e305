"""Notice when files change: by time, size and inode."""

from pathlib import Path

Stamp = tuple[int, int, int] | None
"""Time of change (ns), size (bytes) and inode; None: there is no such file."""


def stamp(file: Path) -> Stamp:
    """Return what changes when the file does."""
    try:
        now = file.stat()
    except (OSError, ValueError):  # a name that cannot be one
        return None
    return now.st_mtime_ns, now.st_size, now.st_ino


class Watched:
    """Remember files as they were when they were read, also those that were looked for and not there."""

    def __init__(self) -> None:
        self._stamps: dict[Path, Stamp] = {}

    def see(self, file: Path) -> bool:
        """Remember a file, call this before it is read; return whether it is there."""
        return self._stamps.setdefault(file, stamp(file)) is not None

    def include(self, other: "Watched") -> None:
        """Watch what another one watches, as it saw it."""
        for file, seen in other._stamps.items():
            self._stamps.setdefault(file, seen)

    def changed(self) -> bool:
        """Return whether a file is another than it was."""
        return any(stamp(file) != seen for file, seen in self._stamps.items())
