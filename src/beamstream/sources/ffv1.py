"""Check the sums that FFV1 keeps of each slice: FFmpeg's decoder mends a damaged one without a word.

The format: RFC 9043, section 4.9 (slice footer).
"""

import zlib

_FOOTER = 8  # bytes: slice size (3), error status (1), sum (4)
_START = 0xFFFFFFFF
# FFV1's sum takes bits from the top, zlib's from the bottom
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def is_whole(picture: bytes) -> bool | None:
    """Tell whether all slices of a coded picture are as they were written; None if it has no sums."""
    slices = _slices(picture)
    if not slices:
        return None
    return all(zlib.crc32(each.translate(_REVERSED), _START) == _START for each in slices)


def _slices(picture: bytes) -> list[bytes]:
    """Return the slices, last one first, footers included; none if their sizes do not add up."""
    found, stop = [], len(picture)
    while stop:
        start = stop - _FOOTER - int.from_bytes(picture[stop - _FOOTER : stop - _FOOTER + 3], "big")
        if stop < _FOOTER or start < 0:
            return []
        found.append(picture[start:stop])
        stop = start
    return found
