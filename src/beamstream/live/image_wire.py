"""Frames of images as pages get them over a websocket; the other side of it is `static/image/wire.js`.

Server to page, binary, little-endian:

====== ======= ===========================================================================================
offset type    what
====== ======= ===========================================================================================
0      uint8   2
1      uint8   flags: 1 it cannot become better for this window, 2 it was corrected or processed
2      uint8   pixels: 0 uint8, 1 uint16, 2 float32
3      uint8   channels: 1 or 3, the last axis
4      uint8   0: as they are, 1: deflated (raw, no header)
5      uint8   0
6      uint16  factor: how many pixels of the frame, each way, each of these is the mean of
8      uint32  serial, to be acknowledged when it is drawn
12     uint32  rows that come
16     uint32  columns that come
20     float32 scale
24     float32 offset: value = pixel × scale + offset, counts
28     uint32  n, length of the notes
32     uint64  index of the frame in its ring
40     int64   unique_id
48     float64 timestamp of the detector, s since 1970-01-01 UTC
56     float64 received, when the frame came to this machine
64     float64 sent
72     uint32  first row of the region, pixels of the frame
76     uint32  first column
80     uint32  rows of the region
84     uint32  columns of the region
88     n bytes notes: JSON, filled with spaces to a multiple of 8
\\      …       the pixels, row by row
====== ======= ===========================================================================================
"""

import struct
from dataclasses import dataclass

from beamstream.frames import Frame
from beamstream.live.image_pixels import Pixels
from beamstream.live.image_wish import Region

HEAD = struct.Struct("<BBBBBBHIIIffIQqdddIIII")
_REFINED, _TREATED = 1, 2
_TYPES = {"u1": 0, "u2": 1, "f4": 2}


@dataclass(frozen=True, slots=True)
class Picture:
    """All of a message but what is each page's own.

    Parameters
    ----------
    frame : Frame
    index : int
        In its ring.
    region : Region
    pixels : Pixels
    refined : bool
        Whether it cannot become better for this window.
    treated : bool
    """

    frame: Frame
    index: int
    region: Region
    pixels: Pixels
    refined: bool
    treated: bool

    def message(self, serial: int, notes: bytes, sent: float) -> bytes:
        """Return the message for one page."""
        notes += b" " * (-len(notes) % 8)
        flags = self.refined * _REFINED | self.treated * _TREATED
        pixels, frame = self.pixels, self.frame
        rows, cols, channels = pixels.shape
        head = HEAD.pack(
            2,
            flags,
            _TYPES[pixels.dtype],
            channels,
            pixels.deflated,
            0,
            pixels.factor,
            serial,
            rows,
            cols,
            pixels.scale,
            pixels.offset,
            len(notes),
            self.index,
            frame.unique_id,
            frame.timestamp,
            frame.received,
            sent,
            *self.region,
        )
        return b"".join((head, notes, pixels.data))
