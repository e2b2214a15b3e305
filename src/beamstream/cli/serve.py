"""`beamstream serve`: the archive over HTTP, in the foreground."""

import logging
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beamstream.cli.checked import checked


def serve(
    archive: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Archive directory; made if missing.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 0.0.0.0 for the whole network.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    anonymous: Annotated[
        bool | None, typer.Option("--anonymous/--key", help="Whether readers need no key (on loopback only).")
    ] = None,
    recordings: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Serve recorded files of this directory too; repeat it."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One line of JSON when requests are answered.")
    ] = False,
) -> None:
    """Serve the archive over HTTP and file into it what the journal holds, until Ctrl-C.

    What is not said here, the configuration says. Examples:

    `beamstream serve`

    `beamstream serve --archive /data/archive --port 0 --anonymous`
    """
    from beamstream.archive.server import ArchiveServer
    from beamstream.config import Archive, load

    config = load()
    said = {
        "host": host,
        "port": port,
        "anonymous_read": anonymous,
        "directory": archive and archive.absolute(),
    }
    settings = checked(
        Archive, config.archive.model_dump() | {k: v for k, v in said.items() if v is not None}
    )
    more = [] if archive else [config.recording.directory]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a request otherwise
    server = ArchiveServer(
        settings.directory,
        recordings=[*more, *(recordings or [])],
        host=settings.host,
        port=settings.port,
        anonymous=settings.anonymous_read,
    )
    layout = Layout(chosen_archive(archive, config))
    threading.Thread(
        target=_announce,
        args=(server, layout, settings.anonymous_read, as_json),
        daemon=True,
        name="announce",
    ).start()
    server.serve()
