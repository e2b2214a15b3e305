"""The archive: served, its key private, its journal empty, its port free."""

from collections.abc import Iterator

from beamstream.archive.address import find_server, listen, published_address
from beamstream.archive.documents import is_complete
from beamstream.archive.layout import Layout, read_key
from beamstream.cli.checks.finding import Finding, fail, ok, warn
from beamstream.config import Config
from beamstream.errors import ArchiveError
from beamstream.locks import is_locked

_BACKLOG = 20  # runs that wait while a server is up


def archive(config: Config) -> Iterator[Finding]:
    """Look at server, port, key and journal of the configuration's archive."""
    layout = Layout(config.archive.directory)
    served = _server(layout)
    yield served or _port(config)
    yield _key(layout)
    if layout.directory.is_dir() and (words := layout.open_to_others.removeprefix("archive: ")):
        text, _, advice = words.partition("; ")
        yield warn("access", text, advice)
    if layout.journal.is_dir():
        yield from _journal(layout, served is not None)
    else:
        yield ok("journal", f"{layout.directory} is new: no run yet")


def _server(layout: Layout) -> Finding | None:
    """Say how it is served; None when it is not."""
    try:
        address = published_address(layout)
    except ArchiveError:
        return None
    try:
        find_server(layout, timeout=3.0)
    except ArchiveError as error:
        text, _, advice = str(error).removeprefix("archive: ").rpartition("; ")
        return fail("archive", text, advice)
    return ok("archive", f"{layout.directory} is served at {address.url}")


def _port(config: Config) -> Finding:
    settings = config.archive
    try:
        listen(settings.host, settings.port).close()
    except ArchiveError as error:
        text, _, advice = str(error).partition("; ")
        return fail("archive", text, f"{advice}: [archive] port")
    port = settings.port or "a free port"
    text = f"nobody serves {settings.directory}; {settings.host}:{port} can be listened on"
    return warn("archive", text, "a session starts it, or: beamstream serve")


def _key(layout: Layout) -> Finding:
    if not layout.key.exists():
        return ok("key", f"{layout.key} is made at the first start")
    try:
        read_key(layout.key)
    except ArchiveError as error:
        text, _, advice = str(error).partition("; ")
        return fail("key", text, advice)
    return ok("key", f"{layout.key}, mode 600")


def _journal(layout: Layout, served: bool) -> Iterator[Finding]:
    open_, broken, waiting = [], [], []
    for path in layout.journal.glob("*.jsonl"):
        (waiting if is_complete(path) else open_ if is_locked(path) else broken).append(path.stem[:8])
    if broken:
        yield warn("journal", f"{len(broken)} interrupted runs: {', '.join(broken[:5])}", "beamstream recover")
    text = f"{len(open_)} runs open, {len(waiting)} wait to be filed"
    if served and len(waiting) > _BACKLOG:
        yield warn("journal", text, f"the server is behind; see {layout.directory}/server.log")
    else:
        yield ok("journal", text)
    refused = sorted((layout.journal / "refused").glob("*.txt"))
    if refused:
        reason = refused[-1].read_text(errors="replace").strip().splitlines()
        text = f"{len(refused)} runs were refused, {refused[-1].stem[:8]}: {reason[0][:100] if reason else ''}"
        yield warn("journal", text, f"their documents are in {layout.journal / 'refused'}, their frames are recorded")
