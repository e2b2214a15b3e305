"""The tiled application of one archive. Importing this costs seconds: do it when serving, not before."""

import asyncio
import copy
import hashlib
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from sqlalchemy.pool import QueuePool
from tiled.catalog import from_uri
from tiled.config import Authentication, StreamingCacheConfig
from tiled.media_type_registration import default_serialization_registry
from tiled.server.app import build_app
from tiled.server.authentication import move_api_key
from tiled.storage import get_storage

from beamstream.archive import table_json
from beamstream.archive.access import REPEATED, RULES, TiledAccess, new_tiled_key
from beamstream.archive.adapters import ServedAdapters
from beamstream.archive.asset_routes import AssetRoutes
from beamstream.archive.browsers import Browsers
from beamstream.archive.database_path import database_path, duckdb_settings
from beamstream.archive.file_names import PlainFileNames
from beamstream.archive.hdf5_rows import RecordedHdf5, check_frames
from beamstream.archive.layout import Layout
from beamstream.archive.open_answers import OpenAnswers
from beamstream.archive.pictures import register_pictures
from beamstream.archive.relocation import relocate
from beamstream.archive.served_files import LARGEST_ANSWER, ServedFiles, check_registrations
from beamstream.archive.tiled_uris import decode_uris, duckdb_uri
from beamstream.archive.ui_routes import ui_routes
from beamstream.archive.uploads_page import UploadsPage
from beamstream.archive.zarr_routes import ZarrRoutes
from beamstream.file_uri import uri_of
from beamstream.network.address import Address
from beamstream.network.gate import Gate
from beamstream.network.keys import Keys
from beamstream.network.proof import Prover
from beamstream.network.rules import SCOPES
from beamstream.network.sessions import Sessions
from beamstream.places import Places
from beamstream.private import as_around


def make_app(
    layout: Layout,
    key: str,
    recordings: Sequence[Path],
    anonymous: bool,
    hosts: Iterable[str] = (),
    address: Address | None = None,
) -> Gate:
    """Return the application behind its gate; make the catalogue if there is none.

    Parameters
    ----------
    layout : Layout
    key : str
        Who shows it may do everything; others may what their key of `Keys` says.
    recordings : sequence of Path
        Directories of recorded files that may be served, besides the archive's own.
    anonymous : bool
        Let everybody read; writing always wants the key.
    hosts : iterable of str
        Names of the server, see `Gate`.
    address : Address, optional
        What it proves to clients to be.
    """
    decode_uris(layout.data)
    if not layout.catalog.exists():
        _make_catalog(layout)
    relocate(layout.catalog, Places.of(layout.directory))
    tree = from_uri(
        f"sqlite+aiosqlite:///{database_path(layout.catalog)}",
        writable_storage=[uri_of(layout.data), _tables_uri(layout)],
        readable_storage=[uri_of(p) for p in (layout.recordings, layout.streams, *recordings)],
        specs=[{"name": "CatalogOfBlueskyRuns", "version": "3.0"}],  # databroker's Broker looks for it
        adapters_by_mimetype={"application/x-hdf5": RecordedHdf5},  # tiled's own takes 1 ms a frame of a slice
        cache_config=StreamingCacheConfig(uri="memory").model_dump(),
    )
    context = tree.context
    files = ServedFiles(context)
    context.adapters_by_mimetype = ServedAdapters(context.adapters_by_mimetype, files, LARGEST_ANSWER)
    check_registrations()
    check_frames()
    _one_at_a_time(_tables_uri(layout), duckdb_settings(layout.tables))
    formats = copy.deepcopy(default_serialization_registry)
    register_pictures(formats)
    formats.register("BlueskyRun", "application/json-seq", _documents)
    table_json.register(formats)
    tiled_key, keys = new_tiled_key(), Keys(layout.directory, {key: SCOPES})
    sessions = Sessions(keys, cookie_name(layout))
    browsers = Browsers(keys, sessions)
    app = build_app(
        tree,
        # said in full: what is None here, tiled takes from its own environment variables
        authentication=Authentication.model_construct(
            providers=[],
            single_user_api_key=tiled_key,
            allow_anonymous_access=anonymous,
        ),
        server_settings={"response_bytesize_limit": LARGEST_ANSWER},
        serialization_registry=formats,
    )
    for routes in (AssetRoutes(files).routes, ZarrRoutes(LARGEST_ANSWER).routes, ui_routes()):
        _answer_first(app, routes)
    app.add_middleware(PlainFileNames)
    app.dependency_overrides[move_api_key] = browsers.take_out_of_address
    app.include_router(UploadsPage(layout.directory, browsers).routes)
    served = OpenAnswers(TiledAccess(app, tiled_key), REPEATED)
    return Gate(
        Prover(served, address) if address is not None else served,
        RULES,
        keys,
        name="archive",
        hosts=hosts,
        anonymous_read=anonymous,
        sessions=sessions.scopes,
        query="api_key",
        key_at="it is in the file api_key of the archive directory",
    )


def cookie_name(layout: Layout) -> str:
    """Return what the cookie of an archive's sessions is called: on each host and port other archives have others."""
    return f"beamstream-archive-{hashlib.sha256(os.fsencode(layout.directory)).hexdigest()[:12]}"


def _answer_first(app: FastAPI, router: APIRouter) -> None:
    """Have routes of ours answer before those that tiled has at the same addresses."""
    app.include_router(router)
    app.router.routes.insert(0, app.router.routes.pop())


def _tables_uri(layout: Layout) -> str:
    return duckdb_uri(layout.tables)


def _one_at_a_time(uri: str, settings: Iterable[str]) -> None:
    """Let nobody use the connection to the event tables while another does.

    tiled shares one among its threads, and DuckDB breaks off a query that is being read when another begins there:
    who read a table while a run was filed was answered with status 500.
    """
    storage: Any = get_storage(uri)

    def connect() -> Any:
        connection = storage._adbc_connection.adbc_clone()
        with connection.cursor() as cursor:  # a table of a catalogue may be named like a file, and DuckDB would read it
            for setting in (*settings, "SET GLOBAL enable_external_access = false"):
                cursor.execute(setting)
        return connection

    storage.__dict__["_connection_pool"] = QueuePool(connect, pool_size=1, max_overflow=0)


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
    uri = f"sqlite+aiosqlite:///{database_path(hidden)}"

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
