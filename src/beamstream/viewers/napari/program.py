"""The process of the viewer: a window, a door, and a timer that sees to both."""

import logging
import os
import signal
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from beamstream.errors import BeamstreamError
from beamstream.log_size import keep_small
from beamstream.logs import log_as_command, write_error
from beamstream.viewers.napari import messages
from beamstream.viewers.napari.address import address_file, forget_address, read_address, write_address
from beamstream.viewers.napari.door import Caller, Door

if TYPE_CHECKING:
    from beamstream.viewers.napari.window import Window

log = logging.getLogger(__name__)

_QUICK, _IDLE = 1, 30  # ms between two turns, while frames may come and when not
_AT_ONCE = 64  # messages


class Program:
    """Do what messages say, and let the window take its turns.

    Parameters
    ----------
    window : Window
    door : Door
    leave : callable
        Ends the process.
    """

    def __init__(self, window: "Window", door: Door, leave: Callable[[], None]) -> None:
        from PySide6.QtCore import QTimer

        self._window, self._door, self._leave = window, door, leave
        self._said = ""
        self._timer = QTimer()
        self._timer.timeout.connect(self.turn)
        self._timer.start(_IDLE)

    def turn(self) -> None:
        """Hear what was said, and show what came."""
        try:
            self._hear()
            if self._timer.isActive():  # not told to leave just now
                self._window.turn()
        except Exception as error:  # the next turn may do better; an exception in a timer would be napari's
            if (text := f"{type(error).__name__}: {error}") != self._said:
                self._said = text
                log.exception("viewer: %s", error)
        wanted = _QUICK if self._window.lively else _IDLE
        if self._timer.interval() != wanted:
            self._timer.setInterval(wanted)

    def _hear(self) -> None:
        for _ in range(_AT_ONCE):
            heard = self._door.take()
            if heard is None:
                break
            self._obey(*heard)

    def _obey(self, caller: Caller, message: messages.Message) -> None:
        try:
            caller.answer(True, **(self._do(message) or {}))
        except Exception as error:
            if not isinstance(error, BeamstreamError):
                log.exception("viewer: %s failed", message.do)
            caller.answer(False, f"viewer: {message.do}: {error}"[:400])
        if isinstance(message, messages.Close):
            self.leave()

    def _do(self, message: messages.Message) -> dict[str, Any] | None:
        window = self._window
        match message:
            case messages.Hello():
                return {"pid": os.getpid(), "streams": window.streams.names}
            case messages.State():
                return {"state": window.state()}
            case messages.Watch():
                window.streams.watch(message.name, _followed(message))
            case messages.Forget():
                window.streams.forget(message.name)
            case messages.Follow():
                window.follow()
            case messages.Go():
                window.viewer.dims.set_current_step(message.axis, message.step)
            case messages.Measure():
                for stream in window.streams:
                    stream.forget_ages()
            case messages.Picture():
                window.picture(message.path, message.canvas_only)
            case messages.Close():
                pass
            case _:
                getattr(window.display, message.do)(message)
        return None

    def leave(self) -> None:
        """Close the window: the process ends."""
        self._timer.stop()
        self._leave()

    def close(self) -> None:
        """Take no more turns, and let go of everything."""
        self._timer.stop()
        self._window.close()
        self._door.close()


def _followed(message: messages.Watch) -> Any:
    from beamstream.watching.follow import Follow
    from beamstream.watching.streams import StreamSpec

    return Follow(StreamSpec(message.name, message.about))


def main() -> int:
    """Run the viewer until its user, or a message, closes it."""
    log_as_command(logging.INFO)
    keep_small()
    path = address_file()
    if (other := read_address(path)) is not None:
        write_error(f"viewer: one runs already, pid {other.pid}; beamstream view --napari shows things in it")
        return 1
    warnings.filterwarnings("ignore", module="napari|vispy")  # of theirs; they would fill the log
    from PySide6.QtWidgets import QApplication

    from beamstream.viewers.napari.window import Window

    window = Window()
    app = QApplication.instance()
    assert app is not None
    door = Door()
    program = Program(window, door, lambda: window.viewer.close())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: program.leave())
    write_address(door.address, path)
    try:
        app.exec()
    finally:
        forget_address(door.address, path)
        program.close()
    return 0
