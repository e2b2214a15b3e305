"""Black chunks on their way to the service, past the client that cannot send them."""

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

import httpx

from beamstream.rheed.black import BlackChunk
from beamstream.rheed.relay import PRESIGN
from beamstream.rheed.service import Asked, Service

log = logging.getLogger(__name__)

_PAUSE = (0.2, 10.0)  # s between two tries: the first time, and at most


class BlackDelivery:
    """Send black chunks until they have arrived, each once at a time.

    Parameters
    ----------
    service : Service
    arrived : callable
        Called with the number of each that has.
    """

    def __init__(self, service: Service, arrived: Callable[[int], None]) -> None:
        self._service, self._arrived = service, arrived
        self._under_way: dict[int, asyncio.Task[None]] = {}

    @property
    def tasks(self) -> Collection[asyncio.Task[None]]:
        """What is under way."""
        return tuple(self._under_way.values())

    def send(self, black: BlackChunk, about: Mapping[str, Any]) -> None:
        """Begin to send one; `about` is what `BlackChunk.metadata` wants to know."""
        if black.chunk not in self._under_way:
            self._under_way[black.chunk] = asyncio.create_task(self._deliver(black, about))

    async def _deliver(self, black: BlackChunk, about: Mapping[str, Any]) -> None:
        body = json.dumps(black.metadata(**about)).encode()
        asked = Asked(f"chunk {black.chunk}", "POST", PRESIGN, black.query, body)
        pause, longest = _PAUSE
        while not await self._send(asked, black.shard):
            log.warning("chunk %s, a black one, is not taken; sent again in %.1f s", black.chunk, pause)
            await asyncio.sleep(pause)
            pause = min(longest, 2 * pause)
        del self._under_way[black.chunk]
        self._arrived(black.chunk)

    async def _send(self, asked: Asked, shard: bytes) -> bool:
        """Ask for an address and send it there; return whether it was taken."""
        answer = await self._service.ask(asked)
        try:
            said = answer.json()
            return await self._service.put((said[0] if isinstance(said, list) else said)["url"], shard)
        except (ValueError, LookupError, TypeError, httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("the service names no address for %s: %r", asked.what, error)
            return False
