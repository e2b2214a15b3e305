"""Reading an archive from Python: a tiled client, lists of runs, databroker's Broker."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beamstream.archive.address import server_and_key
from beamstream.archive.layout import Layout
from beamstream.archive.process import ask
from beamstream.errors import ArchiveError
from beamstream.network.address import KEY_VARIABLE, Address, warn_unencrypted
from beamstream.network.tls import client_context

if TYPE_CHECKING:
    from bluesky_tiled_plugins.clients.catalog_of_bluesky_runs import CatalogOfBlueskyRuns
    from databroker import Broker  # pyright: ignore[reportAttributeAccessIssue]


def connect(where: str | os.PathLike[str], *, key: str | None = None, certificate: str = "") -> "CatalogOfBlueskyRuns":
    """Return a tiled client of an archive: ``connect("archive")[-1]["primary/cam_image"].read()``.

    Parameters
    ----------
    where : str or Path
        An archive directory on this machine, or ``http://host:port``.
    key : str, optional
        Without it: ``BEAMSTREAM_API_KEY`` from the environment, then the key file if `where` is a directory
        and the file can be read, then none at all.
    certificate : str
        File of the certificate that the server shows; of a directory's server it is known. Otherwise authorities
        decide, those of ``SSL_CERT_FILE`` or the system's.

    Raises
    ------
    ArchiveError
        Nobody serves it, or the key is refused.
    """
    layout, server, key = _find(where, key, certificate)
    url = server.url
    status = ask(server, "/api/v1/metadata/", key, timeout=5.0)  # tiled's client would try for 45 s
    if status is None:
        raise ArchiveError(f"archive: nothing answers at {url}; is `beamstream serve` running?")
    if status in (401, 403):
        given = "the key given is wrong" if key else "no key was given"
        raise ArchiveError(f"archive: {url}: {given}; set {KEY_VARIABLE} or read <archive>/api_key")
    if status != 200:
        raise ArchiveError(f"archive: {url} answers {status}; is it an archive?")
    import dask.config

    dask.config.set({"dataframe.convert-string": False})  # dask makes text of arrays in a column, and loses digits
    if layout is not None:
        from beamstream.archive.proved_client import client_of

        return client_of(layout.address, server, key)
    from tiled.client import from_uri

    from beamstream.archive.client_classes import ClientClasses

    verify: Any = client_context(certificate) or True
    classes: Any = ClientClasses.of_arrays()
    return from_uri(f"{url}/api/v1", classes, api_key=key, verify=verify)  # pyright: ignore[reportReturnType]


def broker(where: str | os.PathLike[str], *, key: str | None = None) -> "Broker":
    """Return databroker's Broker of an archive, for code that knows ``b[-1].table(fill=True)``.

    Parameters
    ----------
    where, key
        See `connect`.

    Raises
    ------
    ArchiveError
        See `connect`.
    """
    from databroker import Broker  # pyright: ignore[reportAttributeAccessIssue]

    return Broker(connect(where, key=key))  # pyright: ignore[reportCallIssue]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line about a run.

    Parameters
    ----------
    uid : str
    scan_id : int or None
    plan_name : str
    time : float
        Start, s since 1970-01-01 UTC.
    duration : float or None
        s; None while the run is open.
    exit_status : str
        ``"success"``, ``"fail"``, ``"abort"``, or ``"open"`` while there is no stop document.
    reason : str
    num_events : dict
        Events (or frames) by stream.
    received, recorded, lost : int or None
        Frames, all detectors together; None when the run kept no ledger.
    ledger : dict
        The same by detector.
    recovered : bool
        Whether `beamstream recover` closed it.
    """

    uid: str
    scan_id: int | None
    plan_name: str
    time: float
    duration: float | None
    exit_status: str
    reason: str = ""
    num_events: dict[str, int] = field(default_factory=dict)
    received: int | None = None
    recorded: int | None = None
    lost: int | None = None
    ledger: dict[str, dict[str, Any]] = field(default_factory=dict)
    recovered: bool = False

    @property
    def frames(self) -> int | None:
        """Frames on disk: what the ledger says, else the events of the primary stream."""
        return self.recorded if self.recorded is not None else self.num_events.get("primary")


def run_summary(metadata: Any) -> RunSummary:
    """Return the summary of a run from its node's metadata (``client[uid].metadata``)."""
    start, stop, ledger = metadata.get("start", {}), metadata.get("stop") or {}, metadata.get("ledger", {})
    return RunSummary(
        uid=start.get("uid", ""),
        scan_id=start.get("scan_id"),
        plan_name=start.get("plan_name", ""),
        time=start.get("time", 0.0),
        duration=stop["time"] - start["time"] if stop else None,
        exit_status=stop.get("exit_status", "open"),
        reason=stop.get("reason") or metadata.get("refused", ""),
        num_events=dict(stop.get("num_events", {})),
        received=_total(ledger, "received"),
        recorded=_total(ledger, "recorded"),
        lost=metadata.get("lost"),
        ledger={name: dict(account) for name, account in ledger.items()},
        recovered="beamstream_recovered" in stop,
    )


def list_runs(
    client: Any,
    *,
    limit: int = 20,
    plan_name: str | None = None,
    since: float | None = None,
    lossy: bool = False,
    text: str | None = None,
) -> Iterator[RunSummary]:
    """Yield the runs of an archive, newest first.

    Parameters
    ----------
    client : tiled client
        From `connect`.
    limit : int
        At most so many.
    plan_name : str, optional
        Of this plan only.
    since : float, optional
        Started since then, s since 1970-01-01 UTC.
    lossy : bool
        Only those that lost frames.
    text : str, optional
        Only those whose metadata contains these words.
    """
    from tiled.client.container import Container
    from tiled.queries import Comparison, Eq, FullText, SpecsQuery

    # the catalogue's own search() would look for "start.lost", and not for the specs of nodes
    client = Container.search(client, SpecsQuery(include=["BlueskyRun"], exclude=[]))  # others may write arrays there
    if plan_name is not None:
        client = client.search(Eq("start.plan_name", plan_name))
    if since is not None:
        client = client.search(Comparison("ge", "start.time", since))
    if lossy:
        client = Container.search(client, Comparison("gt", "lost", 0))
    if text is not None:
        client = client.search(FullText(text))
    newest = client.sort(("start.time", -1))
    for run in newest.values().head(limit):
        yield run_summary(run.metadata)


def wait_for_run(client: Any, uid: str, timeout: float = 30.0) -> RunSummary:
    """Return the summary of a run as soon as all of it is in the catalogue.

    Raises
    ------
    ArchiveError
        It is not there, or not all of it, within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            summary = run_summary(client[uid].metadata)
        except KeyError:
            summary = None
        if summary is not None and summary.exit_status != "open":
            return summary
        if time.monotonic() > deadline:
            state = "not there" if summary is None else "still open"
            raise ArchiveError(f"archive: run {uid} is {state} after {timeout} s; is the feeder running?")
        time.sleep(0.05)


def _find(
    where: str | os.PathLike[str], key: str | None, certificate: str
) -> tuple[Layout | None, Address, str | None]:
    """Return the archive, None where a URL was given, which whoever gave it trusts; where it is served; the key."""
    if str(where).startswith(("http://", "https://")):
        key = key or os.environ.get(KEY_VARIABLE)
        warn_unencrypted(str(where), key)
        return None, Address(str(where).rstrip("/"), 0, certificate=certificate), key
    layout = Layout(Path(where))
    return layout, *server_and_key(layout, key)


def _total(ledger: Any, what: str) -> int | None:
    numbers = [account[what] for account in ledger.values() if what in account]
    return sum(numbers) if numbers else None
