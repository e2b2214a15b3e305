"""Look at a stream like pages that do nothing else: ``python page_clients.py URL SIZE CLIENTS SECONDS``.

A line when all are connected; then from the first frame on for so long, and a line of JSON about what came.
"""

import asyncio
import json
import struct
import sys
import time
from contextlib import AsyncExitStack

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

_PATIENCE = 60.0  # s; the server says something each second
_FRESH = 1.0  # s; before that comes the last frame of an earlier recording


async def look(socket: ClientConnection, seconds: float, ages: list[float]) -> tuple[float, int]:
    """Acknowledge frames as soon as they are there; return frames/s, and the bytes of one."""
    begun, number, length = 0.0, 0, 0
    while not begun or time.monotonic() < begun + seconds:
        message = await asyncio.wait_for(socket.recv(), _PATIENCE)
        if not isinstance(message, bytes):
            continue
        (serial,), (stamp,) = struct.unpack_from("<I", message, 8), struct.unpack_from("<d", message, 48)
        age = time.time() - stamp
        await socket.send(json.dumps({"ack": serial}))
        if begun or age < _FRESH:
            begun = begun or time.monotonic()
            ages.append(age)
            number, length = number + 1, len(message)
    return number / (time.monotonic() - begun), length


async def main(url: str, size: int, clients: int, seconds: float) -> None:
    address = url.replace("http", "ws", 1) + "ws"
    window = {"row": 0, "col": 0, "rows": size, "cols": size, "width": size, "height": size}
    ages: list[float] = []
    async with AsyncExitStack() as stack:
        opening = [connect(address, max_size=None, compression=None, proxy=None) for _ in range(clients)]
        sockets = [await stack.enter_async_context(one) for one in opening]
        for socket in sockets:
            await socket.send(json.dumps({"view": window}))
        print("connected", flush=True)
        looked = await asyncio.gather(*(look(socket, seconds, ages) for socket in sockets))
    p50, p95 = np.percentile(ages, (50, 95))
    rates, lengths = zip(*looked, strict=True)
    found = {"least": min(rates), "most": max(rates), "bytes": max(lengths), "p50": float(p50), "p95": float(p95)}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
