"""A film or a webcam, as bluesky wants it: step and fly, recorded on the way."""

import logging
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from ophyd import Component as Cpt
from ophyd import Signal

from beamstream.errors import SourceError
from beamstream.frames import Geometry
from beamstream.recording import Recording
from beamstream.sources.grey import Grey, checked_rule
from beamstream.sources.video import VideoSource
from beamstream.sources.video_pixels import Limited
from beamstream.sources.webcam import WebcamSource
from devices.frame_status import FrameStatus
from devices.statistics import FrameStatistics
from devices.stream_detector import StreamDetector, value_of

logger = logging.getLogger(__name__)


class VideoDetector(StreamDetector):
    """Record every frame of a film, in step scans and in flight.

    The film stands still until it is asked, as a triggered camera does: a trigger takes the next frame, a flight
    (`kickoff`, `complete`) the next `num_images`, or all there are. It begins anew with each stage. It waits for the
    disk, whatever its pace: no frame of a film is ever lost.

    Parameters
    ----------
    path : path-like
        Anything that FFmpeg reads.
    name : str
    speed : float
        1: at the film's own pace; 8: eight times as fast; 0: as fast as the frames are recorded.
    grey, limited : str
        What becomes of colours, and of limited range: see `beamstream.sources.video.VideoSource`.
    start : datetime, optional
        When the film's first picture was taken; otherwise what is in the film, or the time of the file.
    fps : float, optional
        Pictures per second, in place of the times in the film.
    **kwargs
        ``directory``, ``on_loss``, ``timeout``, ``ring_memory``: see `StreamDetector`.

    Attributes
    ----------
    num_images : Signal
        Frames a kickoff; 0: until completed; -1: to the end of the film.
    speed, grey, limited : Signal
        As above; what is put there counts from the next stage on.
    clock : Signal
        Where the time of the film is from: ``"declared"``, ``"film"``, or ``"file"`` (the time of its last change).
    orientation : Signal
        How its pictures are turned and mirrored, by the metadata of the film, in words; ``""``: as they are stored.
    stats : FrameStatistics
        Total, mean and so on of the last trigger's frame.
    """

    num_images = Cpt(Signal, value=-1, kind="config")
    speed = Cpt(Signal, value=1.0, kind="config")
    grey = Cpt(Signal, value="error", kind="config")
    limited = Cpt(Signal, value="error", kind="config")
    clock = Cpt(Signal, value="", kind="config")
    orientation = Cpt(Signal, value="", kind="config")
    stats = Cpt(FrameStatistics, kind="normal")

    ends = True
    """A flight needs neither a number nor an end from outside."""
    _exact = True

    def __init__(
        self,
        path: str | Path,
        *,
        name: str = "",
        speed: float = 1.0,
        grey: Grey = "error",
        limited: Limited = "error",
        start: datetime | None = None,
        fps: float | None = None,
        **kwargs: Any,
    ) -> None:
        film = VideoSource(path, name=name, speed=speed, grey=grey, limited=limited, start=start, fps=fps, held=True)
        super().__init__(str(path), film, name=name, **kwargs)
        self.speed.put(speed)
        self.grey.put(grey)
        self.limited.put(limited)
        self._film = film
        self._film.ended = self._film_over
        self._film.pausing = self._film_waits

    def _geometry(self, timeout: float) -> Geometry:
        self._film.speed = float(value_of(self.speed))
        self._film.grey = checked_rule(self.name, value_of(self.grey))
        self._film.limited = value_of(self.limited)
        geometry = self._film.connect(timeout)
        self.clock.put(self._film.clock)
        self.orientation.put(self._film.orientation)
        return geometry

    def _open(self, geometry: Geometry) -> Recording:
        recording = super()._open(geometry)
        self._film.room = recording.wait_for_room
        return recording

    def _arm(self, number: int | None, *, exact: bool, timeout: float | None = None) -> FrameStatus:
        return super()._arm(None if number is not None and number < 0 else number, exact=exact, timeout=timeout)

    def _begin(self, number: int | None) -> None:
        if self._film.over:
            self._film_over()
        else:
            self._film.play(number)

    def _halt(self) -> None:
        self._film.hold()

    # called by the film, in its thread

    def _film_over(self) -> None:
        """End what was asked for: a flight has all there was, a trigger has nothing."""
        recording, asked = self._recording, self._asked
        if recording is None or asked is None:
            return
        if asked.number is not None and asked.accepted < asked.number:
            words = f"{self.name}: the film {self._film.path} has ended after {self._film.delivered} frames"
            if not asked.accepted:
                recording.fail(SourceError(f"{words}, and was asked for more; stage it again to play it once more"))
                return
            logger.warning("%s; %d were asked for", words, asked.number)
        recording.finish()

    def _film_waits(self, seconds: float) -> None:
        """Extend the silence limit by the pause that the film announces (s)."""
        if self._asked is not None:
            self._asked.last_frame = time.monotonic() + seconds


class WebcamDetector(StreamDetector):
    """Record every frame of a webcam, in step scans and in flight.

    It runs by itself: a trigger takes the first frame that was begun after it. In flight it takes `num_images`
    frames, or all until `complete` when that is 0.

    Parameters
    ----------
    camera : int or str
        Its number, or a path or URL that OpenCV opens.
    name : str
    grey : str
        What becomes of colours: see `beamstream.sources.webcam.WebcamSource`.
    size : tuple of int, optional
        Rows and columns to ask for.
    fps : float, optional
        Frames per second to ask for.
    **kwargs
        ``directory``, ``on_loss``, ``timeout``, ``ring_memory``: see `StreamDetector`.

    Attributes
    ----------
    grey : Signal
        As above; what is put there counts from the next stage on.
    stats : FrameStatistics
        Total, mean and so on of the last trigger's frame.
    """

    grey = Cpt(Signal, value="error", kind="config")
    stats = Cpt(FrameStatistics, kind="normal")

    def __init__(
        self,
        camera: int | str = 0,
        *,
        name: str = "",
        grey: Grey = "error",
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        **kwargs: Any,
    ) -> None:
        webcam = WebcamSource(camera, name=name, grey=grey, size=size, fps=fps)
        super().__init__(f"webcam:{camera}", webcam, name=name, **kwargs)
        self.grey.put(grey)
        self._webcam = webcam

    def _geometry(self, timeout: float) -> Geometry:
        self._webcam.grey = checked_rule(self.name, value_of(self.grey))
        return self._webcam.connect(timeout)

    @property
    def _frame_time(self) -> float:
        return self._webcam.period or 0.0
