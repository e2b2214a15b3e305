"""Encode pictures one by one, as FFV1 (nothing is lost) or H.264 (small, and shown everywhere)."""

import struct
from fractions import Fraction
from typing import Any

from beamstream.errors import SinkError
from beamstream.film import pyav
from beamstream.sinks.matroska import Track
from beamstream.sinks.video_pixels import Pictures

_QUALITY = "18"  # x264's crf: looks like the original
_KEY_EVERY = 60  # pictures
_LEAST_TO_SLICE = 64  # pixels
_RGB, _BT709 = 0, 1  # ISO/IEC 23091-4
_START = b"\0\0\1"
_SPS, _PPS, _DELIMITER = 7, 8, 9


class Encoder:
    """Encode the pictures of one film; each comes out at once.

    Parameters
    ----------
    codec : {"ffv1", "x264"}
    pictures : Pictures
    exact : bool
        Whether x264 has to give back every value.
    frame_ns : int
        From one picture to the next, ns; 0 where that varies.
    who : str
        For errors.

    Raises
    ------
    SinkError
        The codec is not there, or does not take such pictures.
    """

    def __init__(self, codec: str, pictures: Pictures, *, exact: bool, frame_ns: int, who: str) -> None:
        av = pyav(who, SinkError)
        self._who = who
        self._h264 = codec == "x264"
        name = "ffv1" if codec == "ffv1" else "libx264rgb" if pictures.rgb else "libx264"
        try:
            self._context: Any = av.CodecContext.create(name, "w")
            self._context.width, self._context.height = pictures.width, pictures.height
            self._context.pix_fmt = pictures.pix_fmt
            self._context.time_base = Fraction(1, 25)  # what counts are the times that the film has
            self._context.color_range = 2  # full
            self._context.colorspace = _RGB if pictures.rgb else _BT709
            self._context.options = _x264(exact) if self._h264 else _ffv1(min(pictures.width, pictures.height))
            if self._h264:
                self._context.flags |= av.codec.context.Flags.global_header
            self._context.open()
        except av.error.FFmpegError as e:
            size = f"{pictures.width} × {pictures.height} {pictures.pix_fmt}"
            raise SinkError(f"{who}: to make a film of {size} with {name}: {e}; use another format") from None
        self._error = av.error.FFmpegError
        private = bytes(self._context.extradata)
        self.track = Track(
            "V_MPEG4/ISO/AVC" if self._h264 else "V_FFV1",
            _avc_configuration(private) if self._h264 else private,
            pictures.width,
            pictures.height,
            _RGB if pictures.rgb else _BT709,
            frame_ns,
        )
        self._number = 0

    def encode(self, picture: Any) -> tuple[bytes, bool]:
        """Return a picture's bytes, and whether it can be decoded by itself.

        Raises
        ------
        SinkError
            The codec failed.
        """
        picture.pts = self._number
        picture.time_base = self._context.time_base
        self._number += 1
        try:
            packets = self._context.encode(picture)
        except self._error as e:
            raise SinkError(f"{self._who}: picture {self._number - 1} cannot be encoded: {e}") from None
        if len(packets) != 1:
            raise SinkError(f"{self._who}: the codec gave {len(packets)} pictures for one; use another codec")
        data = bytes(packets[0])
        return (_with_lengths(data) if self._h264 else data), bool(packets[0].is_keyframe)


def _ffv1(smallest: int) -> dict[str, str]:
    """Return its options: each picture by itself, with checksums, so that damage is seen and stays where it is."""
    slices = "4" if smallest >= _LEAST_TO_SLICE else "1"
    return {"level": "3", "g": "1", "slicecrc": "1", "slices": slices, "threads": "2", "thread_type": "slice"}


def _x264(exact: bool) -> dict[str, str]:
    quality = {"qp": "0"} if exact else {"crf": _QUALITY}
    return {"preset": "veryfast", "tune": "zerolatency", "g": str(_KEY_EVERY), "threads": "2"} | quality


def _units(data: bytes) -> list[bytes]:
    """Return the units of an H.264 byte stream; none of them contains or ends with what stands between them."""
    return [unit for part in data.split(_START) if (unit := part.rstrip(b"\0"))]


def _with_lengths(data: bytes) -> bytes:
    """Return an H.264 byte stream as Matroska and MP4 want it."""
    units = [unit for unit in _units(data) if unit[0] & 31 != _DELIMITER]
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in units)


def _avc_configuration(data: bytes) -> bytes:
    """Return what a decoder has to know (ISO/IEC 14496-15, AVCDecoderConfigurationRecord)."""
    units = {unit[0] & 31: unit for unit in _units(data)}
    sps, pps = units[_SPS], units[_PPS]
    return b"".join(
        (b"\1", sps[1:4], b"\xff\xe1", struct.pack(">H", len(sps)), sps, b"\1", struct.pack(">H", len(pps)), pps)
    )
