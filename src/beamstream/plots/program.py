"""The process that draws: it hears on stdin of runs and frames, says on stdout what it did, and ends with stdin."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from beamstream.log_size import keep_small
from beamstream.logs import log_as_service
from beamstream.plots.inbox import Inbox, Message
from beamstream.plots.screens import Screen, choose
from beamstream.plots.view import View

if TYPE_CHECKING:
    from beamstream.plots.growth_view import GrowthView

_SHARE = 0.3  # of a core, at most
_NICE = 10
_TELL = 0.5  # s between two accounts
_IDLE = 0.2  # s

Say = Callable[[Message], None]


class Program:
    """Draw what messages tell of, and leave the processor to others most of the time.

    Messages have ``do``: ``begin`` (a run), ``source`` (a detector in it), ``rows`` (that are on disk), ``end``, and
    ``close``.

    Parameters
    ----------
    options : dict
        ``kind`` (``"image"``, ``"waterfall"`` or ``"growth"``), ``look`` (what that picture takes), ``period``,
        ``pipeline``.
    """

    def __init__(self, options: Message, screen: Screen, inbox: Inbox, say: Say) -> None:
        self._options = options
        self._screen, self._inbox, self._say = screen, inbox, say
        self._period: float = options.get("period") or screen.period
        self._views: dict[str, View | GrowthView] = {}
        self._runs: dict[str, Message] = {}
        self._errors: dict[str, int] = {}
        self._error = ""
        self._rest_until = self._told = 0.0
        self._over = False

    def stop(self) -> None:
        """End as soon as possible."""
        self._over = True

    def run(self) -> None:
        """Draw until there is nobody to draw for."""
        self._say({"is": "ready", "screen": self._screen.name})
        while not self._over:
            for message in self._inbox.take(self._slice()):
                self._obey(message)
            self._draw()
            self._screen.live()
            if self._inbox.ended:
                break
        if not self._over:
            for run in list(self._runs):
                self._end(run)

    def _slice(self) -> float:
        return min(self._screen.slice if self._runs or self._screen.period < 1 else _IDLE, _IDLE)

    def _obey(self, message: Message) -> None:
        run = message.get("run", "")
        match message["do"]:
            case "begin":
                self._runs[run] = message
                self._errors[run] = 0
            case "source" if run in self._runs:
                self._begin(message)
            case "rows" if run in self._runs and message["ring"] in self._views:
                self._views[message["ring"]].announce(message)
            case "end" if run in self._runs:
                self._end(run)
            case "close":
                self.stop()

    def _begin(self, message: Message) -> None:
        ring = message["ring"]
        if ring not in self._views:
            self._views[ring] = self._view(ring)
        with self._counted(message["run"]):
            self._views[ring].begin(self._runs[message["run"]], message["correction"])

    def _view(self, ring: str) -> "View | GrowthView":
        kind, options = self._options["kind"], self._options.get("look", {})
        if kind == "growth":
            from beamstream.plots.growth_view import GrowthView

            return GrowthView(ring, self._screen, options, self._period)
        return View(
            ring, self._screen, partial(_picture, kind, options), self._period, self._options.get("pipeline", "")
        )

    def _draw(self) -> None:
        """Draw those for whom it is time, the one that waits longest first."""
        for view in sorted((v for v in self._views.values() if v.run is not None), key=lambda v: v.due):
            now = time.monotonic()
            if view.due > now or self._rest_until > now or view.run is None:
                continue
            began = time.process_time()
            with self._counted(view.run):
                view.turn(now)
            spent = time.process_time() - began
            self._rest_until = time.monotonic() + spent * (1 / _SHARE - 1)
            if now - self._told > _TELL:
                self._told = now
                same = [other for other in self._views.values() if other.run == view.run]
                self._say({"is": "counts", **self._account(view.run, same)})

    def _end(self, run: str) -> None:
        views = [view for view in self._views.values() if view.run == run]
        for view in views:
            with self._counted(run):
                view.gather()
        self._say({"is": "ended", **self._account(run, views)})
        for view in views:
            with self._counted(run):
                if path := view.end():
                    self._say({"is": "file", "run": run, "path": path})
        self._say({"is": "done", **self._account(run, views)})
        del self._runs[run], self._errors[run]

    def _account(self, run: str, views: "Sequence[View | GrowthView]") -> Message:
        drawn, errors = sum(view.drawn for view in views), self._errors[run]
        return {"run": run, "drawn": drawn, "errors": errors, "error": self._error if errors else ""}

    def _counted(self, run: str) -> "_Counted":
        return _Counted(partial(self._failed, run))

    def _failed(self, run: str, error: Exception) -> None:
        self._errors[run] += 1
        text = f"{type(error).__name__}: {error}"
        if text != self._error:
            self._error = text
            self._say({"is": "error", "run": run, "error": text})


class _Counted:
    """Keep an exception from ending the process."""

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self._failed(error)
        return True


def _picture(kind: str, options: dict[str, Any], figure: Any) -> Any:
    if kind == "waterfall":
        from beamstream.plots.waterfall import WaterfallPicture

        return WaterfallPicture(figure, **options)
    from beamstream.plots.image import ImagePicture

    return ImagePicture(figure, **options)


def _status_pipe() -> IO[str]:
    """Take stdout for ourselves: what others print goes to the log."""
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return pipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw; the first argument has the options, as JSON."""
    (text,) = sys.argv[1:] if arguments is None else arguments
    options = json.loads(text)
    pipe = _status_pipe()

    def say(message: Message) -> None:
        pipe.write(json.dumps(message) + "\n")
        pipe.flush()

    inbox = Inbox(0)
    log_as_service()
    keep_small()
    os.nice(_NICE)
    import matplotlib

    from beamstream.plots.look import STYLE

    matplotlib.rcParams.update(STYLE)  # pyright: ignore[reportCallIssue, reportArgumentType]
    program = Program(options, choose(options.get("directory"), options["fallback"]), inbox, say)
    signal.signal(signal.SIGTERM, lambda _number, _frame: program.stop())
    try:
        program.run()
    except BrokenPipeError:  # nobody listens any more
        os._exit(0)
    return 0
