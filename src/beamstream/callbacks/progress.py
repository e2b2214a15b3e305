"""Bars on a terminal while frames are recorded."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from typing import Any, ParamSpec

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from beamstream.terminal import Terminal

log = logging.getLogger(__name__)
P = ParamSpec("P")

_REDRAWS = 5  # a second
_WINDOW = 25  # redraws that the rate is taken over


class FrameProgress:
    """Show how far each detector is: frames done and asked for, frames/s, time left, lost frames in red.

    Three hooks, of which each works without the others; none can fail a run::

        progress = FrameProgress()
        RE.waiting_hook = progress              # flights with a number of frames; motors, as bluesky shows them
        RE.state_hook = progress.state          # no bars over the prompt of a paused session
        RE.subscribe(progress.document)         # flights with a duration, or without an end

    A flight is a status with ``progress -> (recorded, number or None, seconds)``. Nothing is shown where the
    console is no terminal.

    Parameters
    ----------
    console : rich.console.Console, optional
        Default standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._lock = threading.RLock()
        self._flights: list[_Flight] = []
        self._bars: _Bars | None = None
        self._motors: Any = None
        self._followed: dict[str, _Followed] = {}  # by uid of the run

    def __call__(self, statuses: Collection[Any] | None) -> None:
        """Show what is waited for; None: the wait is over. Called in the RunEngine's event loop."""
        _harmless(self._wait)(statuses)

    def state(self, new: str, _old: str) -> None:
        """Take the bars away while the RunEngine is paused, and for good when it is idle."""
        _harmless(self._follow_state)(new)

    def document(self, name: str, doc: Mapping[str, Any]) -> None:
        """Show runs that are not waited for: the plan sleeps, its progress is known from documents."""
        _harmless(self._follow)(name, doc)

    def _wait(self, statuses: Collection[Any] | None) -> None:
        if statuses is None:
            self._clear_motors()
            self._settle()
            return
        flights = [status for status in statuses if _frames_asked(status)]
        if not _terminal(self._console):
            return
        if flights:
            self._show([_Flight.of(status) for status in flights])
            for status in flights:
                status.add_callback(lambda _: _harmless(self._settle)())
        elif any(hasattr(status, "watch") and not status.done for status in statuses):
            from bluesky.utils import default_progress_bar

            self._clear_motors()
            self._motors = default_progress_bar(statuses)

    def _show(self, flights: Iterable["_Flight"]) -> None:
        """Draw bars for what is not drawn yet; a wait that is repeated goes on with its bars."""
        with self._lock:
            shown = {flight.key for flight in self._flights}
            new = [flight for flight in flights if flight.key not in shown and not flight.done()]
            self._flights += new
            if new:
                self._draw()

    def _draw(self) -> None:
        if self._bars is None:
            self._bars = _Bars(self._console or Terminal())
            self._bars.start()
        self._bars.follow(self._flights)

    def _settle(self) -> None:
        """Leave the bars as they are when every flight has ended."""
        with self._lock:
            if self._flights and all(flight.done() for flight in self._flights):
                self._end()

    def _end(self, forget: bool = True) -> None:
        with self._lock:
            bars, self._bars = self._bars, None
            if forget:
                self._flights = []
        if bars is not None:
            bars.stop()

    def _clear_motors(self) -> None:
        motors, self._motors = self._motors, None
        if motors is not None:
            motors.clear()

    def _follow_state(self, new: str) -> None:
        if new == "running":
            with self._lock:
                if self._flights:
                    self._draw()
        elif new in ("paused", "idle"):
            self._clear_motors()
            self._end(forget=new == "idle")

    def _follow(self, name: str, doc: Mapping[str, Any]) -> None:
        if name == "start" and ("seconds" in doc or doc.get("plan_name") in ("monitor", "growth")):
            if _terminal(self._console):
                self._followed[doc["uid"]] = _Followed(doc)
        elif name == "descriptor" and (run := self._followed.get(doc["run_start"])):
            if flight := run.descriptor(doc):
                self._show([flight])
        elif name == "stream_datum":
            for run in self._followed.values():
                run.datum(doc)
        elif name == "stop" and (run := self._followed.pop(doc["run_start"], None)):
            run.ended = True
            self._settle()


class _Flight:
    """What a bar shows: frames, their rate, and how far that is, counted in frames or in seconds."""

    def __init__(
        self,
        key: object,
        name: str,
        frames: Callable[[], int],
        done: Callable[[], bool],
        *,
        number: int | None = None,
        seconds: float | None = None,
        lost: Callable[[], int] = lambda: 0,
    ) -> None:
        self.key, self.name, self.done = key, name, done
        self._frames, self._lost, self._number, self._seconds = frames, lost, number, seconds
        self._begun = time.monotonic()
        self._samples: deque[tuple[float, int]] = deque([(self._begun, frames())], maxlen=_WINDOW)

    @classmethod
    def of(cls, status: Any) -> "_Flight":
        device = getattr(status, "device", None)
        account = getattr(getattr(device, "ledger", None), "account", None)
        return cls(
            status,
            getattr(device, "name", ""),
            lambda: status.progress[0],
            lambda: status.done,
            number=status.progress[1],
            lost=lambda: getattr(account, "lost", 0),
        )

    def look(self) -> dict[str, Any]:
        """Return what `Progress.update` takes."""
        now, frames, lost = time.monotonic(), self._frames(), self._lost()
        self._samples.append((now, frames))
        then, before = self._samples[0]
        rate = (frames - before) / (now - then) if now > then else 0.0
        if self._number is not None:
            done, total = frames, self._number
            left = (total - frames) / rate if rate else None
        else:
            done, total = now - self._begun, self._seconds
            left = total - done if total is not None else None
        return {
            "completed": done if total is not None else 0,
            "total": total,
            "frames": f"{frames}/{self._number}" if self._number is not None else f"{frames} frames",
            "rate": f"{rate:.1f}/s",
            "left": f"{max(0.0, left):.0f} s left" if left is not None and not self.done() else "",
            "lost": f"{lost} lost" if lost else "",
        }


class _Followed:
    """A run that is followed by its documents."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        self.ended = False
        self._seconds: float | None = start.get("seconds")
        self._frames: dict[str, int] = {}

    def descriptor(self, doc: Mapping[str, Any]) -> _Flight | None:
        """Return a flight for a stream whose frames lie in files."""
        if not any("external" in key for key in doc["data_keys"].values()):
            return None
        uid, names = doc["uid"], list(doc.get("object_keys", {}))
        self._frames[uid] = 0
        return _Flight(
            uid,
            names[0] if names else doc.get("name", ""),
            lambda: self._frames[uid],
            lambda: self.ended,
            seconds=self._seconds,
        )

    def datum(self, doc: Mapping[str, Any]) -> None:
        """Take note of what is on disk now."""
        if doc["descriptor"] in self._frames:
            self._frames[doc["descriptor"]] = doc["indices"]["stop"]


class _Bars(Progress):
    """Bars that ask their flights how far they are whenever they are drawn."""

    def __init__(self, console: Console) -> None:
        self._drawn: list[tuple[TaskID, _Flight]] = []
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            *(TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("frames", "rate", "left")),
            TextColumn("{task.fields[lost]}", style="bold red", markup=False),
            console=console,
            refresh_per_second=_REDRAWS,
            expand=True,
        )

    def follow(self, flights: Iterable[_Flight]) -> None:
        shown = {flight.key for _, flight in self._drawn}
        for flight in flights:
            if flight.key not in shown:
                self._drawn.append((self.add_task(flight.name, **flight.look()), flight))

    def get_renderables(self) -> Iterable[RenderableType]:
        for task, flight in self._drawn:
            try:
                self.update(task, **flight.look())
            except Exception as error:  # in rich's thread: it would end, and the bar with it
                yield Text(f"{flight.name}: {error}", "red")
        yield from super().get_renderables()


def _frames_asked(status: Any) -> bool:
    """Return whether a status is a flight worth a bar: one frame, a trigger, is none, nor one without an end."""
    progress = getattr(status, "progress", None)
    return isinstance(progress, tuple) and len(progress) == 3 and (progress[1] or 0) > 1


def _terminal(console: Console | None) -> bool:
    return (console or Terminal()).is_terminal


def _harmless(call: Callable[P, None]) -> Callable[P, None]:
    """Keep an error in a bar from ending the run that it shows."""

    @wraps(call)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            call(*args, **kwargs)
        except Exception:
            log.exception("progress: cannot be shown")

    return guarded
