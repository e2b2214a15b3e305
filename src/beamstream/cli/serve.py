"""`beamstream serve`: the archive over HTTP, in the foreground."""

import contextlib
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beamstream.cli import ending
from beamstream.cli.console import out, print_json_line
from beamstream.cli.curl import search_line

if TYPE_CHECKING:
    from beamstream.archive.server import ArchiveServer
    from beamstream.cli.ingest import Ingesting
    from beamstream.config import Config
    from beamstream.instrument.page import KeptPage
    from beamstream.rheed.keeper import Keeper


def serve(
    archive: Annotated[Path | None, typer.Option(metavar="DIR", help="Archive directory; made if missing.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 for the whole network.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    anonymous: Annotated[
        bool | None, typer.Option("--anonymous/--key", help="Whether readers need no key (on loopback only).")
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name that clients use for the server; repeat it."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of users who may read and write the archive's files too.")
    ] = None,
    recordings: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Serve recorded files of this directory too; repeat it."),
    ] = None,
    ingest: Annotated[
        bool | None, typer.Option("--ingest/--no-ingest", help="Take RHEED uploads as well, as the cloud does.")
    ] = None,
    ingest_port: Annotated[
        int | None, typer.Option(metavar="PORT", min=0, max=65535, help="Take them there; 0 takes a free port.")
    ] = None,
    live: Annotated[bool | None, typer.Option("--live/--no-live", help="Show streams and runs in browsers.")] = None,
    live_port: Annotated[
        int | None, typer.Option(metavar="PORT", min=0, max=65535, help="Show them there; 0 takes a free port.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM: the certificate to show; archive, ingest, page use TLS.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="PEM: its key, mode 600.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON when requests are answered.")] = False,
) -> None:
    """Serve the archive over HTTP and file into it what the journal holds, until Ctrl-C.

    What is not said here, the configuration says. Examples:

    `beamstream serve`

    `beamstream serve --archive /data/archive --port 0 --anonymous`

    `beamstream serve --ingest`

    `beamstream serve --live-port 0`

    `beamstream serve --host 0.0.0.0 --tls-cert beam.pem --tls-key beam.key`
    """
    from beamstream.archive.server import ArchiveServer
    from beamstream.cli.checked import checked
    from beamstream.cli.ingest import wanted
    from beamstream.cli.sources import recorded_into
    from beamstream.config import Archive, load
    from beamstream.logs import log_as_service
    from beamstream.network.tls import certificate

    config = load()
    said = {
        "host": host,
        "tls_cert": tls_cert and tls_cert.absolute(),
        "tls_key": tls_key and tls_key.absolute(),
        "port": port,
        "anonymous_read": anonymous,
        "directory": archive and archive.absolute(),
        "group": group,
    }
    settings = checked(Archive, config.archive.model_dump() | {k: v for k, v in said.items() if v is not None})
    more = [] if archive else [config.recording.directory]
    log_as_service(logging.INFO)
    for chatty in ("httpx", "alembic", "numexpr"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    tls = certificate(settings.tls_cert, settings.tls_key)
    server = ArchiveServer(
        settings.directory,
        recordings=[*more, *(recordings or [])],
        host=settings.host,
        port=settings.port,
        anonymous=settings.anonymous_read,
        allowed_hosts=[*settings.allowed_hosts, *(allowed_host or [])],
        tls=tls,
        group=settings.group,
    )
    server.layout.prepare(settings.group)  # before others make it for what they keep in it
    uploads = wanted(config.ingest, settings.directory, ingest, ingest_port, tls)
    config = config.model_copy(update={"archive": settings})
    page = _page(recorded_into(config, archive), live, live_port)
    with uploads or contextlib.nullcontext(), page or contextlib.nullcontext():
        ended = threading.Event()
        announcer = threading.Thread(
            target=_announce, args=(server, uploads, page, ended, settings.anonymous_read, as_json)
        )
        announcer.start()
        try:
            server.serve()
        finally:
            ending.over()
            ended.set()
            announcer.join()


def _page(config: "Config", asked: bool | None, port: int | None) -> "KeptPage | None":
    """Return what shows the streams of the configuration; None where nobody wants it.

    To ask for a port is to want it.
    """
    if not (asked if asked is not None else config.live.enabled or port is not None):
        return None
    from beamstream.config import apply_environment
    from beamstream.instrument.page import KeptPage

    apply_environment(config)
    return KeptPage(config, port=port)


def _announce(
    server: "ArchiveServer",
    uploads: "Ingesting | None",
    page: "KeptPage | None",
    ended: threading.Event,
    anonymous: bool,
    as_json: bool,
) -> None:
    """Say where the archive is, as soon as it answers."""
    from beamstream.archive.process import is_up

    while not (server.url and is_up(server.url, certificate=server.certificate) and (page is None or page.wait(0.0))):
        if ended.wait(0.05):
            return
    take_up_uploads(server.layout.directory)
    key = None if anonymous else server.layout.key
    if as_json:
        line = {"ready": True, "url": server.url, "archive": str(server.layout.directory), "key_file": key}
        if uploads is not None:
            line["ingest"] = {"url": uploads.url, "key_file": uploads.key_file}
        if page is not None:
            line["page"] = {"url": page.address and page.address.url, "key_file": page.key_file, "words": page.words}
        print_json_line(line)
        return
    console = out()
    console.print(f"archive  {server.layout.directory}")
    console.print(f"serving  {server.url}  (in a browser: {server.url}/ui)")
    console.print(f"key      {server.layout.key}{'  (readers need none)' if anonymous else ''}")
    if page is not None and page.address is not None:
        console.print(f"page     {page.address.url}  (streams and runs, live; key {page.key_file})")
    elif page is not None:
        console.print(f"page     none: {page.words}", style="yellow")
    console.print(f"         {server.url}/uploads  (how far uploads are)")
    if uploads is not None:
        console.print(f"uploads  {uploads.url}  (key {uploads.key_file})")
    console.print(f"try      {search_line(server.url, key)}")
    console.print("Ctrl-C ends it; what is not filed by then waits in the journal.")


def take_up_uploads(archive: Path) -> "Keeper | None":
    """See to uploads that are not done and that nobody works on, as long as this command runs."""
    if not (archive / "uploads").is_dir():
        return None
    from beamstream.rheed.keeper import Keeper

    keeper = Keeper()
    keeper.resume(archive / "uploads")
    return keeper
