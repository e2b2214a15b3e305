"""The worker of one upload: it keeps the client's process alive, and the state of the upload."""

import asyncio
import logging
import math
import shutil
import time
from dataclasses import asdict
from typing import IO, Any

from beamstream.rheed.black import BlackChunk
from beamstream.rheed.black_delivery import BlackDelivery
from beamstream.rheed.books import UploadBooks
from beamstream.rheed.child import ClientProcess
from beamstream.rheed.job import JobDirectory, Phase
from beamstream.rheed.orders import Cannot
from beamstream.rheed.relay import Relay
from beamstream.rheed.service import Service

log = logging.getLogger(__name__)

_TICK = 0.5  # s
_SILENCE = 300.0  # s without a word: the client hangs; opening a stream at a slow service takes minutes
_RENEW_AFTER = 5.0  # s; what was under way when the service left is not waited for then
_FAILED = 3  # addresses for a chunk; its client sleeps for seconds then
_RESTART = (0.2, 30.0)  # s until a client that died is started again: the first time, and at most


class Worker:
    """Upload one job, however often client, service or network fail; ``await Worker(directory, None, log).run()``.

    Parameters
    ----------
    directory : JobDirectory
        Locked by the caller.
    key_file : str, optional
        See `beamstream.rheed.key.read_key`.
    output : file
        What the client's process writes goes there.
    """

    def __init__(self, directory: JobDirectory, key_file: str | None, output: IO[Any]) -> None:
        self._directory, self._job, self._output = directory, directory.job, output
        self._books = UploadBooks(directory)
        address_file = self._job.address_file or directory.ingest_address
        self._service = Service(self._job.endpoint.rstrip("/"), key_file or self._job.key_file, address_file)
        self._service.refusals = self._books.state.refusals
        self._relay = Relay(self._service, self)
        self._client: ClientProcess | None = None
        self._rows, self._total = self._books.state.frames, None
        self._words = self._note = ""
        self._black = BlackDelivery(self._service, self.arrived)
        self._ready = False
        self._linking: asyncio.Task[None] | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._finished = False

    async def run(self) -> None:
        """Return when everything is at the service and the stream has ended.

        Raises
        ------
        Cannot
            Only a person can help.
        """
        if self._books.state.phase == "done":
            return
        self._service.on_return = self._on_return
        async with self._service, self._relay:
            ticking = asyncio.create_task(self._tick())
            try:
                await self._keep_client()
                self._end("done", self._notes)
            except Cannot as error:
                self._end("failed", str(error))
                raise
            finally:
                await self._stop(ticking)
        shutil.rmtree(self._directory.spool, ignore_errors=True)

    @property
    def data_id(self) -> str:
        """The service's name for the stream; empty until it has one."""
        return self._books.state.data_id

    async def begun(self, data_id: str) -> None:
        """Return when the name of the stream is on disk."""
        await self._books.begun(data_id)

    def arrived(self, chunk: int) -> None:
        """Note that the service has a chunk which the client has not sent itself, or not known to have."""
        self._books.arrived(chunk)
        if self._client:
            self._client.tell({"do": "arrived", "chunk": chunk})
        self._finish_if_all_arrived()

    async def _stop(self, ticking: asyncio.Task[None]) -> None:
        tasks = [ticking, *self._black.tasks, *filter(None, [self._linking, self._finishing])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client:
            await self._client.kill()
        self._books.settle()

    async def _keep_client(self) -> None:
        """Run the client's process, a new one whenever it has ended before the upload has."""
        first, longest = _RESTART
        pause = first
        while not self._finished:
            confirmed, began = self._books.state.confirmed, time.monotonic()
            status = await self._run_client()
            if self._finished:
                return
            healthy = self._books.state.confirmed > confirmed or time.monotonic() - began > 60.0
            pause = first if healthy else min(longest, 2 * pause)
            self._words = f"upload: the cloud's client ended with status {status}; it is started again, see worker.log"
            log.warning("%s", self._words)
            await asyncio.sleep(pause)

    async def _run_client(self) -> int:
        """Return the status of a client's process when it has ended."""
        state = self._books.state
        first = {
            "directory": str(self._directory.path),
            "spool": str(self._directory.spool),
            "relay": self._relay.url,
            "key": self._relay.key,
            "linked": bool(state.data_id) and state.linked,
            "state": asdict(state),
        }
        self._ready = False
        if self._finishing:
            self._finishing.cancel()
            self._finishing = None
        self._client = client = await ClientProcess.start(first, self._output)
        try:
            async for message in client.words():
                self._receive(message)
                if self._finished:
                    break
        finally:
            status = await client.kill()
        return status

    def _receive(self, message: dict[str, Any]) -> None:
        """Act on a message of the client."""
        match message:
            case {"cannot": words}:
                raise Cannot(words)
            case {"trouble": words}:
                self._words = words
            case {"settled": settled}:
                self._books.update(**settled)
            case {"initialized": _}:
                self._words, self._ready = "", True
                self._linking = asyncio.create_task(self._note_links())
            case {"arrived": chunks}:
                self._words = ""
                self._books.arrived(*chunks)
                self._wake_if_a_storm_is_over(chunks)
            case {"black": black}:
                self._black.send(BlackChunk(black["chunk"], tuple(black["dims"]), black["start_ms"]), self._about())
            case {"undecoded": rows}:
                self._books.undecoded(rows)
            case {"rows": rows, "total": total}:
                self._rows, self._total, self._note = rows, total, message.get("note", "")
            case {"finished": True}:
                self._finished = True
        self._finish_if_all_arrived()

    def _about(self) -> dict[str, Any]:
        """Return what is sent to the service with every chunk."""
        state, rotating = self._books.state, self._job.rotations_per_min > 0
        return {"data_id": state.data_id, "fps": state.fps, "chunk_size": state.chunk_size, "rotating": rotating}

    def _wake_if_a_storm_is_over(self, arrived: list[int]) -> None:
        """Let the client try all chunks at once, when some arrive that had failed: it would sleep up to 30 s."""
        failed = any(self._relay.addresses[chunk] >= _FAILED for chunk in arrived)
        for chunk in arrived:
            del self._relay.addresses[chunk]
        if failed and max(self._relay.addresses.values(), default=0) >= _FAILED and self._client:
            self._relay.addresses.clear()
            self._client.tell({"do": "renew"})

    def _finish_if_all_arrived(self) -> None:
        if self._total is None or self._finishing or self._finished:
            return
        state = self._books.state
        if self._total == 0 and not state.data_id:
            self._finished = True
        elif self._ready and state.confirmed >= math.ceil(self._total / state.chunk_size):
            self._finishing = asyncio.create_task(self._finish())

    async def _note_links(self) -> None:
        await self._relay.linked()
        self._books.update(linked=True)

    async def _finish(self) -> None:
        """Let the client end the stream, when sample and tags are attached."""
        if self._linking:
            await self._linking
        self._relay.may_end = True
        assert self._client is not None
        self._client.tell({"do": "finish"})

    def _on_return(self, away: float) -> None:
        log.info("the service is back after %.1f s", away)
        if away > _RENEW_AFTER and self._client:
            self._client.tell({"do": "renew"})

    async def _tick(self) -> None:
        """Show how far it is, and end a client that hangs."""
        while True:
            await asyncio.sleep(_TICK)
            self._books.settle()
            self._show()
            client = self._client
            if client and not self._finishing and time.monotonic() - client.heard > _SILENCE:
                log.warning("the cloud's client sent nothing for %.0f s; it is started again", _SILENCE)
                await client.kill()

    def _show(self) -> None:
        trouble = self._service.trouble
        phase: Phase = "uploading" if self._books.state.data_id else "waiting"
        if trouble:
            phase = trouble.phase
        elif self._finishing:
            phase = "finalizing"
        words = trouble.words if trouble else self._books.words or self._words or self._failing() or self._notes
        self._books.show(phase, words, frames=self._rows, refusals=self._service.refusals)

    @property
    def _notes(self) -> str:
        """What is wrong with the file, and in nothing's way."""
        return "; ".join(filter(None, [self._note, self._books.undecoded_words]))

    def _failing(self) -> str:
        """Return words on a chunk whose sending fails again and again."""
        for chunk, times in self._relay.addresses.most_common(1):
            if times > _FAILED:
                return f"upload: chunk {chunk} was sent {times} times and did not arrive; see worker.log"
        return ""

    def _end(self, phase: Phase, words: str = "") -> None:
        refusals = self._service.refusals
        self._books.show(phase, words, frames=self._rows, refusals=refusals)
