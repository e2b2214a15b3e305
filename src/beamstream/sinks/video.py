"""Keep frames as a film: Matroska with FFV1, bit by bit, or MP4 with H.264, for all players."""

import contextlib
import errno
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from beamstream.errors import SinkError
from beamstream.film import FilmNotes, nanoseconds
from beamstream.frames import Frame, Geometry
from beamstream.sinks.attribute_lines import AttributeLines
from beamstream.sinks.description import NO_DESCRIPTION, Description
from beamstream.sinks.disk import sync_file
from beamstream.sinks.matroska import MatroskaFile, Picture
from beamstream.sinks.one_run import OneRun
from beamstream.sinks.video_codecs import Encoder
from beamstream.sinks.video_mp4 import rewrap
from beamstream.sinks.video_pixels import Pictures, Window
from beamstream.sinks.zarr_layout import jsonable

logger = logging.getLogger(__name__)

MKV, MP4 = "video/x-matroska", "video/mp4"
"""What a stream_resource document would call these; tiled reads no films."""

Codec = Literal["ffv1", "x264"]
_STEP_NS = 1000  # from one picture to the next at least: MP4 has microseconds


class VideoSink(OneRun):
    """Keep the frames of one run as a film that any player shows.

    ``.mkv`` (any suffix but ``.mp4``): each frame is in the file when `write` returns, and readable while the film
    grows and after a kill of its writer. With ``codec="ffv1"`` pixels of 8 and 16 bits without a sign come back bit
    by bit, grey, Bayer and colour (16 bits as little-endian numbers).

    ``.mp4``: always ``"x264"``. Players want its table of contents first, so until the run is over, and after a
    kill, the frames are in ``run.mp4.parts.mkv``; closing makes the film of it without encoding anew, and needs
    room for both for a moment. Where there is none, the first one stays.

    ``"x264"`` takes 8 bits, in full range, and keeps what the eye sees, not the values, unless ``lossless``. Its
    pictures are 4:2:0, with the last row and column repeated where the frame's numbers of them are odd; with
    ``lossless`` they are as they are, and fewer players show them. Frames of other pixels need a ``window``.

    Times are kept to the nanosecond in ``.mkv``, to the microsecond in ``.mp4``. The first one is the film's creation
    time, which other programs see in whole seconds in an ``.mp4``. A frame that is not later than the one before is
    put a microsecond behind it, with a warning. unique_id and received have no place in a film. Attributes of the
    first frame are in the comment, what changes of them is beside the film, in ``<path>.attributes.jsonl``: see
    `beamstream.sinks.attribute_lines.AttributeLines`.
    `beamstream.sources.video.VideoSource` gives the frames back as they were, cut to their size.

    Parameters
    ----------
    path : path-like
        The file to create; one that exists is never touched.
    geometry : Geometry
        Of every frame of the run.
    fps : float, optional
        Frames per second of film time, whatever the frames' own times; None: as these are.
    name : str
        The detector's, for errors.
    attributes : Mapping, optional
        Of the run; kept as JSON in the film's comment, with how to get the frames back.
    codec : {"ffv1", "x264"}, optional
        None: what the suffix suggests.
    window : tuple of float, optional
        Values that become 0 and 255, linearly; the others are clipped.
    lossless : bool
        Whether x264 has to keep every value.
    frame_attributes : Mapping, optional
        Attributes of a frame like those that will come; with them, also with none, all that frames have are kept.
    description : Description
        The run: its title becomes the film's, its beginning the film's date.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        geometry: Geometry,
        *,
        fps: float | None = None,
        name: str = "image",
        attributes: Mapping[str, Any] | None = None,
        codec: Codec | None = None,
        window: Window | None = None,
        lossless: bool = False,
        frame_attributes: Mapping[str, Any] | None = None,
        description: Description = NO_DESCRIPTION,
    ) -> None:
        super().__init__(path, geometry, name=name, attributes=attributes)
        if fps is not None and not 0 < fps <= 1e6:
            raise ValueError(f"{name}: fps {fps:g} given; use frames per second, above 0")
        self._mp4 = self.path.suffix.lower() == ".mp4"
        self.mimetype = MP4 if self._mp4 else MKV
        self.codec: Codec = codec or ("x264" if self._mp4 else "ffv1")
        if self.codec not in ("ffv1", "x264") or (self._mp4 and self.codec == "ffv1"):
            raise ValueError(f"{name}: codec {self.codec!r} given for {self.path.name}; use x264, or ffv1 in an .mkv")
        self.growing = self.path.with_name(f"{self.path.name}.parts.mkv") if self._mp4 else self.path
        self._frame_ns = 0 if fps is None else round(1e9 / fps)
        self._fps = fps
        self._window = window
        self._description = description
        self._exact = lossless or self.codec == "ffv1"
        self._beside = AttributeLines(self.path, frame_attributes, name, kinds="")
        self._start_ns = 0
        self._last_ns = -_STEP_NS
        self._length_ns = 0  # of what counts
        self._moved = 0

    @property
    def _growing(self) -> Path:
        return self.growing

    def _open(self) -> None:
        deep = self.codec == "ffv1"
        self._pictures = Pictures(self.geometry, exact=self._exact, deep=deep, window=self._window, who=self.name)
        self._encoder = Encoder(self.codec, self._pictures, exact=self._exact, frame_ns=self._frame_ns, who=self.name)
        _refuse_existing(self.path)
        self._file = MatroskaFile(self.growing)

    def _append(self, frames: Sequence[Frame]) -> None:
        if not self.kept:
            self._begin(frames[0])
        self._beside.append(frames, self.kept)
        self._file.append([self._picture(frame, number) for number, frame in enumerate(frames, self.kept)])
        self._length_ns = self._last_ns

    def _picture(self, frame: Frame, number: int) -> Picture:
        data, key = self._encoder.encode(self._pictures.picture(frame.image))
        return Picture(data, self._time(frame, number), key)

    def _begin(self, first: Frame) -> None:
        self._start_ns = nanoseconds(first.timestamp)
        g = self.geometry
        own = {"frame_attributes": self._beside.own} if self._beside.own else {}
        about = jsonable({"detector": self.name, **self._attributes, **own})
        notes = FilmNotes(self._start_ns, g.shape, g.dtype, str(g.color_mode), self._window, about)
        tags = {"TITLE": self._description.title, "DATE_RECORDED": self._description.began}
        tags = {name: text for name, text in tags.items() if text}
        self._file.begin(self._encoder.track, self._start_ns, tags | {"COMMENT": notes.to_text()})

    def _time(self, frame: Frame, number: int) -> int:
        """Return a frame's time since the first one, ns."""
        asked = round(number * 1e9 / self._fps) if self._fps else nanoseconds(frame.timestamp) - self._start_ns
        time_ns = max(asked, self._last_ns + _STEP_NS)
        self._moved += time_ns != asked
        self._last_ns = time_ns
        return time_ns

    def _changed(self, start: int, stop: int) -> Iterable[Path]:
        return self._beside.files()

    def _take_back(self) -> None:
        with contextlib.suppress(OSError):
            self._file.take_back()

    def _close(self, *, complete: bool) -> None:
        if self._moved:
            logger.warning(
                "%s: %d frames came no later than those before, and were put behind them", self.name, self._moved
            )
        try:
            with contextlib.nullcontext() if complete else contextlib.suppress(OSError):
                self._file.finish(self._length_ns)
        finally:
            self._file.close()
            self._beside.close()
        if self._mp4 and not self.kept:
            self.growing.unlink()
        elif self._mp4:
            with contextlib.nullcontext() if complete else contextlib.suppress(OSError, SinkError):
                self._rewrap()

    def _rewrap(self) -> None:
        _refuse_existing(self.path)
        packed = self.path.with_name(f"{self.path.name}.parts.mp4")
        try:
            rewrap(self.growing, packed, who=self.name)
            _refuse_existing(self.path)
            sync_file(packed)  # what it is made of goes away
            packed.rename(self.path)
        except BaseException:
            packed.unlink(missing_ok=True)
            raise
        self.growing.unlink()


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
