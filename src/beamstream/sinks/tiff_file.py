"""Keep frames as one TIFF file, a page each, that can be read while it grows."""

import contextlib
import os
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from beamstream.frames import Frame, Geometry
from beamstream.sinks.burst import BurstWriter, write_at
from beamstream.sinks.direct import PAGE, Bytes
from beamstream.sinks.one_run import OneRun
from beamstream.sinks.tiff_tags import DESCRIPTION_TAG, PageFormat, up

MIMETYPE = "image/tiff"
"""What a stream_resource document would call this format; tiled reads no file of many pages through it."""

_FIRST_LINK = 8  # where BigTIFF has the place of the first page
_SMALL = 64 << 10  # bytes; smaller frames are not put at the beginning of a page of memory


class TiffFileSink(OneRun):
    """Keep the frames of one run in one BigTIFF file, a page a frame; of several planes a page for each.

    The pages form a chain. Frames are appended with their tags first, and then hung on the chain by one write of
    eight bytes: whoever reads the file meanwhile, or after a kill of its writer, finds whole pages only.

    Each page has the frame's JSON (see `TiffSequenceSink`) in the private tag 65100, and the same in
    ``ImageDescription``. When the run is complete, the first page's ``ImageDescription`` becomes OME-XML, which
    microscopy programs read: sizes, time increment, and the time of each of the first 10 000 frames. OME knows no
    integers of 64 bits and no numbers of 16: these files stay plain.

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
        Whether a complete file gets OME-XML.
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
    ) -> None:
        super().__init__(path, geometry, name=name, attributes=attributes)
        self._ome = ome
        self._timestamps = array("d")

    def _open(self) -> None:
        self._pages = PageFormat(
            self.geometry, big=True, constants={"detector": self.name, "run": dict(self._attributes)}
        )
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
        start = up(self._end, PAGE)
        self._write_pixels([self._pages.pixels(frame) for frame in frames], start, pitch)
        blocks_at = last = start + pitch * len(frames)
        blocks = text = b""
        for number, frame in enumerate(frames):
            last, text = blocks_at + len(blocks), self._pages.text(frame)
            ends = number == len(frames) - 1
            blocks += self._pages.block(last, start + pitch * number, text, frame.timestamp, last=ends)
        self._writer.patch(blocks, blocks_at)
        self._writer.patch(self._pages.offset(blocks_at), self._link)  # from here on they count
        self._first = self._first or blocks_at
        self._end, self._link = blocks_at + len(blocks), self._pages.link(last, text)
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
            if complete and self._ome and self.kept:
                self._describe()
        finally:
            self._writer.close()

    def _describe(self) -> None:
        """Put OME-XML behind the last page, then let the first page's description be that."""
        from beamstream.sinks.ome import ome_xml

        xml = ome_xml(self.name, self._pages, self._timestamps)
        if not xml:
            return
        try:
            self._writer.patch(xml, self._end)
        except OSError:
            self._take_back()
            raise
        count_and_place = self._pages.offset(len(xml)) + self._pages.offset(self._end)
        self._writer.patch(count_and_place, self._pages.entry(self._first, DESCRIPTION_TAG))
