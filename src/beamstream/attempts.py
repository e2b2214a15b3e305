"""How often a process ended while it worked at an item of a durable queue: such an item is refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_WORKING, _ENDED = ".working", ".ended"


class Attempts:
    """Mark the items that are worked at, one file an item, and count the marks that were not removed.

    A mark is made before the work begins and removed after it, whether it went well or not: a mark that is left is that
    of a process which ended. One that is older than the last start of the machine counts nothing. One process at a
    time.

    Parameters
    ----------
    directory : Path
        Made where it is missing; marks that are in it are counted.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._boot = _BOOT.read_text().strip()
        self._ended = set(self.counts_in(directory))
        for mark in directory.glob(f"*{_WORKING}"):
            if mark.read_text() == self._boot:
                self.add(mark.name.removesuffix(_WORKING))
            mark.unlink()

    def begin(self, name: str) -> None:
        """Make the mark of an item; `name` has to be good as the name of a file.

        Raises
        ------
        OSError
            It cannot be made; do not begin.
        """
        self._mark(name).write_text(self._boot)

    def finish(self, name: str) -> None:
        """Remove the mark of an item."""
        self._mark(name).unlink(missing_ok=True)

    @contextmanager
    def working(self, name: str) -> Iterator[None]:
        """Leave a mark as long as an item is worked at; see `begin`."""
        self.begin(name)
        try:
            yield
        finally:
            self.finish(name)

    def add(self, name: str) -> None:
        """Count one more process that ended at an item."""
        path = self._count(name)
        new = path.with_suffix(".new")
        new.write_text(str(_number(path) + 1))
        new.replace(path)
        self._ended.add(name)

    def ended(self, name: str) -> int:
        """Return how many processes ended at an item."""
        return _number(self._count(name)) if name in self._ended else 0

    def forget(self, name: str) -> None:
        """Count from 0 again."""
        if name in self._ended:
            self.forget_in(self.directory, name)
            self._ended.discard(name)

    @staticmethod
    def counts_in(directory: Path) -> dict[str, int]:
        """Return the counts by item; nothing in the directory changes, another process may work there."""
        return {path.name.removesuffix(_ENDED): _number(path) for path in directory.glob(f"*{_ENDED}")}

    @staticmethod
    def forget_in(directory: Path, name: str) -> None:
        """Forget an item for a process that works there."""
        (directory / f"{name}{_ENDED}").unlink(missing_ok=True)

    def _mark(self, name: str) -> Path:
        return self.directory / f"{name}{_WORKING}"

    def _count(self, name: str) -> Path:
        return self.directory / f"{name}{_ENDED}"


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
