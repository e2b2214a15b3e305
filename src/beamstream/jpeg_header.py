"""What the headers of a JPEG say, without decoding any of it."""

import numpy as np
from numpy.typing import NDArray

_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers; these three are not frames
_SEQUENTIAL, _SCAN = (0xC0, 0xC1), 0xDA
_ALONE = frozenset((0x00, 0x01, *range(0xD0, 0xDA)))  # markers without a length, none of which may come here
_END = b"\xff\xd9"
_MOST_SCANS = 64  # a progressive picture has about 10; each costs the time of a whole picture
_ORDERS = ((0, 1, 2), (0, 2, 1), (2, 0, 1))  # RGB1, RGB2, RGB3 from rows, columns, colours


def shape_of(payload: NDArray[np.uint8]) -> tuple[int, ...]:
    """Return rows and columns, and colours if there are several; data and an end are there as well.

    Raises
    ------
    ValueError
        It is no JPEG of 8 bits, it is cut off, or takes the time of many pictures.
    """
    data = payload.data
    if bytes(data[:2]) != b"\xff\xd8":
        raise ValueError("no JPEG start marker")
    at, size, sequential = 2, (0, 0, 0), False
    while at + 4 < len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], data[at + 2] << 8 | data[at + 3]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker in _ALONE or length < 2:
            break
        if marker in _FRAME:
            size, sequential = _frame(bytes(data[at + 4 : at + 2 + length])), marker in _SEQUENTIAL
        elif marker == _SCAN and size[2]:
            _expect_an_end(data[at:], single=sequential and data[at + 4] == size[2])
            return size[:2] if size[2] == 1 else size
        at += 2 + length
    raise ValueError("the JPEG is cut off" if size[2] else "no JPEG frame header")


def axes_for(has: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the order of axes that makes a frame's shape of a JPEG's; None if there is none."""
    orders = ((0, 1),) if len(has) == 2 else _ORDERS
    return next((axes for axes in orders if tuple(has[i] for i in axes) == shape), None)


def _frame(segment: bytes) -> tuple[int, int, int]:
    if len(segment) < 6 or segment[0] != 8 or len(segment) != 6 + 3 * segment[5]:
        raise ValueError("no JPEG frame header of 8 bits")
    return int.from_bytes(segment[1:3]), int.from_bytes(segment[3:5]), segment[5]


def _expect_an_end(scan: memoryview, *, single: bool) -> None:
    """Look for the end; `single`: this scan has all colours, decoders look at no other."""
    if single and scan[-2:] == _END:
        return
    data = scan.tobytes()
    if _END not in data:
        raise ValueError("the JPEG is cut off")
    if not single and data.count(bytes((0xFF, _SCAN))) > _MOST_SCANS:
        raise ValueError(f"a JPEG of more than {_MOST_SCANS} scans")
