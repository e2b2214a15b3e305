"""Ask a page as fast as it answers: ``python web_clients.py PORT PATH CLIENTS SECONDS``; prints what came of it."""

import asyncio
import json
import sys
import time

import numpy as np


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    """Return the length of the answer's body, bytes."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    assert head.split(" ", 2)[1] == "200", head
    (length,) = (int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:"))
    left = length
    while left:
        left -= len(await reader.read(min(left, 1 << 20)))
    return length


async def client(port: int, path: str, until: float, times: list[float]) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 21)
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    length = 0
    while time.monotonic() < until:
        begun = time.monotonic()
        length = await ask(reader, writer, request)
        times.append(time.monotonic() - begun)
    writer.close()
    return length


async def main(port: int, path: str, clients: int, seconds: float) -> None:
    times: list[float] = []
    begun = time.monotonic()
    lengths = await asyncio.gather(*(client(port, path, begun + seconds, times) for _ in range(clients)))
    found = {
        "rate": len(times) / (time.monotonic() - begun),
        "median": float(np.median(times)),
        "slowest": max(times),
        "bytes": max(lengths),
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
