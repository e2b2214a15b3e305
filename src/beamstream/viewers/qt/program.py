"""The desktop viewer as a program."""

import logging
import os
import signal
import sys
from typing import Any

from beamstream.errors import ConfigurationError
from beamstream.logs import log_as_command
from beamstream.viewers.qt.options import Options

_WAKE = 200  # ms; Python hears of a signal only between two lines of its own
_ENDS = (signal.SIGINT, signal.SIGTERM)


def main(options: Options) -> int:
    """Show one stream in a window until that is closed, or Ctrl-C.

    Returns
    -------
    int
        For the shell: 0.

    Raises
    ------
    ConfigurationError
        There is no screen, or the extra is not installed.
    """
    _check_screen()
    _quiet_log(options)
    try:
        from PySide6.QtCore import QTimer
        from PySide6.QtWidgets import QApplication

        from beamstream.viewers.qt.window import Window
    except ImportError as error:
        raise ConfigurationError(f"view --qt: {error}; pip install 'beamstream[qt]'") from error
    check_version()
    there = QApplication.instance()
    app: Any = there if there is not None else QApplication(["beamstream"])
    app.setApplicationName("beamstream")
    app.setApplicationDisplayName("beamstream")
    window = Window(options)
    window.show()
    asked: list[int] = []  # to close at once might be inside a lock that the closing waits for
    wake = QTimer()
    wake.timeout.connect(lambda: asked and window.close())
    wake.start(_WAKE)
    before = {number: signal.signal(number, lambda number, _: asked.append(number)) for number in _ENDS}
    try:
        app.exec()
    finally:
        wake.stop()
        window.end()
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _check_screen() -> None:
    """Say in words what Qt would say by aborting."""
    named = any(os.environ.get(name) for name in ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"))
    if sys.platform.startswith("linux") and not named:
        raise ConfigurationError(
            "view --qt: there is no screen (DISPLAY is not set); log in with `ssh -X`, or watch in a browser: "
            "`beamstream view`"
        )


def check_version() -> None:
    """Refuse a PySide6 that ends Python 3.11 by "deallocating True" after some hundred signals."""
    import PySide6

    if PySide6.__version_info__[:2] == (6, 12) and sys.version_info < (3, 12):
        raise ConfigurationError(
            f"view --qt: PySide6 {PySide6.__version__} crashes on Python 3.11, which it gives too few references; "
            "pip install 'PySide6-Essentials<6.12'"
        )


def _quiet_log(options: Options) -> None:
    """Log as it was asked for, unless whoever called has seen to that."""
    log_as_command(options.log_level, *([logging.FileHandler(options.log_file)] if options.log_file else []))
    logging.getLogger("numba").setLevel(logging.WARNING)
