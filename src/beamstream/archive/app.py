"""The tiled application of one archive. Importing this costs seconds: do it when serving, not before."""

import asyncio
import copy
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from sqlalchemy.pool import QueuePool
from tiled.catalog import from_uri
from tiled.config import Authentication, StreamingCacheConfig
from tiled.media_type_registration import default_serialization_registry
from tiled.server.app import build_app
from tiled.storage import get_storage

from beamstream.archive.hdf5_rows import RecordedHdf5
from beamstream.archive.layout import Layout
from beamstream.archive.logs import quiet_logs
from beamstream.archive.tiled_uris import decode_uris, duckdb_uri
from beamstream.archive.uploads_page import UploadsPage
from beamstream.file_uri import uri_of
from beamstream.private import as_around


def make_app(layout: Layout, key: str, recordings: Sequence[Path], anonymous: bool) -> FastAPI:
    """Return the application; make the catalogue if there is none.

    Parameters
    ----------
    layout : Layout
    key : str
        Who shows it may read and write.
    recordings : sequence of Path
        Directories of recorded files that may be served, besides the archive's own.
    anonymous : bool
        Let everybody read; writing always wants the key.
    """
    decode_uris(layout.data)
    if not layout.catalog.exists():
        _make_catalog(layout)
    tree = from_uri(
        f"sqlite+aiosqlite:///{layout.catalog}",
        writable_storage=[uri_of(layout.data), _tables_uri(layout)],
        readable_storage=[uri_of(p) for p in (layout.recordings, layout.streams, *recordings)],
        specs=[{"name": "CatalogOfBlueskyRuns", "version": "3.0"}],  # databroker's Broker looks for it
        adapters_by_mimetype={"application/x-hdf5": RecordedHdf5},  # tiled's own takes 1 ms a frame of a slice
        cache_config=StreamingCacheConfig(uri="memory").model_dump(),
    )
    _one_at_a_time(_tables_uri(layout))
    formats = copy.deepcopy(default_serialization_registry)
    formats.register("BlueskyRun", "application/json-seq", _documents)
    app = build_app(
        tree,
        # said in full: what is None here, tiled takes from its own environment variables
        authentication=Authentication.model_construct(
            providers=[],
            single_user_api_key=key,
            allow_anonymous_access=anonymous,
        ),
        serialization_registry=formats,
    )
    app.include_router(UploadsPage(layout.directory, key, anonymous).routes)
    return app


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals alone and says when it has started and when it will end.

    Parameters
    ----------
    app : ASGI application
    on_start, on_stop : callable
        Called in a thread of their own, after the first and before the last request is answered.
    """

    def __init__(self, app: Any, on_start: Callable[[], None], on_stop: Callable[[], None]) -> None:
        quiet_logs()
        # no access log: its lines show URLs, and URLs may show the key
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=3,
            ws_max_size=2**20,
        )
        super().__init__(config)
        self._on_start = on_start
        self._on_stop = on_stop

    def capture_signals(self) -> Any:
        """Do nothing: whoever runs the server decides what a signal means."""
        return _Nothing()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets=sockets)
        if self.started:
            await asyncio.to_thread(self._on_start)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so, then end."""
        await asyncio.to_thread(self._on_stop)
        await super().shutdown(sockets=sockets)


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _tables_uri(layout: Layout) -> str:
    return duckdb_uri(layout.tables)


def _one_at_a_time(uri: str) -> None:
    """Let nobody use the connection to the event tables while another does.

    tiled shares one among its threads, and DuckDB breaks off a query that is being read when another begins there:
    who read a table while a run was filed was answered with status 500.
    """
    storage: Any = get_storage(uri)
    pool = QueuePool(lambda: storage._adbc_connection.adbc_clone(), pool_size=1, max_overflow=0)
    storage.__dict__["_connection_pool"] = pool


def _make_catalog(layout: Layout) -> None:
    """Make the tables here: tiled's own way starts a second interpreter, which takes seconds."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy.ext.asyncio import create_async_engine
    from tiled.catalog.alembic_constants import ALEMBIC_DIR
    from tiled.catalog.core import initialize_database

    hidden = layout.catalog.with_suffix(".new")  # a start that is killed leaves no half catalogue
    hidden.unlink(missing_ok=True)
    with open(hidden, "xb", opener=as_around):
        pass  # SQLite makes what it keeps beside a database as open as that is
    uri = f"sqlite+aiosqlite:///{hidden}"

    def stamp(connection: Any) -> None:
        MigrationContext.configure(connection).stamp(ScriptDirectory(ALEMBIC_DIR), "head")

    async def fill() -> None:
        engine = create_async_engine(uri)
        try:
            await initialize_database(engine)
            async with engine.begin() as connection:
                await connection.run_sync(stamp)
        finally:
            await engine.dispose()

    asyncio.run(fill())
    hidden.rename(layout.catalog)


async def _documents(mimetype: str, adapter: Any, metadata: Any, filter_for_access: Any) -> AsyncIterator[str]:
    """Export a run's documents; the import waits until somebody asks."""
    from bluesky_tiled_plugins.exporters import json_seq_exporter

    async for line in json_seq_exporter(mimetype, adapter, metadata, filter_for_access):
        yield line
