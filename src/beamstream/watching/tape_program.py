"""The process that records what is looked at: it finishes the file when it is told to, or when its stdin ends."""

import contextlib
import json
import os
import re
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beamstream.errors import BeamstreamError, RingOverrun
from beamstream.frames import Frame, Geometry
from beamstream.log_size import keep_small
from beamstream.logs import log_as_service
from beamstream.readers import RingView, copied
from beamstream.sinks.base import Sink
from beamstream.sinks.formats import FORMATS, Format, Wanted
from beamstream.watching.child import own_stdout, told
from beamstream.watching.follow import Follow
from beamstream.watching.streams import StreamSpec
from beamstream.watching.tape import ENDED, TapeSettings
from beamstream.watching.tape_writer import Account, Writer

_LOOK = 0.004  # s between two looks at the ring
_TELL = 0.25  # s between two words
_MOST_COPIES = 9999  # recordings of one name in one directory


class Recorder:
    """Copy frames out of the stream's ring as they come, and have them written.

    Parameters
    ----------
    spec : StreamSpec
    settings : TapeSettings
    """

    def __init__(self, spec: StreamSpec, settings: TapeSettings) -> None:
        self.state, self.words, self.path = "waiting", "", ""
        self._spec, self._settings = spec, settings
        self._follow = Follow(spec, share=False)  # viewers may leave meanwhile
        self._account = Account()
        self._since = time.time()
        self._geometry: Geometry | None = None
        self._writer: Writer | None = None
        self._owner: int | None = None  # of the ring
        self._next = 0  # index in it
        self._joining = False  # its next frames may be some that another one had

    def step(self) -> bool:
        """Take what has come; False if there was nothing."""
        view = self._follow.poll()
        writer = self._writer
        if writer is not None and writer.error:
            self.fail(writer.error)
        if view is None or self.state in ENDED or (writer is not None and writer.full):
            return False
        start, stop = view.bounds()
        if self._follow.owner != self._owner:
            self._owner, self._next = self._follow.owner, self._first(view, start, stop)
            self._joining = True
        self._next = max(start, self._next)
        if self._next >= stop:
            return False
        while self._next < stop and self._take(view, self._next):
            self._next += 1
        return True

    def _first(self, view: RingView, start: int, stop: int) -> int:
        """Return the first index that came since we began, or after what another ring had."""
        for index in range(stop, start, -1):
            with contextlib.suppress(RingOverrun):
                frame = view.frame(index - 1)
                if frame.received >= self._since and not self._account.had(frame):
                    continue
            return index
        return start

    def _take(self, view: RingView, index: int) -> bool:
        """Copy a frame and have it written; False if it cannot be taken now."""
        writer = self._writer
        if writer is not None and writer.full:
            return False
        copy = _copied(view, index)
        if copy is None or (self._joining and self._account.had(copy)):
            return True  # where it was overwritten the number of the next one tells
        self._joining = False
        if self._geometry not in (None, copy.geometry):
            self.finish(f"{self._spec.name}: frames were {self._geometry}, now {copy.geometry}; record anew")
            return False
        if writer is None:
            self._writer = writer = self._begin(copy)
        self._account.see(copy)
        writer.put(copy)
        return True

    def _begin(self, first: Frame) -> Writer:
        self._geometry = first.geometry
        sink, path = self._sink(first)
        self.path, self.state = str(path), "recording"
        return Writer(sink, path.parent)

    def _sink(self, first: Frame) -> tuple[Sink, Path]:
        settings, place = self._settings, self._settings.place()
        kind = FORMATS[settings.format]
        prefix = _free(place, settings.prefix, kind)
        about = {"source": self._spec.uri, "stream": self._spec.name}
        wanted = Wanted(first.geometry, self._spec.name, prefix, about, frame_attributes=first.attributes)
        path = place / f"{prefix}{kind.suffix}" if kind.suffix else place
        sink = kind.make(path, wanted)
        return sink, path if kind.suffix else path / f"{prefix}_000001.tiff"

    def finish(self, words: str = "") -> None:
        """Write what waits, close the file."""
        if self.state in ENDED:
            return
        if self._writer is not None:
            self._writer.finish()
            if self._writer.error:
                self.fail(self._writer.error)
                return
        self.state = "done"
        self.words = words or self._summary()

    def fail(self, words: str) -> None:
        """End with words; what was written stays."""
        if self.state not in ENDED:
            self.state, self.words = "failed", " ".join(words.split())
            if self._writer is not None:
                self._writer.finish()

    def close(self) -> None:
        """Let go of the ring."""
        self._follow.close()

    @property
    def _lost(self) -> int:
        return self._account.lost + (self._writer.undecoded if self._writer else 0)

    def _summary(self) -> str:
        name, lost = self._spec.name, self._lost
        if self._writer is None:
            return f"{name}: no frame came, nothing was recorded"
        missing = f"{lost} frames are missing" if lost else "nothing is missing"
        if not self._account.numbered:
            missing = "the detector does not number its frames: it is unknown whether some are missing"
        again = f", the detector's count began anew {self._account.restarts} times" if self._account.restarts else ""
        return f"{name}: {self._writer.written} frames in {self.path}, {missing}{again}"

    def status(self) -> dict[str, Any]:
        """Return what there is to say."""
        follow = self._follow.status
        words = self.words or (follow["words"] if self.state == "waiting" else "")
        return {
            "state": self.state,
            "received": self._account.received,
            "written": self._writer.written if self._writer else 0,
            "lost": self._lost,
            "restarts": self._account.restarts,
            "path": self.path,
            "words": words,
        }


def _copied(view: RingView, index: int) -> Frame | None:
    """Return a copy of a frame, None if it is overwritten."""
    try:
        return view.read(index, copied)
    except RingOverrun:
        return None


def _free(place: Path, prefix: str, kind: Format) -> str:
    """Return the prefix, with a number behind it where there are such files already."""
    there = [path.name for path in place.iterdir()]
    for number in range(1, _MOST_COPIES):
        name = prefix if number == 1 else f"{prefix}-{number}"
        ours = re.compile(re.escape(name) + (re.escape(kind.suffix) if kind.suffix else r"_\d+\.tiff?"), re.IGNORECASE)
        if not any(ours.fullmatch(each) for each in there):
            return name
    raise FileExistsError(f"recording: {place} has {_MOST_COPIES} recordings called {prefix}; choose another prefix")


def main() -> int:
    """Record; the first line on stdin says what and where."""
    log_as_service()
    keep_small()
    pipe = own_stdout()
    os.set_blocking(pipe, False)  # whoever does not listen must not hold up the recording
    first = told()
    if first is None:
        return 0
    spec = StreamSpec(first["spec"]["name"], first["spec"]["about"])
    recorder = Recorder(spec, TapeSettings(**first["settings"]))
    _record(recorder, lambda: _tell(pipe, recorder.status()))
    os.set_blocking(pipe, True)
    _tell(pipe, recorder.status())
    while os.read(0, 4096):  # until nobody listens any more the last word can be read
        pass
    return 0


def _record(recorder: Recorder, tell: Callable[[], None]) -> None:
    """Take frames until the end, and tell how far it is."""
    due = 0.0
    while recorder.state not in ENDED:
        try:
            busy = recorder.step()
        except (BeamstreamError, OSError, ValueError) as error:
            recorder.fail(str(error))
            break
        if time.monotonic() > due:
            due = time.monotonic() + _TELL
            tell()
        if _stopped(0.0 if busy else _LOOK):
            recorder.finish()
    recorder.close()


def _stopped(patience: float) -> bool:
    """Whether we are told to stop, or nobody is there any more, which means the same."""
    if not select.select([0], [], [], patience)[0]:
        return False
    said = os.read(0, 4096)
    return not said or b"stop" in said


def _tell(pipe: int, status: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # nobody listens, or nobody is there any more
        os.write(pipe, json.dumps(status).encode() + b"\n")
