"""A file that an upload goes into: around the page cache, written while the next piece comes."""

import asyncio
import mmap
import os
from pathlib import Path

import google_crc32c
import numpy as np

from beamstream.sinks.direct import Bytes, PlacedWriter

PIECE = 2 << 20
"""Bytes that are written at once."""


class Part:
    """Write what comes to a new file; in the event loop's thread, the disk in others.

    Parameters
    ----------
    path : Path
        Made, and removed by `close` unless it was moved away.
    spare : list of mmap
        Pieces of memory that other parts left and later ones take.

    Attributes
    ----------
    fd : int
        Of the file, to read and write; closed by `close`.
    size : int
        Bytes that came.
    crc32c : int
        Of all of them.
    """

    def __init__(self, path: Path, spare: list[mmap.mmap]) -> None:
        self.path, self.size, self.crc32c = path, 0, 0
        self._spare = spare
        self.fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
        try:
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_RANDOM)  # headers are looked at, nothing between them
            self._writer = PlacedWriter(path)
        except BaseException:
            os.close(self.fd)
            path.unlink(missing_ok=True)
            raise
        self._pieces = [spare.pop() if spare else mmap.mmap(-1, PIECE) for _ in range(2)]
        self._filled = self._written = 0
        self._writing: asyncio.Task[None] | None = None

    async def take(self, more: bytes) -> None:
        """Take the next bytes.

        Raises
        ------
        OSError
            The disk is full or gone.
        """
        self.size += len(more)
        self.crc32c = google_crc32c.extend(self.crc32c, more)
        rest = memoryview(more)
        while rest:
            some = rest[: PIECE - self._filled]
            self._pieces[0][self._filled : self._filled + len(some)] = some
            self._filled += len(some)
            rest = rest[len(some) :]
            if self._filled == PIECE:
                await self._flush()

    async def finish(self) -> None:
        """Return when everything is in the file; `os.fsync` makes it durable."""
        if self._filled:
            await self._flush()
        await self._written_all()

    async def close(self) -> None:
        """Let go of everything; the file is removed if it is still there."""
        try:
            await self._written_all()
        except OSError:  # it was said already, or nobody waits for it any more
            pass
        finally:
            self._spare.extend(self._pieces)
            self._writer.close()
            os.close(self.fd)
            self.path.unlink(missing_ok=True)

    async def _flush(self) -> None:
        """Write the piece that is full, and go on with the other one."""
        await self._written_all()
        full = np.frombuffer(self._pieces[0], np.uint8, self._filled)
        self._pieces.reverse()
        self._writing = asyncio.create_task(asyncio.to_thread(self._write, full, self._written))
        self._written += self._filled
        self._filled = 0

    async def _written_all(self) -> None:
        if self._writing is not None:
            await finished(self._writing)

    def _write(self, piece: Bytes, offset: int) -> None:
        self._writer.write([piece], offset)


async def finished(thread: asyncio.Task[None]) -> None:
    """Wait for work in a thread, also when this is cancelled: the thread goes on, and so must what it uses."""
    try:
        await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])
        raise
