"""A tiled client that shows its key to the server of an archive alone, on each connection that it ever opens."""

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiled.client import stream
from tiled.client.constructors import from_context
from tiled.client.context import Context
from tiled.client.transport import Transport
from websockets.sync.client import connect

from beamstream.archive.client_classes import ClientClasses
from beamstream.network.address import Address
from beamstream.network.proof import proved_connection
from beamstream.network.proved_http import ProvedTransport
from beamstream.network.tls import client_context

if TYPE_CHECKING:
    from bluesky_tiled_plugins.clients.catalog_of_bluesky_runs import CatalogOfBlueskyRuns

_PATIENCE = 5.0  # s
_PROVED_BY = "beamstream_address_file"


def client_of(path: Path, server: Address, key: str | None) -> "CatalogOfBlueskyRuns":
    """Return a client of the server that writes its address to a path."""
    classes: Any = ClientClasses.of_arrays()
    return from_context(_ProvedContext(path, server, key), classes)  # pyright: ignore[reportReturnType]


class _ProvedContext(Context):
    def __init__(self, path: Path, server: Address, key: str | None) -> None:
        self.address_file = path
        verify: Any = client_context(server.certificate) or True
        super().__init__(f"{server.url}/api/v1", trust_env=False, verify=verify)  # asks what it is, shows nothing
        self._prove_from_now_on()
        if key is not None:
            self.api_key = key

    def _prove_from_now_on(self) -> None:
        before: Any = self.http_client._transport
        # tiled 0.2.20 takes no transport; this one replaces what its client opened
        self.http_client._transport = Transport(transport=ProvedTransport(self.address_file), cache=before.cache)
        before.close()
        setattr(self.http_client, _PROVED_BY, self.address_file)

    def __repr__(self) -> str:
        return f"<archive at {self.api_uri}>"

    def __getstate__(self) -> tuple[Any, ...]:
        # a context of TLS cannot be pickled; what proves itself makes one of its own
        state = (True if isinstance(part, ssl.SSLContext) else part for part in super().__getstate__())
        return (self.address_file, *state)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.address_file, *rest = state
        super().__setstate__(tuple(rest))
        self._prove_from_now_on()


class _ProvedWebsocket(stream._RegularWebsocketWrapper):
    """A subscription's connection, which proves itself before the key goes over it where the client's others do.

    tiled 0.2.20 opens it by itself, without options.
    """

    def connect(self, api_key: str | None, start: int | None = None, max_size: int = 1_000_000) -> None:
        """Open the websocket; again after each end."""
        path = getattr(self._http_client, _PROVED_BY, None)
        if path is None:
            super().connect(api_key, start, max_size)
            return
        sock = proved_connection(Address.read(path), _PATIENCE).sock
        sock.settimeout(None)
        uri = self._uri.copy_with(scheme="ws")  # what TLS there is, the connection has already
        opened = connect(
            str(uri if start is None else uri.copy_merge_params({"start": start})),
            sock=sock,
            additional_headers={"Authorization": f"Apikey {api_key}"} if api_key else {},
            max_size=max_size,
            proxy=None,
        )
        self._websocket = opened.__enter__()  # websockets 17.1 warns of one that is not entered; tiled closes it


stream._RegularWebsocketWrapper = _ProvedWebsocket
