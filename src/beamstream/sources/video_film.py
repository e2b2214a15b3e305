"""A film on disk: what it is, when it was taken, its pictures in order, and where it is damaged."""

import contextlib
import math
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from beamstream.errors import NotAnImage, NotConnected, SourceError
from beamstream.film import FilmNotes, nanoseconds, pyav
from beamstream.sources.ffv1 import is_whole

_TOLERANCE = 1e-3  # s
_LONGEST_LAST = 3  # times the longest time between pictures that the last one is shown


class Film:
    """Read the pictures of one film from its beginning; a context manager, for one thread.

    Parameters
    ----------
    path : Path
    fps : float, optional
        Pictures per second, whatever times the film says.
    start : datetime, optional
        Of the first picture; None: as the film says, or else the time of the file's last change.
    who : str
        For errors.

    Attributes
    ----------
    notes : FilmNotes or None
        Of a film of ours.
    start_ns : int
        Time of the first picture, ns since 1970-01-01 UTC.
    clock : str
        Who says so: ``"declared"``, ``"film"`` or ``"file"``.

    Raises
    ------
    NotConnected
        There is no such file, or it cannot be read.
    NotAnImage
        It is no film, or has no pictures.
    SourceError
        PyAV is not installed.
    """

    def __init__(self, path: Path, *, fps: float | None = None, start: datetime | None = None, who: str = "") -> None:
        self._av = pyav(who)
        self._who = who
        self.path = path
        self._container, self._stream = self._opened()
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.options = {"err_detect": "crccheck+explode"}
        said = {key.lower(): value for key, value in self._container.metadata.items()}
        self.notes = FilmNotes.from_text(said.get("comment", ""))
        self.start_ns, self.clock = self._began(said, start)
        self._strict = said.get("encoder") == "beamstream"  # not when others have made a film of a film of ours
        self._fps = fps
        self._number = 0
        self._first: int | None = None  # the first picture's pts
        self._last_ns = 0  # the last picture's, since the first
        self._longest_ns = 0  # between two pictures

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    @property
    def finished(self) -> bool:
        """Whether its writer came to the end; as far as a film of ours tells."""
        return not self._strict or self._container.duration is not None

    def pictures(self) -> Iterator[tuple[Any, int]]:
        """Yield the pictures (``av.VideoFrame``) and their times since the first one, ns.

        Raises
        ------
        SourceError
            The film is damaged or cut off here. All pictures before were yielded.
        """
        trouble: str | None = None
        for packet in self._packets():
            trouble = self._damage(packet)
            pictures, error = self._decoded(None if trouble else packet)
            for picture in pictures:
                if picture.is_corrupt:
                    raise self._broken("it cannot be decoded")
                yield picture, self._time(picture)
            if trouble or error:
                raise self._broken(trouble or error)
        self._check_the_end()

    def _opened(self) -> tuple[Any, Any]:
        try:
            container = self._av.open(os.fspath(self.path), metadata_errors="replace")
        except self._av.error.InvalidDataError:
            raise NotAnImage(f"{self._who}: {self.path} is no film that FFmpeg knows; is it the right file?") from None
        except (OSError, self._av.error.FFmpegError) as e:
            reason = getattr(e, "strerror", None) or str(e)
            raise NotConnected(f"{self._who}: the film {self.path} cannot be opened: {reason}") from None
        if not container.streams.video:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            container.close()
            raise NotAnImage(f"{self._who}: {self.path} has no pictures, only {kinds}; use a film")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            container.close()
            raise NotAnImage(f"{self._who}: {self.path} is coded in a way that this FFmpeg does not know; convert it")
        return container, stream

    def _began(self, said: dict[str, str], start: datetime | None) -> tuple[int, str]:
        if start is not None:
            return nanoseconds(start.timestamp()), "declared"
        if self.notes is not None:
            return self.notes.start_ns, "film"
        try:
            return nanoseconds(datetime.fromisoformat(said["creation_time"]).timestamp()), "film"
        except (KeyError, ValueError, OverflowError):
            return self.path.stat().st_mtime_ns, "file"

    def _packets(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except self._av.error.FFmpegError as e:
                raise self._broken(f"it cannot be read ({e.strerror})") from None
            yield packet

    def _damage(self, packet: Any) -> str | None:
        if packet.is_corrupt:
            return "the file is cut off there"
        if packet.size and self._stream.codec_context.name == "ffv1" and is_whole(bytes(packet)) is False:
            return "its checksum is wrong"
        return None

    def _decoded(self, packet: Any) -> tuple[list[Any], str | None]:
        """Return the pictures that come with a packet, and what is wrong; with None those that are under way."""
        try:
            return self._stream.codec_context.decode(packet), None
        except self._av.error.EOFError:
            return [], None
        except self._av.error.FFmpegError as e:
            return [], f"it cannot be decoded ({e.strerror})"

    def _time(self, picture: Any) -> int:
        """Count a picture; return its time since the first one, ns."""
        if picture.pts is not None:
            self._first = picture.pts if self._first is None else self._first
            base = self._stream.time_base
            since_ns = (picture.pts - self._first) * base.numerator * 10**9 // base.denominator
            self._longest_ns = max(self._longest_ns, since_ns - self._last_ns)
            self._last_ns = since_ns
        elif self._fps is None:
            raise SourceError(f"{self._who}: {self.path} says no times; say how many pictures a second it has: fps")
        self._number += 1
        return self._last_ns if self._fps is None else round((self._number - 1) * 1e9 / self._fps)

    def _broken(self, what: str | None) -> SourceError:
        return SourceError(
            f"{self._who}: {self.path}: frame {self._number} is damaged ({what}), {self._last_ns / 1e9:.6g} s after "
            f"the first; the {self._number} frames before it are whole; mend the film, or record just these (num)"
        )

    def _check_the_end(self) -> None:
        """Find out whether pictures are missing at the end."""
        stream = self._stream
        if self.notes is not None and stream.frames:
            missing = self._number < stream.frames
        else:
            missing = self._said_length() > self._last_ns / 1e9 + self._tolerance
        if missing:
            raise self._broken("the film is longer, the file is cut off there")

    @property
    def _tolerance(self) -> float:
        if self._strict:
            return _TOLERANCE
        return _TOLERANCE + _LONGEST_LAST * self._longest_ns / 1e9

    def _said_length(self) -> float:
        """Return how long the film says that it is, s; 0 if it does not."""
        if self._number < 2 and not self._strict:
            return 0.0
        stream = self._stream
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        said = stream.metadata.get("DURATION", "").split(":")
        if len(said) == 3:
            with contextlib.suppress(ValueError):
                hours, minutes, seconds = map(float, said)
                return 3600 * hours + 60 * minutes + seconds
        alone = len(self._container.streams) == 1
        duration = self._container.duration if alone else None
        return 0.0 if duration is None or math.isnan(duration) else duration / 1e6
