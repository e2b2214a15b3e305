"""Memory for rings, room and speed for recordings."""

import mmap
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from beamstream.cli.checks.finding import Finding, fail, ok, warn
from beamstream.cli.console import size
from beamstream.config import Config, DetectorConfig
from beamstream.ring_size import USUAL, Room
from beamstream.segment import SHM

_TEST = 256 * 2**20  # bytes written
_PIECE = 8 * 2**20
_ROOM = 10e9  # bytes; less than that is worth a word
_MARGIN = 1.5  # times the cameras' rate


def memory(config: Config) -> Iterator[Finding]:
    """Look whether the rings of all detectors fit into shared memory; where they do not, they hold less."""
    detectors = sum(isinstance(device, DetectorConfig) for device in config.devices.values())
    wanted, free = detectors * (config.recording.ring_memory or USUAL), Room.now().free
    text = f"{size(free)} free for rings in {SHM}, {size(wanted)} wanted for those of {detectors} detectors"
    if free < wanted:
        yield warn("memory", text, "enlarge /dev/shm, or lower [recording] ring_memory_mb")
    else:
        yield ok("memory", text)


def disk(config: Config, rates: Mapping[str, float]) -> Iterator[Finding]:
    """Look at room and speed of the recording directory; writes 256 MB twice and deletes them.

    Parameters
    ----------
    config : Config
    rates : dict
        Bytes/s by detector, as far as they are known.
    """
    directory, rate = config.recording.directory, sum(rates.values())
    there = next(p for p in (directory, *directory.parents) if p.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield fail("disk", f"{directory} cannot be written: {there} is not ours", "correct [recording] directory")
        return
    free = shutil.disk_usage(there).free
    lasts = f", {free / rate / 3600:.1f} h at the cameras' {size(rate)}/s" if rate else ""
    text = f"{size(free)} free in {directory}{lasts}"
    yield ok("disk", text) if free > _ROOM else warn("disk", text, "make room, or record to another disk")
    if free < 4 * _TEST:
        yield fail("disk speed", f"not measured: {size(free)} free", "make room")
        return
    for direct in (True, False):
        yield _speed(there, direct, rate)


def _speed(directory: Path, direct: bool, rate: float) -> Finding:
    way = "around the page cache (O_DIRECT)" if direct else "through the page cache, fsync included"
    try:
        speed = measure(directory, direct)
    except OSError as error:
        if direct:
            return warn("disk speed", f"no O_DIRECT here ({error.strerror})", "a local ext4 or xfs disk is faster")
        return fail("disk speed", f"{directory} cannot be written: {error.strerror}", "look at the disk")
    text = f"{size(speed)}/s {way}"
    if rate and speed < _MARGIN * rate:
        return warn("disk speed", f"{text}, the cameras send {size(rate)}/s", "record to a faster disk")
    return ok("disk speed", text)


def measure(directory: Path, direct: bool) -> float:
    """Return how fast 256 MB are on the disk, bytes/s; the file is deleted whatever happens.

    Raises
    ------
    OSError
        The disk does not take them.
    """
    path = directory / f".beamstream-doctor-{uuid.uuid4().hex[:8]}"
    piece = mmap.mmap(-1, _PIECE)  # O_DIRECT wants memory at page boundaries
    piece.write(os.urandom(4096) * (_PIECE // 4096))
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | (os.O_DIRECT if direct else 0), 0o600)
    try:
        path.unlink()  # at once: nothing stays, even after a kill
        began = time.monotonic()
        for _ in range(_TEST // _PIECE):
            if os.write(fd, piece) != _PIECE:
                raise OSError(28, "it is full")
        os.fdatasync(fd)
        return _TEST / (time.monotonic() - began)
    finally:
        os.close(fd)
        piece.close()
