"""The service, asked until it answers what is wanted: while it is away, refuses, is slow or in trouble."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import httpx

from beamstream.errors import UploadError
from beamstream.network.proved_http import ProvedAsyncTransport
from beamstream.rheed.key import read_key

_PATIENCE = httpx.Timeout(120.0, connect=5.0)  # s; answers of 60 s have been seen
_PROBE = httpx.Timeout(2.0, connect=1.5)
_PROBE_EVERY = (0.2, 0.4)  # s; what waits goes on within 1 s of the service's return
_SLOW = 2.0  # s without an answer: is it still there?
_AGAIN = (0.7, 1.3)  # s until somebody who was refused asks again
_LONGEST = 2.0  # s between two tries of a service that is there and in trouble
_PASSING = {408, 425, 429}  # a no that is none: the same request may do later


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: what it is for in words, method, path after the endpoint, query, JSON body."""

    what: str
    method: str
    path: str
    query: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is in the way, in words, and whose it is."""

    phase: Literal["offline", "refused"]
    words: str


class Service:
    """Ask the service that takes uploads; ``async with Service(endpoint, key_file) as service``.

    One event loop, one object. While the service is away, everything waits at one gate, a cheap request looks for it
    three times a second, and all go on at once when it is back.

    Parameters
    ----------
    endpoint : str
        Without the last slash.
    key_file : str, optional
        See `beamstream.rheed.key.read_key`; read anew for each request, so that a mended one counts at once.
    address_file : str, optional
        Where the service writes its address, if it is an ingest of ours: each connection has to prove that it leads
        there, before the key is sent.

    Attributes
    ----------
    refusals : int
        Answers that a bare client would have taken for the end of what it asked for.
    on_return : callable
        Called with the seconds that the service was away, when it is back.
    """

    def __init__(self, endpoint: str, key_file: str | None, address_file: str | None = None) -> None:
        self.endpoint = endpoint
        self.refusals = 0
        self.on_return: Callable[[float], None] = lambda away: None
        self._key_file, self._address_file = key_file, address_file
        self._troubles: dict[str, Trouble] = {}
        self._there = asyncio.Event()
        self._there.set()
        self._left = 0.0
        self._look = asyncio.Event()
        self._under_way: dict[asyncio.Task[httpx.Response], float] = {}

    async def __aenter__(self) -> Self:
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=16)
        direct = httpx.URL(self.endpoint).host in ("127.0.0.1", "localhost", "::1")  # no proxy leads there
        verify = httpx.create_ssl_context()  # with SSL_CERT_FILE, wherever it leads
        proved = ProvedAsyncTransport(Path(self._address_file), limits) if self._address_file else None
        self._http = httpx.AsyncClient(
            timeout=_PATIENCE, limits=limits, trust_env=not direct, verify=verify, transport=proved
        )
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watching
        await self._http.aclose()

    @property
    def trouble(self) -> Trouble | None:
        """What is in the way now; a refusal before an absence, for somebody can do something about it."""
        refused = [trouble for trouble in self._troubles.values() if trouble.phase == "refused"]
        return next(iter(refused or self._troubles.values()), None)

    async def ask(self, asked: Asked, also: Collection[int] = ()) -> httpx.Response:
        """Return the answer, a good one (2xx) or one of `also`; ask until there is one.

        Refusals and absences are counted and said in `trouble` meanwhile.
        """
        failures = 0
        try:
            while True:
                began = time.monotonic()
                await self._there.wait()
                if failures and time.monotonic() - began < 0.5:  # else an absence has just ended: go on at once
                    await asyncio.sleep(min(_LONGEST, 0.1 * 2 ** min(failures, 8)) * random.uniform(0.7, 1.3))
                try:
                    answer = await self._ask_once(asked, read_key(self._key_file))
                except UploadError as error:
                    self._troubles[asked.what] = Trouble("refused", str(error))
                    await asyncio.sleep(random.uniform(*_AGAIN))
                    continue
                if answer is None:
                    failures += 1
                elif answer.is_success or answer.status_code in also:
                    return answer
                elif answer.status_code >= 500 or answer.status_code in _PASSING:
                    failures += 1
                    self._note_failure(asked, answer)
                    await asyncio.sleep(_retry_after(answer))
                else:
                    self._note_refusal(asked, answer)
                    await asyncio.sleep(random.uniform(*_AGAIN))
        finally:
            self._troubles.pop(asked.what, None)

    async def put(self, url: str, body: bytes) -> bool:
        """Send a body to an address that the service named; return whether it was taken."""
        try:
            answer = await self._http.put(url, content=body, headers={"content-type": ""})
        except httpx.TransportError:
            return False
        return answer.is_success

    async def _ask_once(self, asked: Asked, key: str) -> httpx.Response | None:
        """Return an answer, or None if the service went away."""
        task = asyncio.create_task(self._send(asked, key))
        self._under_way[task] = time.monotonic()
        try:
            return await task
        except asyncio.CancelledError:
            this = asyncio.current_task()
            if not task.cancelled() or (this and this.cancelling()):
                raise
            return None  # `_lose` cut it
        except httpx.TransportError as error:
            self._lose(error)
            return None
        finally:
            self._under_way.pop(task, None)

    async def _send(self, asked: Asked, key: str) -> httpx.Response:
        url = f"{self.endpoint}{asked.path}" + (f"?{asked.query}" if asked.query else "")
        headers = {"X-API-KEY": key} | ({"Content-Type": "application/json"} if asked.body else {})
        return await self._http.request(asked.method, url, content=asked.body or None, headers=headers)

    def _note_failure(self, asked: Asked, answer: httpx.Response) -> None:
        words = f"{self._heard(asked, answer)}; asked again until it is better"
        self._troubles[asked.what] = Trouble("offline", words)

    def _note_refusal(self, asked: Asked, answer: httpx.Response) -> None:
        self.refusals += 1
        advice = _ADVICE.get(answer.status_code, "asked again until the cause is gone")
        self._troubles[asked.what] = Trouble("refused", f"{self._heard(asked, answer)}; {advice}")

    def _heard(self, asked: Asked, answer: httpx.Response) -> str:
        said = " ".join(answer.text.split())[:200] or answer.reason_phrase
        return f"upload: {self.endpoint} answers {answer.status_code} to {asked.what}: {said}"

    def _lose(self, error: Exception) -> None:
        """Close the gate, until the service is found again."""
        self._look.set()
        if not self._there.is_set():
            return
        self._there.clear()
        self._left = time.monotonic()
        reason = str(error) or type(error).__name__
        words = f"upload: {self.endpoint} is not to be reached ({reason}); uploading goes on when it is back"
        self._troubles["the service"] = Trouble("offline", words)
        for task in list(self._under_way):
            task.cancel()

    def _find(self) -> None:
        """Open the gate."""
        if not self._there.is_set():
            self._troubles.pop("the service", None)
            self._there.set()
            self.on_return(time.monotonic() - self._left)

    async def _watch(self) -> None:
        """Look for a service that is away, and whether one that does not answer still is there."""
        while True:
            slow = self._slow()
            if slow:
                words = f"upload: {self.endpoint} has not answered for more than {_SLOW:.0f} s; it is waited for"
                self._troubles["an answer"] = Trouble("offline", words)
            else:
                self._troubles.pop("an answer", None)
            if slow or not self._there.is_set():
                error = await self._probe()
                self._find() if error is None else self._lose(error)
            self._look.clear()
            pause = random.uniform(*_PROBE_EVERY)
            if self._there.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._look.wait(), 3 * pause)
            else:
                await asyncio.sleep(pause)

    def _slow(self) -> bool:
        """Return whether somebody has waited long."""
        now = time.monotonic()
        return any(now - began > _SLOW for began in self._under_way.values())

    async def _probe(self) -> Exception | None:
        try:
            await self._http.get(f"{self.endpoint}/gateway/time", timeout=_PROBE)
        except (httpx.ReadTimeout, httpx.PoolTimeout):
            return None  # somebody is there, and slow
        except httpx.TransportError as error:
            return error
        return None


_ADVICE = {
    401: "correct the key, in BEAMSTREAM_UPLOAD_KEY or in the file that key_file names; a mended file counts at once",
    403: "the key may not do this; have its rights extended, or use another one",
}


def _retry_after(answer: httpx.Response) -> float:
    """Return how long the service asks us to wait, s, at most 30; mostly it does not."""
    said = answer.headers.get("retry-after", "0")
    return min(30.0, float(said)) if said.isdecimal() else 0.0
