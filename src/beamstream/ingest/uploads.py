"""Shards on their way in: from the socket to a file, checked, durable, kept; a few megabytes in memory at a time."""

import asyncio
import mmap
import os
import shutil
from pathlib import Path
from uuid import uuid4

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from beamstream.ingest.part import Part, finished
from beamstream.ingest.refusal import Refusal
from beamstream.ingest.shard import check, largest, open_shard
from beamstream.ingest.streams import Streams
from beamstream.ingest.tokens import Chunk, Tokens
from beamstream.private import make_directories

_SILENCE = 60.0  # s within which a piece has to come
_RESERVE = 64 << 20  # bytes that stay free: the catalogue and the journals have to go on


class Uploads:
    """Take shards.

    Parameters
    ----------
    directory : Path
        Where they lie until they are complete, on the disk where they are kept.
    streams : Streams
    tokens : Tokens
    largest : int
        Bytes of a shard.
    at_once : int
        Shards that may be coming in.
    """

    def __init__(self, directory: Path, streams: Streams, tokens: Tokens, *, largest: int, at_once: int) -> None:
        self.directory = directory
        self._streams, self._tokens = streams, tokens
        self._largest, self._at_once, self._active = largest, at_once, 0
        self._spare: list[mmap.mmap] = []
        make_directories(directory)
        for left in directory.glob("*.part"):  # of a process that was killed
            left.unlink()

    async def put(self, request: Request) -> Response:
        """Answer ``PUT /upload/<token>``: 200 when the shard is durable."""
        chunk = self._tokens.open(request.path_params["token"])
        await asyncio.to_thread(self._streams.admit, chunk)
        most = min(self._largest, largest(chunk.frames, chunk.frame_nbytes))
        self._has_room(request, most)
        if self._active >= self._at_once:
            raise Refusal(429, f"ingest: {self._active} uploads are under way; wait a moment")
        self._active += 1
        try:
            part = Part(self.directory / f"{uuid4()}.part", self._spare)
            try:
                await _receive(request, part, most)
                await finished(asyncio.create_task(asyncio.to_thread(self._keep, chunk, part)))
            finally:
                await part.close()
        except Refusal as refusal:
            await asyncio.to_thread(self._streams.refused, chunk, str(refusal))
            raise
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        finally:
            self._active -= 1
        return JSONResponse({}, headers={"ETag": f'"{part.crc32c:08x}"'})

    def _keep(self, chunk: Chunk, part: Part) -> None:
        shard = open_shard(part.fd, chunk.frames)
        check(shard, chunk.frame_nbytes)
        if chunk.frames < chunk.chunk_size:
            shard = shard.lengthen(chunk.chunk_size)
        os.fsync(part.fd)
        self._streams.keep(chunk, part.path, shard, part.crc32c)

    def _has_room(self, request: Request, most: int) -> None:
        """Refuse what is too large before it has come."""
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most:
            raise _too_large(length, most)
        free = shutil.disk_usage(self.directory).free
        if free < int(length) + _RESERVE:
            raise Refusal(
                507, f"ingest: the disk is full ({free / 1e6:.0f} MB free), the chunk was not taken; make room there"
            )


async def _receive(request: Request, part: Part, most: int) -> None:
    """Write a body into a file."""
    body = aiter(request.stream())
    more: bytes | None = b""
    while more is not None:
        try:
            async with asyncio.timeout(_SILENCE):
                more = await anext(body, None)
        except TimeoutError:
            raise Refusal(408, f"ingest: no more of the upload came within {_SILENCE:g} s; send it again") from None
        if part.size + len(more or b"") > most:
            raise _too_large(part.size + len(more or b""), most)
        await part.take(more or b"")
    await part.finish()


def _too_large(size: object, most: int) -> Refusal:
    return Refusal(413, f"ingest: an upload of {size} bytes came, at most {most} are taken for this chunk")
