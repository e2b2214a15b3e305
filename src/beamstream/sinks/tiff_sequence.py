"""Keep frames as TIFF, one file each, that every program can open."""

import contextlib
import errno
import os
import re
import secrets
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from beamstream.errors import SinkError
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sinks.base import StoredArray
from beamstream.sinks.burst import Burst, write_at
from beamstream.sinks.description import NO_DESCRIPTION, Description
from beamstream.sinks.direct import page_up
from beamstream.sinks.file_names import safe_name
from beamstream.sinks.one_run import OneRun
from beamstream.sinks.tiff_resolution import per_centimetre
from beamstream.sinks.tiff_tags import PageFormat

MIMETYPE = "multipart/related;type=image/tiff"
"""What a stream_resource document calls this format."""

_CLASSIC = (1 << 32) - (1 << 24)  # bytes of pixels that offsets of 32 bits can have behind them
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_BEHIND_FILES, _BEHIND_BYTES = 64, 32 << 20


class TiffSequenceSink(OneRun):
    """Keep the frames of one run in one directory: ``frame_000001.tiff``, ``frame_000002.tiff``, …

    A file appears under its name when it is complete, so whoever waits for files, or reads them after a kill of
    their writer, never sees half a frame. Until then it is a hidden file beside it, which only a killed writer
    leaves behind.

    ``ImageDescription`` is JSON: ``unique_id``, ``timestamp``, ``received`` (s since 1970-01-01 UTC), ``source``,
    ``clock``, the frame's ``attributes``, the run's as ``run``, and how the colours lie. ``DateTime`` is UTC.
    Colours that alternate row by row (``rgb2``) are stored pixel by pixel, which TIFF knows. Compressed frames are
    decoded. Files are classic TIFF, of 4 GB and more BigTIFF.

    Parameters
    ----------
    directory : path-like
        Made if it is missing, in an existing one. Another run's files with this prefix are never touched.
    geometry : Geometry
        Of every frame of the run.
    prefix : str
        What file names begin with; see `beamstream.sinks.file_names.safe_name`.
    name : str
        The detector's, for errors and descriptions.
    attributes : Mapping, optional
        Of the run; put into each description.
    description : Description
        The scale of the pixels becomes ``XResolution`` and ``YResolution``.

    Raises
    ------
    ValueError
        The prefix cannot be part of a file's name.
    """

    mimetype = MIMETYPE

    def __init__(
        self,
        directory: str | os.PathLike[str],
        geometry: Geometry,
        *,
        prefix: str = "frame",
        name: str = "image",
        attributes: Mapping[str, Any] | None = None,
        description: Description = NO_DESCRIPTION,
    ) -> None:
        super().__init__(directory, geometry, name=name, attributes=attributes)
        self._description = description
        self.prefix = safe_name(prefix, f"{name}: prefix")
        if geometry.color_mode != ColorMode.RGB2:  # a reader of documents would not move the axes back
            parameters = {"template": f"{prefix}_{{:06d}}.tiff", "chunk_shape": [1], "join_method": "stack"}
            self.arrays = {"data": StoredArray(geometry.dtype, geometry.shape, "counts", parameters, first=1)}
        self._made: list[Path] = []  # by the last call
        self._burst = Burst()
        self._behind: deque[tuple[int, int]] = deque()

    @property
    def uri(self) -> str:
        """Where the directory is, as a stream_resource document says it; templates are put behind it."""
        return f"{super().uri}/"

    def file_of(self, number: int) -> Path:
        """Return the path of a frame; the first is 1."""
        return self.path / f"{self.prefix}_{number:06d}.tiff"

    def _open(self) -> None:
        constants = {"detector": self.name, "run": dict(self._attributes)}
        self._pages = PageFormat(
            self.geometry,
            big=self.geometry.nbytes > _CLASSIC,
            constants=constants,
            resolution=per_centimetre(self._description),
        )
        with contextlib.suppress(FileExistsError):
            self.path.mkdir()
        ours = re.compile(re.escape(self.prefix) + r"_\d+\.tiff?", re.IGNORECASE)
        if found := next((f.name for f in self.path.iterdir() if ours.fullmatch(f.name)), None):
            raise SinkError(
                f"{self.name}: to create frames {self.prefix}_… in {self.path}, {found} exists and is never "
                "overwritten; choose another directory or prefix, or move the files away"
            )
        self._token = secrets.token_hex(4)

    def _changed(self, start: int, stop: int) -> Iterable[Path]:
        return (self.file_of(number) for number in range(start + 1, stop + 1))

    def _append(self, frames: Sequence[Frame]) -> None:
        self._made = []
        names = [self.file_of(number) for number in range(self.kept + 1, self.kept + 1 + len(frames))]
        hidden = [name.with_name(f".{name.name}.{self._token}") for name in names]
        for path, frame in zip(hidden, frames, strict=True):
            self._made.append(path)
            self._write_hidden(path, frame)
        for path, name in zip(hidden, names, strict=True):
            _publish(path, name)
            self._made.append(name)

    def _write_hidden(self, path: Path, frame: Frame) -> None:
        text, pixels, start = self._pages.text(frame), self._pages.pixels(frame), len(self._pages.header(0))
        start += -start % 8
        at = page_up(start + self._pages.size(text))
        head = self._pages.header(start).ljust(start, b"\0")
        head += self._pages.block(start, at, text, frame.timestamp, last=True)
        began = time.perf_counter()
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            write_at(fd, head.ljust(at, b"\0"), 0)
            write_at(fd, pixels, at)
        except BaseException:
            os.close(fd)
            raise
        self._wrote(fd, at + pixels.size, time.perf_counter() - began)

    def _wrote(self, fd: int, nbytes: int, seconds: float) -> None:
        """Leave a burst in the page cache, and drop a long run from it behind the writer."""
        if nbytes <= self._burst.left:
            os.close(fd)
            self._burst.wrote(nbytes, seconds)
            return
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # begins to write it to the disk
        self._behind.append((fd, nbytes))
        while len(self._behind) > _BEHIND_FILES or sum(size for _, size in self._behind) > _BEHIND_BYTES:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        fd, _ = self._behind.popleft()
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # forgets what is on the disk by now
        os.close(fd)

    def _take_back(self) -> None:
        for path in self._made:
            with contextlib.suppress(OSError):
                path.unlink()

    def _close(self, *, complete: bool) -> None:
        while self._behind:
            self._drop_oldest()


def _publish(hidden: Path, final: Path) -> None:
    """Give a complete file its name; fail if the name is taken."""
    try:
        os.link(hidden, final)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if final.exists():  # the filesystem has no links: there is a moment between this question and the answer
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        hidden.rename(final)
    else:
        hidden.unlink()
