"""Part: a place where something grows that must not be taken for complete, until it is."""

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from beamstream.errors import SinkError
from beamstream.locks import open_locked, unlock
from beamstream.sinks.disk import explained, sync_directory


class Part:
    """Make a hidden directory beside `target`; what is made in it appears at once, at the end, or never.

    What a killed process of this user left of the same target is removed. To be used in ``with``; without `publish`
    everything goes away again.

    Parameters
    ----------
    target : Path
        A file or a directory that does not exist yet; others made beside it in the part move with it.

    Attributes
    ----------
    path : Path
        Where to make it.

    Raises
    ------
    SinkError
        The target exists, another process is making it, or there is no place for it.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self._directory = target.with_name(f".{target.name}.part-{uuid4().hex}")
        self._lock_path = target.with_name(f".{target.name}.lock")
        self._lock = -1
        self.path = self._directory / target.name

    def __enter__(self) -> Self:
        with explained("export", "create", self.target):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()
            try:
                self._refuse_existing(self.target)
                for stale in self.target.parent.glob(f"{_escaped(self.target.name)}.part-*"):
                    if stale.lstat().st_uid == os.geteuid() and not stale.is_symlink():
                        shutil.rmtree(stale)  # its maker is dead: its lock is ours
                self._directory.mkdir()
            except BaseException:
                self._unlock()
                raise
        return self

    def clear(self) -> None:
        """Remove what was made so far, to begin anew.

        Raises
        ------
        SinkError
            It cannot be removed.
        """
        with explained("export", "begin anew", self.target):
            shutil.rmtree(self._directory)
            self._directory.mkdir()

    def publish(self) -> None:
        """Make it appear under its name.

        Raises
        ------
        SinkError
            Something was put there meanwhile; that is left alone.
        """
        with explained("export", "create", self.target):
            made = sorted(self._directory.iterdir(), key=lambda path: path == self.path)  # the target last
            for path in made:
                self._refuse_existing(self.target.with_name(path.name))
            for path in made:
                path.rename(self.target.with_name(path.name))
            sync_directory(self.target.parent)

    def _refuse_existing(self, path: Path) -> None:
        if os.path.lexists(path):
            raise SinkError(f"export: {path} exists and is never overwritten; choose another --out or delete it")

    def _locked(self) -> int:
        while True:
            try:
                fd = open_locked(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
            except BlockingIOError:
                raise SinkError(
                    f"export: {self.target} is being made by another process; wait for it, or choose another --out"
                ) from None
            if os.fstat(fd).st_nlink:
                return fd
            unlock(fd)  # its owner was done between our two lines

    def _unlock(self) -> None:
        self._lock_path.unlink(missing_ok=True)
        unlock(self._lock)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
        self._unlock()


def _escaped(name: str) -> str:
    return "." + "".join(f"[{c}]" if c in "*?[" else c for c in name)
