"""Capture a dark or a flat from the frames that pass through a ring."""

import logging
import time
from dataclasses import replace

from beamstream.errors import CodecError, SilentSource
from beamstream.readers import Latest, RingView
from beamstream.references.average import Average
from beamstream.references.reference import Kind, Reference

log = logging.getLogger(__name__)


def capture(
    ring_name: str,
    kind: Kind,
    num: int = 1,
    *,
    timeout: float = 10.0,
    exposure: float | None = None,
    owner: int | None = None,
) -> Reference:
    """Average the next frames of a ring that somebody fills, also another process.

    They are those that come from now on; a fast camera's may have gaps between them. One that does not decode is left
    out, with a warning, and another one taken. The reference is in no store yet.

    Parameters
    ----------
    ring_name : str
        The detector's, or that of a derived stream, such as ``camera_corrected``.
    kind : "dark" or "flat"
    num : int
        Frames.
    timeout : float
        Longest wait for one frame, s.
    exposure : float, optional
        Of the frames, s; frames do not tell it themselves.
    owner : int, optional
        Id of the process whose ring it has to be; the youngest of that name by default.

    Raises
    ------
    RingError
        There is no such ring: nobody acquires with that detector.
    SilentSource
        No frame came in time.
    WrongGeometry
        Shape or type changed meanwhile.
    CodecError
        None of the frames that came in time decodes.
    """
    if num < 1:
        raise ValueError(f"{ring_name}: a {kind} of {num} frames to be captured; capture at least one")
    view = RingView(ring_name, owner)
    try:
        newest = Latest(view)
        average, last, undecoded, deadline = None, 0.0, 0, time.monotonic() + timeout
        while average is None or average.number < num:
            frame = newest.read(timeout)
            if frame is None:
                got = 0 if average is None else average.number
                raise SilentSource(
                    f"{ring_name}: {num} frames for a {kind} asked for, {got} came and then none for {timeout:g} s; "
                    "is the camera acquiring?"
                )
            try:
                image = frame.image
            except CodecError:
                undecoded += 1
                if time.monotonic() > deadline:
                    raise
                continue
            if average is None:
                average = Average(replace(frame.geometry, codec=""))
            average.add(image)
            last, deadline = frame.timestamp or time.time(), time.monotonic() + timeout
    finally:
        view.close()
    if undecoded:
        log.warning("%s: %d frames do not decode, others were taken for the %s", ring_name, undecoded, kind)
    mean, std = average.result()
    return Reference(kind, mean, std, average.number, ring_name, average.geometry, exposure, last, origin="capture")
