"""The process of the cloud's client, as the worker sees it."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from typing import IO, Any

from beamstream.children import python_module
from beamstream.rheed.key import KEY_VARIABLE

_LONGEST_LINE = 1 << 20
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class ClientProcess:
    """Run ``python -m beamstream.rheed.client``; started by `start`, gone after `kill`.

    Attributes
    ----------
    heard : float
        When it last said something, s of `time.monotonic`.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.heard = time.monotonic()

    @classmethod
    async def start(cls, first: Mapping[str, Any], log: IO[Any]) -> "ClientProcess":
        """Start it and say the first line; what it writes besides goes to `log`."""
        process = await asyncio.create_subprocess_exec(
            *python_module("beamstream.rheed.client"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=_environment(),
            limit=_LONGEST_LINE,
        )
        client = cls(process)
        client.tell(first)
        return client

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self, order: Mapping[str, Any]) -> None:
        """Say something; what a dead one does not hear, `words` ends to show."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
            self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def words(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what it says, until it ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.heard = time.monotonic()
            if line.endswith(b"\n"):
                yield json.loads(line)

    async def kill(self) -> int:
        """End it, if it still runs; return its status."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self._process.wait()


def _environment() -> dict[str, str]:
    """Return ours without the key: the client gets one for the relay, which no proxy is to stand before."""
    ours = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
    for name in ("NO_PROXY", "no_proxy"):
        ours[name] = ",".join(filter(None, [ours.get(name, ""), "127.0.0.1,localhost"]))
    # what was recorded has its times; the client would shift them by what it thinks of our clock
    return ours | _THREADS | {"ATOMSCALE_SKIP_CLOCK_SYNC": "1"}
