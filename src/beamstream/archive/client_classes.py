"""Which classes a tiled client makes of what a server has: a table of its own for each client."""

from typing import Any, Self

from tiled.client.container import DEFAULT_STRUCTURE_CLIENT_DISPATCH, Container
from tiled.utils import OneShotCachedMap


class ClientClasses(OneShotCachedMap[str, Any]):
    """The classes of a client, a table that is copied as a whole.

    bluesky-tiled-plugins 2.0.12 gives databroker's Broker runs in an older form: it copies the table and changes the
    copy. A copy of tiled's (0.2.20) is the same table, which all clients of a process share: from then on all of them
    return runs in the older form, in which ``run["primary"]`` has no arrays.
    """

    @classmethod
    def of_arrays(cls) -> Self:
        """Return the table for clients that read arrays of numpy."""
        Container.discover_clients_from_entrypoints()
        registered: Any = Container.STRUCTURE_CLIENTS_FROM_ENTRYPOINTS  # is as it was, whatever the shared table is
        return cls._of(DEFAULT_STRUCTURE_CLIENT_DISPATCH["numpy"], registered)

    @classmethod
    def _of(cls, *tables: OneShotCachedMap[str, Any]) -> Self:
        own = cls()
        own.__setstate__({name: made for table in tables for name, made in table.__getstate__().items()})
        return own

    def __copy__(self) -> Self:
        return self._of(self)
