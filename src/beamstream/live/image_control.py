"""What those who know the key may have done to a stream: capture references, record."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from beamstream.errors import BeamstreamError
from beamstream.live.feed import Feed
from beamstream.live.hub_settings import HubSettings
from beamstream.watching.tape import ENDED, Tape, TapeSettings

Result = TypeVar("Result")

_MOST_FRAMES = 1000
_SILENCE, _PERIODS = 3.0, 4  # s, and times the usual, without a frame, until a capture fails
_SHOWN = ("state", "directory", "prefix", "format", "written", "lost", "path", "words")


class Control:
    """Do what pages ask for, one thing of each kind at a time; for the thread of an event loop, which is not held up.

    Parameters
    ----------
    feed : Feed
    settings : HubSettings
    """

    def __init__(self, feed: Feed, settings: HubSettings) -> None:
        self._feed, self._settings = feed, settings
        self._tape: Tape | None = None
        self._recording: dict[str, Any] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._capturing = False

    async def do(self, message: Mapping[str, Any]) -> tuple[bool, str]:
        """Do what a message asks for; return whether that succeeded, and in words what came of it."""
        try:
            match message:
                case {"do": "capture", "kind": "flat" | "dark" as kind, "frames": int(frames)}:
                    return await self._capture(kind, frames)
                case {"do": "record", "directory": str(place), "prefix": str(prefix), "format": str(form)}:
                    return await self._record(TapeSettings(self._settings.recordings, place, prefix, form))
                case {"do": "stop"}:
                    return self._stop()
        except (BeamstreamError, OSError, ValueError) as error:
            return False, str(error)
        return (
            False,
            f"{str(message.get('do'))[:80]} is nothing that can be done so; there are capture, record and stop",
        )

    def recording(self) -> dict[str, Any] | None:
        """Return how the recording goes, or how the last one went; None before the first."""
        tape = self._tape
        if tape is not None:
            status = tape.status
            ended = status["state"] in ENDED
            state = status["state"] if ended else "recording"
            self._recording = {key: status.get(key) for key in _SHOWN} | {"state": state}
            if ended:
                self._tape = None
                self._closing = asyncio.create_task(in_thread(tape.close))
        return self._recording

    def close(self) -> None:
        """Finish the file."""
        if self._tape is not None:
            self._tape.close()

    async def _capture(self, kind: str, frames: int) -> tuple[bool, str]:
        name, place = self._feed.name, self._settings.references
        if not place:
            return False, f"{name}: a {kind} to be captured, but there is no directory for it; configure references"
        if isinstance(frames, bool) or not 1 <= frames <= _MOST_FRAMES:
            return False, f"{name}: a {kind} of {frames} frames to be captured; use 1 to {_MOST_FRAMES}"
        if self._capturing:
            return False, f"{name}: a {kind} to be captured, but another capture is under way; wait for it"
        self._capturing = True
        try:
            status = self._feed.status
            rate, owner = status.get("rate") or 0.0, status.get("owner")
            patience = max(_SILENCE, _PERIODS / rate if rate > 0 else 0.0)
            reference = await in_thread(lambda: _captured(name, kind, frames, place, patience, owner))
        finally:
            self._capturing = False
        self._feed.look_again()
        return True, f"kept {reference}"

    async def _record(self, settings: TapeSettings) -> tuple[bool, str]:
        name = self._feed.name
        self.recording()
        if self._tape is not None:
            return False, f"{name}: a recording to be started, but one is under way; stop it first"
        self._tape = tape = Tape(self._feed.spec, settings)
        try:
            await in_thread(tape.start)
        except BaseException:
            self._tape = None
            raise
        return True, f"recording {settings.prefix} as {settings.format} in {settings.directory or 'the recordings'}"

    def _stop(self) -> tuple[bool, str]:
        self.recording()
        if self._tape is None:
            return False, f"{self._feed.name}: a recording to be stopped, but there is none"
        self._tape.stop()
        return True, "finishing the file"


def _captured(name: str, kind: Any, frames: int, place: str, patience: float, owner: int | None) -> str:
    """Capture and keep a reference; return its name."""
    from beamstream.references import ReferenceStore
    from beamstream.references.capture import capture

    return ReferenceStore(place).keep(capture(name, kind, frames, timeout=patience, owner=owner)).name


async def in_thread(work: Callable[[], Result]) -> Result:
    """Return what a function returns that may wait; its thread does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run() -> None:
        try:
            outcome = work(), None
        except Exception as error:
            outcome = None, error
        try:
            loop.call_soon_threadsafe(settle, *outcome)
        except RuntimeError:  # the loop has ended meanwhile
            return

    threading.Thread(target=run, daemon=True).start()
    return await future
