"""Chores: what takes a moment, done beside the window: captures, loading and saving references, single frames."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QObject, Signal

from beamstream.errors import BeamstreamError
from beamstream.frames import Frame
from beamstream.references import Kind, ReferenceStore

_PATIENCE = 5.0  # s for one frame of a capture


class Chores(QObject):
    """Do one thing after the other in threads of their own; `done` says how it went, in the window's thread.

    `done` has a topic (capture, reference or frame), words, and whether they are bad.
    """

    done = Signal(str, str, bool)

    def __init__(self, references: Path) -> None:
        super().__init__()
        self._store = ReferenceStore(references)
        self._threads: list[threading.Thread] = []

    def capture(self, ring: str, owner: int | None, kind: Kind, frames: int) -> None:
        """Average the next frames of a process's ring, and keep that as its newest flat or dark."""
        from beamstream.references.capture import capture

        def kept() -> str:
            return f"{self._kept(capture(ring, kind, frames, timeout=_PATIENCE, owner=owner)).name} kept"

        self._begin("capture", kept)

    def load(self, path: Path, kind: Kind, detector: str) -> None:
        """Keep a reference from a file as the newest one of a detector."""
        self._begin("reference", lambda: self._load(path, kind, detector))

    def save(self, path: Path, kind: Kind, detector: str, frame: Frame) -> None:
        """Write the newest reference that fits a frame to a new .npy file."""
        from beamstream.references import export_npy

        def save() -> str:
            export_npy(self._store.find(kind, detector, frame.geometry), path)
            return f"{kind} saved as {path}"

        self._begin("reference", save)

    def save_frame(self, frame: Frame, path: Path, look: Callable[[Frame], Any]) -> None:
        """Write one frame to a new file; its suffix says how. `look` colours it for a .png."""
        self._begin("frame", lambda: _save_frame(frame, path, look))

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return any(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Wait until all is done."""
        for thread in self._threads:
            thread.join()

    def _begin(self, topic: str, work: Callable[[], str]) -> None:
        def run() -> None:
            try:
                words, bad = work(), False
            except (BeamstreamError, OSError, ValueError, TypeError) as error:
                words, bad = str(error), True
            self.done.emit(topic, words, bad)

        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(threading.Thread(target=run, name=f"viewer-{topic}"))
        self._threads[-1].start()

    def _kept(self, reference: Any) -> Any:
        return self._store.keep(reference)

    def _load(self, path: Path, kind: Kind, detector: str) -> str:
        from beamstream.references import import_npy

        if path.suffix == ".npy":
            found = import_npy(path, kind, detector)
        else:
            found = self._store.load(path)
            found = replace(found, kind=kind, detector=detector, origin=str(path), path=None)
        self._kept(replace(found, taken=time.time()))  # the newest is the one that is used
        return f"{kind} from {path.name} is used from now on"


def _save_frame(frame: Frame, path: Path, look: Callable[[Frame], Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        with path.open("xb") as file:
            np.save(file, frame.image, allow_pickle=False)
    elif path.suffix == ".tiff":
        from beamstream.sinks.tiff_file import TiffFileSink

        with TiffFileSink(path, frame.geometry, name=path.stem, ome=False) as sink:
            sink.write([frame])
            if sink.undecoded:
                raise sink.undecoded[0].error
    elif path.suffix == ".png" and (path.exists() or not look(frame).save(str(path))):
        raise OSError(f"{path} cannot be written; is there room, and no file of that name?")
    return f"{path.name} saved in {path.parent}"


def free_path(directory: Path, prefix: str, suffix: str) -> Path:
    """Return the path of a new file, by the time of day."""
    stem = f"{prefix}_{time.strftime('%Y%m%d_%H%M%S')}"
    path, number = directory / f"{stem}.{suffix}", 1
    while path.exists():
        path, number = directory / f"{stem}_{number}.{suffix}", number + 1
    return path
