"""Keep frames as one TIFF file, a page each, that can be read while it grows."""

import contextlib
import os
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from beamstream.frames import Frame, Geometry
from beamstream.sinks.burst import BurstWriter, write_at
from beamstream.sinks.description import NO_DESCRIPTION, Description
from beamstream.sinks.direct import PAGE, Bytes
from beamstream.sinks.imagej import has_imagej, imagej_text
from beamstream.sinks.one_run import OneRun
from beamstream.sinks.tiff_resolution import per_centimetre, per_unit
from beamstream.sinks.tiff_tags import DESCRIPTION_TAG, PageFormat, up

MIMETYPE = "image/tiff"
"""What a stream_resource document would call this format; tiled reads no file of many pages through it."""

_FIRST_LINK = 8  # where BigTIFF has the place of the first page
_SMALL = 64 << 10  # bytes; smaller frames are not put at the beginning of a page of memory


class TiffFileSink(OneRun):
    """Keep the frames of one run in one BigTIFF file, a page a frame; of several planes a page for each.

    The pages form a chain. Frames are appended with their tags, and then hung on the chain by one write of eight
    bytes: whoever reads the file meanwhile, or after a kill of its writer, finds whole pages only.

    Each page has the frame's JSON (see `TiffSequenceSink`) in the private tag 65100, and the same in
    ``ImageDescription``. When the run is complete, the first page's ``ImageDescription`` becomes what programs of
    others read: OME-XML (the size of a pixel, time increment, the time of each of the first 10 000 frames, sample, user
    and the rest of the run's metadata), or without `ome` ImageJ's description (unit, frame interval). OME knows no
    integers of 64 bits and no numbers of 16, ImageJ only grey uint8, uint16, int16 and float32 and coloured uint8:
    other files stay plain. ``XResolution`` and ``YResolution`` are in pixels per centimetre, or, where ImageJ's
    description is to be, per its unit.

    Parameters
    ----------
    path : path-like
        The file to create; one that exists is never touched.
    geometry : Geometry
        Of every frame of the run.
    name : str
        The detector's, for errors and descriptions.
    attributes : Mapping, optional
        Of the run; put into each page's JSON as ``run``.
    ome : bool
        Whether a complete file gets OME-XML; otherwise ImageJ's description.
    description : Description
        The scale of the pixels, and the run.
    """

    mimetype = MIMETYPE

    def __init__(
        self,
        path: str | os.PathLike[str],
        geometry: Geometry,
        *,
        name: str = "image",
        attributes: Mapping[str, Any] | None = None,
        ome: bool = True,
        description: Description = NO_DESCRIPTION,
    ) -> None:
        super().__init__(path, geometry, name=name, attributes=attributes)
        self._ome = ome
        self._description = description
        self._timestamps = array("d")

    def _open(self) -> None:
        constants = {"detector": self.name, "run": dict(self._attributes)}
        per = per_centimetre if self._ome or not has_imagej(self.geometry) else per_unit
        self._pages = PageFormat(self.geometry, big=True, constants=constants, resolution=per(self._description))
        fd = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            write_at(fd, self._pages.header(0).ljust(PAGE, b"\0"), 0)
            self._writer = BurstWriter(self.path)
        except BaseException:
            self.path.unlink()
            raise
        finally:
            os.close(fd)
        self._end, self._link, self._first = PAGE, _FIRST_LINK, 0

    def _append(self, frames: Sequence[Frame]) -> None:
        pitch = up(self.geometry.nbytes, PAGE if self.geometry.nbytes >= _SMALL else 8)
        texts = [self._pages.text(frame) for frame in frames]
        # before the pixels: where they lie behind each other, ImageJ's readers take all pages for one block of pixels
        blocks_at = last = up(self._end, 8)
        start = up(blocks_at + sum(map(self._pages.size, texts)), PAGE)
        self._write_pixels([self._pages.pixels(frame) for frame in frames], start, pitch)
        blocks = b""
        for number, (frame, text) in enumerate(zip(frames, texts, strict=True)):
            last, ends = blocks_at + len(blocks), number == len(frames) - 1
            blocks += self._pages.block(last, start + pitch * number, text, frame.timestamp, last=ends)
        self._writer.patch(blocks, blocks_at)
        self._writer.patch(self._pages.offset(blocks_at), self._link)  # from here on they count
        self._first = self._first or blocks_at
        self._end, self._link = start + pitch * len(frames), self._pages.link(last, texts[-1])
        self._timestamps.extend(frame.timestamp for frame in frames)

    def _write_pixels(self, pieces: list[Bytes], start: int, pitch: int) -> None:
        if pitch == self.geometry.nbytes:
            self._writer.write(pieces, start)
            return
        for piece in pieces:
            self._writer.write([piece], start)
            start += pitch

    def _take_back(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.patch(self._pages.offset(0), self._link)
            self._writer.truncate(self._end)

    def _close(self, *, complete: bool) -> None:
        try:
            if complete and self.kept:
                self._describe(self._text())
        finally:
            self._writer.close()

    def _text(self) -> bytes:
        """Return what the first page is to be described as, for programs of others; empty for the frame's JSON."""
        if self._ome:
            from beamstream.sinks.ome import ome_xml

            return ome_xml(self.name, self._pages, self._timestamps, self._description)
        return imagej_text(self._description, self._timestamps) if has_imagej(self.geometry) else b""

    def _describe(self, text: bytes) -> None:
        """Put a text behind the last page, then make it the first page's description."""
        if not text:
            return
        try:
            self._writer.patch(text, self._end)
        except OSError:
            self._take_back()
            raise
        count_and_place = self._pages.offset(len(text)) + self._pages.offset(self._end)
        self._writer.patch(count_and_place, self._pages.entry(self._first, DESCRIPTION_TAG))
