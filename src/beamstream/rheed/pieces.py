"""Chunks as they leave the recorded file: which can be uploaded at all, at what rate, and one of them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import PipelineError, SinkError
from beamstream.ops.eight_bit import EightBit
from beamstream.rheed.job import Job
from beamstream.rheed.orders import Cannot
from beamstream.rheed.rows import RecordedRows, frames_per_second

LEAST_SECONDS = 2.0
"""Of a chunk, as the service wants it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk, read and mapped to 8 bit.

    Parameters
    ----------
    chunk : int
    images : ndarray of uint8, shape (frames, rows, columns)
    start_ms : int
        When its first frame was taken, ms since 1970-01-01 UTC.
    black : bool
        Whether all of it is 0.
    undecoded : tuple of int
        Rows whose recorded bytes do not decode: they are 0, so that all others keep their places and times.
    """

    chunk: int
    images: NDArray[np.uint8]
    start_ms: int
    black: bool
    undecoded: tuple[int, ...] = ()


def read_piece(rows: RecordedRows, rule: EightBit, chunk: int, start: int, stop: int) -> Piece:
    """Return rows ``start:stop`` as a chunk.

    Raises
    ------
    SinkError
        They cannot be read.
    """
    recorded, undecoded = rows.read(start, stop)
    images = rule.apply(recorded)
    images[[row - start for row in undecoded]] = 0  # whatever the rule makes of 0
    start_ms = round(1000 * rows.times(start, start + 1)[0])
    return Piece(chunk, images, start_ms, not (images[0].any() or images.any()), tuple(undecoded))


def rule_of(job: Job) -> EightBit:
    """Return how pixels become 8 bit.

    Raises
    ------
    Cannot
        The job has no such rule.
    """
    try:
        return EightBit.parse(job.rule)
    except PipelineError as error:
        raise Cannot(f"{error} ({job.name} of run {job.run[:8]})") from error


def check_rows(rows: RecordedRows, rule: EightBit, name: str) -> None:
    """Return if frames like these can be uploaded by this rule.

    Raises
    ------
    Cannot
        They have colours, or the rule does not take their pixels.
    """
    if not rows.grey:
        size = " × ".join(map(str, rows.shape))
        raise Cannot(f"upload: frames of {rows.path} are {size}, not rows and columns of grey; record them so")
    try:
        rule.check(rows.dtype)
    except PipelineError as error:
        raise Cannot(f"{error} (rule of the upload {name})") from error


def check_chunk(name: str, fps: float, size: int) -> None:
    """Return if the service takes chunks of so many frames.

    Raises
    ------
    Cannot
        They are too short.
    """
    least = math.ceil(LEAST_SECONDS * fps)
    if size < least:
        raise Cannot(
            f"upload: chunks of {size} frames asked for, at {fps:g} frames/s they last {size / fps:.2g} s and the "
            f"service takes 2 s or more; give {least} or more, or leave chunk_size of {name} out"
        )


def measured_rate(rows: RecordedRows, total: int | None) -> float | None:
    """Return the rate of the first two seconds, frames/s; None while they are not there.

    Raises
    ------
    Cannot
        The frames have no times that rise.
    """
    count = len(rows)
    if count == 1 == total:
        return 1.0  # any will do
    if count < 2:
        return None
    times = rows.times(0, count)
    early = int(np.count_nonzero(times <= times[0] + LEAST_SECONDS))
    if early == count and total is None:
        return None
    try:
        return frames_per_second(times[: max(2, early)])
    except SinkError as error:
        raise Cannot(str(error)) from error
