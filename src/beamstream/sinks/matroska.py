"""Write one picture track as Matroska, so that every picture counts as soon as it is written.

FFmpeg's own writer keeps the newest pictures in memory and rounds times to milliseconds; here each picture is a
cluster of its own, and times are whole nanoseconds. The format: RFC 9559, and RFC 8794 for EBML.
"""

import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from beamstream.sinks.burst import write_at

_EBML, _DOC_TYPE, _DOC_VERSION, _DOC_READ_VERSION = 0x1A45DFA3, 0x4282, 0x4287, 0x4285
_SEGMENT, _VOID = 0x18538067, 0xEC
_SEEK_HEAD, _SEEK, _SEEK_ID, _SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC
_INFO, _TIMESTAMP_SCALE, _DURATION, _DATE = 0x1549A966, 0x2AD7B1, 0x4489, 0x4461
_MUXING_APP, _WRITING_APP = 0x4D80, 0x5741
_TRACKS, _TRACK, _NUMBER, _UID, _TYPE, _LACING = 0x1654AE6B, 0xAE, 0xD7, 0x73C5, 0x83, 0x9C
_CODEC_ID, _CODEC_PRIVATE, _DEFAULT_DURATION = 0x86, 0x63A2, 0x23E383
_VIDEO, _WIDTH, _HEIGHT, _COLOUR, _MATRIX, _RANGE = 0xE0, 0xB0, 0xBA, 0x55B0, 0x55B1, 0x55B9
_TAGS, _TAG, _TARGETS, _SIMPLE_TAG, _TAG_NAME, _TAG_STRING = 0x1254C367, 0x7373, 0x63C0, 0x67C8, 0x45A3, 0x4487
_CLUSTER, _TIMESTAMP, _SIMPLE_BLOCK = 0x1F43B675, 0xE7, 0xA3
_CUES, _CUE, _CUE_TIME, _CUE_PLACE, _CUE_TRACK, _CUE_CLUSTER = 0x1C53BB6B, 0xBB, 0xB3, 0xB7, 0xF7, 0xF1

_2001_NS = 978_307_200 * 10**9  # when Matroska's dates begin
_SEEK_ROOM = 64  # bytes for the place of the table of contents, which is known at the end
_CUE_EVERY_NS = 10**9
_UNKNOWN_SIZE = b"\x01" + b"\xff" * 7


@dataclass(frozen=True, slots=True)
class Track:
    """How the pictures are coded.

    Parameters
    ----------
    codec : str
        Matroska's name: ``V_FFV1``, ``V_MPEG4/ISO/AVC``.
    private : bytes
        What the decoder has to know before the first picture.
    width, height : int
        Pixels.
    matrix : int
        ISO/IEC 23091-4: 0 for RGB, 1 for BT.709.
    frame_ns : int
        From one picture to the next, ns; 0 where that varies.
    """

    codec: str
    private: bytes
    width: int
    height: int
    matrix: int
    frame_ns: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """One coded picture, its time in ns since the first one, and whether it can be decoded by itself."""

    data: bytes
    time_ns: int
    key: bool


class MatroskaFile:
    """Write a film that is whole after every `append`, also if nothing follows.

    Parameters
    ----------
    path : Path
        Created; one that exists is an error.

    Raises
    ------
    OSError
        The system refuses it.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
        self._end = 0
        self._data_at = self._duration_at = 0
        self._cues: list[tuple[int, int]] = []  # time, ns; place in the segment

    def begin(self, track: Track, start_ns: int, tags: Mapping[str, str]) -> None:
        """Write what stands before the pictures; `start_ns` is the first one's time, ns since 1970-01-01 UTC."""
        head = _element(_EBML, _element(_DOC_TYPE, b"matroska"), _uint(_DOC_VERSION, 4), _uint(_DOC_READ_VERSION, 2))
        head += _id(_SEGMENT) + _UNKNOWN_SIZE
        self._data_at = len(head)
        head += _void(_SEEK_ROOM)
        info = _info(start_ns)
        self._duration_at = len(head) + info.index(_id(_DURATION)) + 10
        head += info + _track(track) + _tags(tags)
        write_at(self._fd, head, 0)
        self._end = len(head)

    def append(self, pictures: Iterable[Picture]) -> None:
        """Write pictures behind the others."""
        data = bytearray()
        cues = []
        for picture in pictures:
            if picture.key and (not (known := cues or self._cues) or picture.time_ns - known[-1][0] >= _CUE_EVERY_NS):
                cues.append((picture.time_ns, self._end + len(data) - self._data_at))
            data += _cluster(picture)
        write_at(self._fd, data, self._end)
        self._end += len(data)
        self._cues += cues

    def take_back(self) -> None:
        """Take away what an `append` that failed left behind."""
        os.ftruncate(self._fd, self._end)

    def finish(self, duration_ns: int) -> None:
        """Add the table of contents and the length, so that players can jump."""
        if not self._end:
            return
        cues = _element(_CUES, *(_cue(time_ns, place) for time_ns, place in self._cues))
        try:
            write_at(self._fd, cues, self._end)
        except BaseException:
            self.take_back()
            raise
        seek = _seek_head(self._end - self._data_at)
        size = self._end + len(cues) - self._data_at
        write_at(self._fd, seek + _void(_SEEK_ROOM - len(seek)), self._data_at)
        write_at(self._fd, struct.pack(">d", duration_ns), self._duration_at)
        write_at(self._fd, struct.pack(">Q", 1 << 56 | size), self._data_at - 8)

    def close(self) -> None:
        """Close; what was written stays."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _info(start_ns: int) -> bytes:
    return _element(
        _INFO,
        _uint(_TIMESTAMP_SCALE, 1),
        _element(_DURATION, struct.pack(">d", 0)),
        _element(_DATE, struct.pack(">q", start_ns - _2001_NS)),
        _element(_MUXING_APP, b"beamstream"),
        _element(_WRITING_APP, b"beamstream"),
    )


def _track(track: Track) -> bytes:
    colour = _element(_COLOUR, _uint(_MATRIX, track.matrix), _uint(_RANGE, 2))  # 2: full
    said = [
        _uint(_NUMBER, 1),
        _uint(_UID, 1),
        _uint(_TYPE, 1),
        _uint(_LACING, 0),
        _element(_CODEC_ID, track.codec.encode()),
        _element(_CODEC_PRIVATE, track.private),
        _element(_VIDEO, _uint(_WIDTH, track.width), _uint(_HEIGHT, track.height), colour),
    ]
    if track.frame_ns:
        said.append(_uint(_DEFAULT_DURATION, track.frame_ns))
    return _element(_TRACKS, _element(_TRACK, *said))


def _tags(texts: Mapping[str, str]) -> bytes:
    simple = (
        _element(_SIMPLE_TAG, _element(_TAG_NAME, name.encode()), _element(_TAG_STRING, _text(text)))
        for name, text in texts.items()
    )
    return _element(_TAGS, _element(_TAG, _element(_TARGETS), *simple))


def _text(text: str) -> bytes:
    """Return a text as players read it: UTF-8, up to the first NUL."""
    return text.replace("\0", " ").encode(errors="replace")


def _cluster(picture: Picture) -> bytes:
    block = b"\x81\x00\x00" + (b"\x80" if picture.key else b"\x00")  # track 1, at the cluster's time
    return _element(_CLUSTER, _uint(_TIMESTAMP, picture.time_ns), _element(_SIMPLE_BLOCK, block, picture.data))


def _cue(time_ns: int, place: int) -> bytes:
    return _element(
        _CUE, _uint(_CUE_TIME, time_ns), _element(_CUE_PLACE, _uint(_CUE_TRACK, 1), _uint(_CUE_CLUSTER, place))
    )


def _seek_head(cues_at: int) -> bytes:
    return _element(
        _SEEK_HEAD,
        _element(_SEEK, _element(_SEEK_ID, _id(_CUES)), _element(_SEEK_POSITION, struct.pack(">Q", cues_at))),
    )


def _void(size: int) -> bytes:
    """Return `size` bytes, 9 or more, that mean nothing."""
    return _id(_VOID) + struct.pack(">Q", 1 << 56 | (size - 9)) + bytes(size - 9)


def _element(number: int, *content: bytes) -> bytes:
    size = sum(map(len, content))
    return b"".join((_id(number), struct.pack(">Q", 1 << 56 | size), *content))


def _uint(number: int, value: int) -> bytes:
    return _element(number, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _id(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
