"""The state of an upload, kept on disk by its worker; a full disk holds it up, and loses nothing."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from beamstream.rheed.job import JobDirectory, Phase, State

log = logging.getLogger(__name__)

_AGAIN = 1.0  # s until a disk that refused is tried again
_LOG_EVERY = 5.0  # s; a storm of a night is to leave a log that can be read
_LAST = ("done", "failed")
_MOST_NAMED = 100  # frames that do not decode


class UploadBooks:
    """Keep the state of an upload, in memory first and on disk as soon as the disk takes it.

    What is not on disk yet is at worst uploaded a second time; only the name of the stream is waited for. One loop.

    Parameters
    ----------
    directory : JobDirectory
    """

    def __init__(self, directory: JobDirectory) -> None:
        self.directory = directory
        self.state = directory.state
        self.words = ""
        """Why the disk does not take the state; empty if it does."""
        self._owed = False
        self._logged, self._said = ("waiting", ""), 0.0

    async def begun(self, data_id: str) -> None:
        """Return when the name of the stream is on disk."""
        self.update(data_id=data_id)
        while self._owed:
            await asyncio.sleep(_AGAIN)
            self.settle()

    def arrived(self, *chunks: int) -> None:
        """Note that the service has some chunks."""
        state = self.state
        for chunk in chunks:
            state = state.with_confirmed(chunk)
        if state != self.state:
            self.state = replace(state, uploaded=_frames(state))
            self._save()

    def undecoded(self, rows: Sequence[int]) -> None:
        """Note that some rows do not decode, and are black at the service."""
        self.update(undecoded=tuple(sorted({*self.state.undecoded, *rows}))[:_MOST_NAMED])

    @property
    def undecoded_words(self) -> str:
        """Which frames do not decode; empty if all do."""
        if not (rows := self.state.undecoded):
            return ""
        number = f"{len(rows)}{' or more' if len(rows) == _MOST_NAMED else ''}"
        which = ", ".join(map(str, rows))
        return f"upload: {number} frames of {self.directory.job.path} do not decode and are black, rows {which}"

    def update(self, **changes: Any) -> None:
        """Change what must not be forgotten."""
        state = replace(self.state, **changes)
        if state != self.state:
            self.state = replace(state, uploaded=_frames(state))
            self._save()

    def show(self, phase: Phase, error: str, *, frames: int, refusals: int) -> None:
        """Change what others want to see; a change of phase is on disk at once."""
        before = self.state
        entered = before.since if phase == before.phase else time.time()
        state = replace(before, phase=phase, error=error, frames=frames, refusals=refusals, since=entered)
        if state != before:
            self.state = replace(state, uploaded=_frames(state))
            self._save(durable=phase != before.phase)
        if (phase, error) != self._logged and (phase in _LAST or time.monotonic() - self._said > _LOG_EVERY):
            self._logged, self._said = (phase, error), time.monotonic()
            log.info("%s%s", phase, f": {error}" if error else "")

    def settle(self) -> None:
        """Try once more to save what the disk did not take."""
        if self._owed:
            self._save()

    def _save(self, *, durable: bool = True) -> None:
        try:
            self.directory.save(self.state, durable=durable or self._owed)
            self._owed, self.words = False, ""
        except OSError as error:
            self._owed = True
            if not self.words:
                self.words = f"upload: {self.directory.path} cannot be written: {error.strerror}; make room"
                log.warning("%s", self.words)


def _frames(state: State) -> int:
    """Return how many frames the service has; the last chunk may be a short one."""
    size = state.chunk_size
    beyond = sum(max(0, min(size, state.frames - chunk * size)) for chunk in state.beyond)
    return min(state.confirmed * size, state.frames) + beyond
