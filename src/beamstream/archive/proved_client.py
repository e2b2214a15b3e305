"""A tiled client that shows its key to the server of an archive alone, on each connection that it ever opens."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiled.client.constructors import from_context
from tiled.client.context import Context
from tiled.client.transport import Transport

from beamstream.network.address import Address
from beamstream.network.proof import proved_connection
from beamstream.network.proved_http import ProvedTransport
from beamstream.network.tls import client_context

if TYPE_CHECKING:
    from bluesky_tiled_plugins.clients.catalog_of_bluesky_runs import CatalogOfBlueskyRuns

_PATIENCE = 5.0  # s


def client_of(path: Path, server: Address, key: str | None) -> "CatalogOfBlueskyRuns":
    """Return a client of the server that writes its address to a path."""
    return from_context(_ProvedContext(path, server, key))  # pyright: ignore[reportReturnType]


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

    @property
    def api_key(self) -> str | None:
        """The key. tiled 0.2.20 takes it from here to open a websocket of its own with it: after another proof."""
        key = Context.api_key.__get__(self)
        if key is not None:
            proved_connection(Address.read(self.address_file), _PATIENCE).close()
        return key

    @api_key.setter
    def api_key(self, api_key: str | None) -> None:
        Context.api_key.__set__(self, api_key)

    def __repr__(self) -> str:
        return f"<archive at {self.api_uri}>"

    def __getstate__(self) -> tuple[Any, ...]:
        return (self.address_file, *super().__getstate__())

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.address_file, *rest = state
        super().__setstate__(tuple(rest))
        self._prove_from_now_on()
