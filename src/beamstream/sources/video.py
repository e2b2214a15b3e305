"""Frames from a film: at its own pace, faster, or as fast as they are taken; each of them, and in order."""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from beamstream.errors import BeamstreamError, NotAnImage, SourceError
from beamstream.frames import Frame, Geometry
from beamstream.path_names import control_fault
from beamstream.sources.base import Listener, tell_failure
from beamstream.sources.grey import Grey, checked_rule
from beamstream.sources.video_film import Film
from beamstream.sources.video_orientation import Orientation
from beamstream.sources.video_pixels import Limited, PictureReader

logger = logging.getLogger(__name__)

_LOOK = 0.1  # s


class VideoSource:
    """Play one film; a `beamstream.sources.base.Source`.

    A film never loses a frame: it waits for whoever takes them. With ``held`` it also stands still until `play`
    asks for frames, as a camera does that is triggered. Each `start` begins with the first frame again.

    Frames are numbered from 0. Their timestamps are those of the film, whatever the pace: the time of its beginning
    (`start`, or else what the film says, or else the time of the file's last change) plus the time since its first
    picture. ``clock`` of the frames says which: ``"declared"``, ``"film"`` or ``"file"``.

    Parameters
    ----------
    path : path-like
        Anything that FFmpeg reads.
    name : str
        Who speaks in errors; the detector's name.
    speed : float
        1: at the film's own pace; 8: eight times as fast; 0: as fast as the frames are taken.
    grey : {"error", "keep", "luma", "mean", "red", "green", "blue"}
        What becomes of colours, for a film that has some: it is refused, they are kept (RGB1), or made grey.
    limited : {"error", "keep", "expand"}
        What becomes of grey values in limited range (black is 16 and white 235): they are refused, kept, or made 0
        to 255.
    start : datetime, optional
        When the film's first picture was taken; with a time zone.
    fps : float, optional
        Pictures per second, in place of the times in the film.
    held : bool
        Whether frames come only when `play` asks for them.

    Attributes
    ----------
    speed, grey, limited
        As above; they count from the next `connect` and `start` on.
    room : callable or None
        ``room(timeout)`` waits until the next frame can be taken, or returns False after `timeout` seconds; called
        before each frame in the source's thread.
    pausing : callable or None
        ``pausing(seconds)`` is told that it is so long until the next frame.
    ended : callable or None
        Called in the source's thread when the film is over.

    Raises
    ------
    ValueError
        An option cannot be.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        name: str = "",
        speed: float = 1.0,
        grey: Grey = "error",
        limited: Limited = "error",
        start: datetime | None = None,
        fps: float | None = None,
        held: bool = False,
    ) -> None:
        self.path = Path(path).expanduser().absolute()
        self.name = name or self.path.name
        if fault := control_fault(self.path):
            raise ValueError(f"{self.name}: the film {str(self.path)!r} given, {fault}; correct the path")
        if not 0 <= speed < float("inf"):
            raise ValueError(f"{self.name}: speed {speed:g} given; use 1 for the film's own pace, 0 for no pace at all")
        if limited not in ("error", "keep", "expand"):
            raise ValueError(f"{self.name}: limited {limited!r} given; use 'keep', 'expand' or 'error'")
        if fps is not None and not 0 < fps < float("inf"):
            raise ValueError(f"{self.name}: fps {fps:g} given; use pictures per second, above 0")
        if start is not None and start.tzinfo is None:
            raise ValueError(f"{self.name}: start {start} given without a time zone; write it with one, like +00:00")
        self.grey: Grey = checked_rule(self.name, grey)
        self.limited: Limited = limited
        self.speed = speed
        self.clock = ""
        """Who says when the film was taken; known after `connect`."""
        self.orientation = ""
        """How its pictures are turned and mirrored, by its metadata, in words; known after `connect`."""
        self._begin, self._fps, self._held = start, fps, held
        self.room: Callable[[float], bool] | None = None
        self.pausing: Callable[[float], None] | None = None
        self.ended: Callable[[], None] | None = None
        self.delivered = 0
        """Frames since `start`."""
        self.over = False
        """Whether the film came to its end."""
        self._credit: int | None = 0  # frames that `play` still allows; None: all
        self._anchor: tuple[float, int] | None = None  # when which time of the film was
        self._turn = threading.Condition()  # held while a frame is delivered
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def uri(self) -> str:
        """What documents call it."""
        return self.path.as_uri()

    @property
    def connected(self) -> bool:
        """Whether the film is there."""
        return self.path.is_file()

    @property
    def idle(self) -> bool:
        """Whether it is not about to deliver anything."""
        with self._turn:
            return self.over or self._credit == 0

    def connect(self, timeout: float) -> Geometry:
        """Look at the first frame; return its geometry.

        Raises
        ------
        NotConnected
            There is no such file.
        NotAnImage
            It is no film, it has no pictures, or of colours that nobody said what becomes of.
        SourceError
            Its first picture is damaged.
        """
        with self._opened() as film:
            self.clock, reader = film.clock, self._reader(film)
            try:
                for picture, _ in film.pictures():
                    geometry = Geometry.of(*reader.image(picture))
                    self._note_orientation(reader.orientation)
                    return geometry
            except BeamstreamError:
                raise
            except Exception as error:  # of a damaged film PyAV and numpy raise many kinds
                raise _explained(error, self.name) from error
        raise NotAnImage(f"{self.name}: {self.path} has no picture in it; was its recording broken off?")

    def _note_orientation(self, orientation: Orientation) -> None:
        words = str(orientation)
        if words and words != self.orientation:
            level = logging.INFO if orientation.known else logging.WARNING
            logger.log(level, "%s: the pictures of %s are %s", self.name, self.path, words)
        self.orientation = words

    def start(self, listener: Listener, timeout: float) -> None:
        """Begin to play to `listener`, in a thread of its own; with ``held``, get ready to.

        Raises
        ------
        SourceError
            The film cannot be opened.
        """
        self.stop()
        film = self._opened()
        self.delivered, self.over = 0, False
        self._credit = 0 if self._held else None
        self._anchor = None
        self._stopping.clear()
        self._thread = threading.Thread(
            target=self._follow, args=(film, listener), name=f"{self.name}-film", daemon=True
        )
        self._thread.start()

    def play(self, number: int | None = None) -> None:
        """Deliver the next `number` frames; all there are with None. The pace begins anew."""
        with self._turn:
            self._credit = number
            self._anchor = None
            self._turn.notify_all()

    def hold(self) -> int | None:
        """Stand still, a frame that is being delivered comes first; return what `play` has to be told to go on."""
        with self._turn:
            left, self._credit = self._credit, 0
            self._turn.notify_all()
        return left

    def stop(self) -> None:
        """Stop playing; a call that is under way ends first. Calling it again does no harm."""
        self._stopping.set()
        with self._turn:
            self._turn.notify_all()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
            self._thread = None

    def close(self) -> None:
        """Stop and give everything back; the source cannot be used again."""
        self.stop()

    def _opened(self) -> Film:
        return Film(self.path, fps=self._fps, start=self._begin, who=self.name)

    def _reader(self, film: Film) -> PictureReader:
        return PictureReader(self.grey, self.limited, film.notes, self.name)

    # the source's thread

    def _follow(self, film: Film, listener: Listener) -> None:
        try:
            with film:
                self.over = self._deliver(film, listener)
            if self.over and self.ended is not None:
                self.ended()
        except Exception as e:
            self.over = True
            tell_failure(listener, e if isinstance(e, BeamstreamError) else _explained(e, self.name), self.name)

    def _deliver(self, film: Film, listener: Listener) -> bool:
        """Play; return whether the film came to its end."""
        reader, pictures = self._reader(film), film.pictures()
        while self._asked():  # nothing is decoded before: there may be damage behind what somebody wants
            picture, since_ns = next(pictures, (None, 0))
            if picture is None:
                self._tell_of_an_early_end(film)
                return True
            image, mode = reader.image(picture)
            timestamp = (film.start_ns + since_ns) / 10**9  # of integers: rounded once
            frame = Frame(image, Geometry.of(image, mode), self.delivered, timestamp, 0.0, self.uri, film.clock)
            while not self._give(frame, since_ns, listener):
                if not self._asked():
                    return False
        return False

    def _tell_of_an_early_end(self, film: Film) -> None:
        if not film.finished:
            logger.warning(
                "%s: %s was never finished by its writer; it has %d frames", self.name, film.path, self.delivered
            )

    def _asked(self) -> bool:
        """Wait until a frame is asked for; False when the source is stopped."""
        with self._turn:
            self._turn.wait_for(lambda: self._credit != 0 or self._stopping.is_set())
        return not self._stopping.is_set()

    def _give(self, frame: Frame, since_ns: int, listener: Listener) -> bool:
        """Wait for the moment and deliver; False if something came between."""
        if not self._moment(since_ns):
            return False
        if self.room is not None and not self.room(_LOOK):
            return False
        with self._turn:
            if self._credit == 0 or self._stopping.is_set():
                return False
            listener.frame(replace(frame, received=time.time()), 0)
            self.delivered += 1
            if self._credit is not None:
                self._credit -= 1
        return True

    def _moment(self, since_ns: int) -> bool:
        """Wait until a frame is due; False if the film stopped or stands still meanwhile."""
        if not self.speed:
            return True
        with self._turn:
            if self._anchor is None:
                self._anchor = time.monotonic(), since_ns
            anchor = began, first_ns = self._anchor
            pause = began + (since_ns - first_ns) / 1e9 / self.speed - time.monotonic()
            if pause <= 0:
                return True
            if self.pausing is not None:
                self.pausing(pause)
            return not self._turn.wait_for(
                lambda: self._anchor is not anchor or self._credit == 0 or self._stopping.is_set(), pause
            )


def _explained(error: Exception, who: str) -> SourceError:
    return SourceError(f"{who}: the film stopped: {type(error).__name__}: {error}")
