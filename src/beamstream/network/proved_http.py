"""httpx clients whose every connection proves to lead to a server of ours before a request, and its key, goes over it.

A client may live for days, its server may not: the address is read again for each connection.
"""

import ssl
from pathlib import Path
from typing import Any

import httpcore
import httpx

from beamstream.errors import NotOurServer
from beamstream.network.address import Address, origin_of
from beamstream.network.proof import Challenge
from beamstream.network.tls import client_context

_READ = 4096  # bytes
_LIMITS = httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=5.0)


class ProvedTransport(httpx.HTTPTransport):
    """What an `httpx.Client` sends with; no proxy stands before a server of ours.

    Parameters
    ----------
    path : Path
        Where the server writes its address.
    limits : httpx.Limits
    """

    def __init__(self, path: Path, limits: httpx.Limits = _LIMITS) -> None:
        # httpx 0.28 has no option for the network backend of its pool; `super().__init__` would take 30 ms
        self._pool = httpcore.ConnectionPool(network_backend=_Proving(path), **_pool(limits))


class ProvedAsyncTransport(httpx.AsyncHTTPTransport):
    """What an `httpx.AsyncClient` sends with; see `ProvedTransport`."""

    def __init__(self, path: Path, limits: httpx.Limits = _LIMITS) -> None:
        self._pool = httpcore.AsyncConnectionPool(network_backend=_ProvingAsync(path), **_pool(limits))


def _pool(limits: httpx.Limits) -> dict[str, Any]:
    return {
        "max_connections": limits.max_connections,
        "max_keepalive_connections": limits.max_keepalive_connections,
        "keepalive_expiry": limits.keepalive_expiry,
    }


def _published(path: Path, host: str, port: int) -> Address:
    """Return the address that a connection has to lead to.

    Raises
    ------
    httpcore.ConnectError
        No server has written one, or it is another one.
    """
    try:
        address = Address.read(path)
    except FileNotFoundError:
        raise httpcore.ConnectError(f"nobody serves {host}:{port} any more: {path} is missing") from None
    except NotOurServer as error:
        raise httpcore.ConnectError(str(error)) from None
    if origin_of(address.url) != (host, port):
        raise httpcore.ConnectError(f"the server is at {address.url} now, not at {host}:{port}")
    return address


class _Proving(httpcore.NetworkBackend):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._real = httpcore.SyncBackend()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any
    ) -> httpcore.NetworkStream:
        address = _published(self._path, host, port)
        stream = self._real.connect_tcp(host, port, timeout, *args, **kwargs)
        return _Encrypting(stream, address) if address.url.startswith("https:") else _prove(stream, address, timeout)

    def sleep(self, seconds: float) -> None:
        self._real.sleep(seconds)


class _Encrypting(httpcore.NetworkStream):
    """A connection that is going to be encrypted, and proves itself then."""

    def __init__(self, stream: httpcore.NetworkStream, address: Address) -> None:
        self._stream, self._address = stream, address

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        context = client_context(self._address.certificate) or ssl_context
        return _prove(self._stream.start_tls(context, server_hostname, timeout), self._address, timeout)

    def close(self) -> None:
        self._stream.close()


def _prove(stream: httpcore.NetworkStream, address: Address, timeout: float | None) -> httpcore.NetworkStream:
    try:
        challenge = Challenge(address)
        stream.write(challenge.request, timeout)
        while not challenge.feed(stream.read(_READ, timeout)):
            pass
    except BaseException as error:
        stream.close()
        if isinstance(error, OSError | httpcore.NetworkError | httpcore.TimeoutException):
            raise httpcore.ConnectError(str(error) or type(error).__name__) from error
        raise
    return stream


class _ProvingAsync(httpcore.AsyncNetworkBackend):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._real: Any = httpcore.AnyIOBackend()

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any
    ) -> httpcore.AsyncNetworkStream:
        address = _published(self._path, host, port)
        stream = await self._real.connect_tcp(host, port, timeout, *args, **kwargs)
        if address.url.startswith("https:"):
            return _EncryptingAsync(stream, address)
        return await _prove_async(stream, address, timeout)

    async def sleep(self, seconds: float) -> None:
        await self._real.sleep(seconds)


class _EncryptingAsync(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream, address: Address) -> None:
        self._stream, self._address = stream, address

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        context = client_context(self._address.certificate) or ssl_context
        stream = await self._stream.start_tls(context, server_hostname, timeout)
        return await _prove_async(stream, self._address, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _prove_async(
    stream: httpcore.AsyncNetworkStream, address: Address, timeout: float | None
) -> httpcore.AsyncNetworkStream:
    try:
        challenge = Challenge(address)
        await stream.write(challenge.request, timeout)
        while not challenge.feed(await stream.read(_READ, timeout)):
            pass
    except BaseException as error:
        await stream.aclose()
        if isinstance(error, OSError | httpcore.NetworkError | httpcore.TimeoutException):
            raise httpcore.ConnectError(str(error) or type(error).__name__) from error
        raise
    return stream
