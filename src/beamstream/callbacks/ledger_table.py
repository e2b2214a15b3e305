"""Show at the end of each run what was received, recorded and lost."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from event_model import DocumentRouter
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from beamstream.file_uri import path_of
from beamstream.ledger import COLUMNS, from_event
from beamstream.terminal import Terminal

if TYPE_CHECKING:
    from event_model import Event, EventDescriptor, RunStart, RunStop, StreamResource

STREAM = "ledger"
CALLBACKS = "callbacks"
_MOST_GAPS = 5
_SHORT = 2.0  # s; the rate of a shorter run would mostly measure how long arming takes
_BAD = {"lost": "bold red", "malformed": "bold red", "restarts": "bold red", "repeated": "yellow"}
_ORDER = ("recorded", "lost", *(c for c in COLUMNS if c not in ("recorded", "lost")))


def ledger_table(
    ledgers: Mapping[str, Mapping[str, Any]],
    *,
    title: str | Text | None = None,
    files: Mapping[str, str] | None = None,
    rates: Mapping[str, float] | None = None,
    callbacks: Mapping[str, Mapping[str, Any]] | None = None,
) -> RenderableType:
    """Return the accounts of a run for `rich` to print, with ``crop=False``: paths stay in one piece.

    Parameters
    ----------
    ledgers : dict
        By detector, as `beamstream.ledger.from_event` and `beamstream.archive.catalog.RunSummary.ledger` have
        them; ``gaps`` is JSON or a list of {after, missing, place}.
    title : str, optional
    files : dict, optional
        Recorded file by detector.
    rates : dict, optional
        Frames/s by detector.
    callbacks : dict, optional
        What callbacks did, by name: ``frames``, ``undone``, ``failed``, ``error``.
    """
    table = Table(title=title, title_justify="left", title_style="", box=None, pad_edge=False)
    table.padding = (0, 1, 0, 0)  # nine columns fit into 80 characters
    table.add_column("detector", overflow="fold")
    for column in (*_ORDER, *(["frames/s"] if rates else [])):
        table.add_column(column, justify="right")
    for detector, ledger in ledgers.items():
        cells = [_cell(column, ledger.get(column)) for column in _ORDER]
        if rates:
            cells.append(Text(f"{rates[detector]:.1f}" if detector in rates else ""))
        table.add_row(Text(detector), *cells)
    gaps = [line for detector, ledger in ledgers.items() for line in _gaps(detector, ledger.get("gaps"))]
    where = [_line(f"{detector}: {path}", "dim") for detector, path in (files or {}).items()]
    worked = [line for name, account in (callbacks or {}).items() if (line := _worked(name, account)) is not None]
    return Group(table, *gaps, *where, *worked)


def _cell(column: str, value: Any) -> Text:
    if value is None:
        return Text("?", "yellow")
    style = _BAD.get(column, "") if value else "green" if column == "lost" else ""
    return Text(str(value), style)


def _gaps(detector: str, gaps: Any) -> Iterator[Text]:
    gaps = json.loads(gaps) if isinstance(gaps, str) else gaps or []
    for gap in gaps[:_MOST_GAPS]:
        where = f"{gap['missing']} missing after unique_id {gap['after']} ({gap['place']})"
        yield _line(f"{detector}: {where}", "red")
    if len(gaps) > _MOST_GAPS:
        more = gaps[_MOST_GAPS:]
        missing = sum(gap["missing"] for gap in more)
        yield _line(f"{detector}: and {len(more)} more gaps, {missing} missing in them", "red")


def _worked(name: str, account: Mapping[str, Any]) -> Text | None:
    """Return a line on what a callback did; None where that is nothing that counts."""
    words = [f"{account[key]} {key}" for key in ("frames", "drawn", "dropped", "uploaded", "backlog") if key in account]
    missing = [f"{account[key]} {key}" for key in ("undone", "failed") if account.get(key)]
    error = account.get("error", "")
    if not (words or missing or error):
        return None
    text = f"{name}: {', '.join(words + missing)}{': ' if words and error else ''}{error}"
    return _line(text, "red" if missing or error else "dim")


def _by_callback(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read the accounts out of the event of the stream ``callbacks``, where something was done or went wrong."""
    accounts: dict[str, dict[str, Any]] = {}
    for key, value in data.items():
        name, _, column = key.rpartition("_")
        accounts.setdefault(name, {})[column] = value
    return {name: account for name, account in accounts.items() if any(account.values())}


def _line(text: str, style: str) -> Text:
    return Text(text, style, no_wrap=True, overflow="ignore")  # a path that is broken cannot be copied


@dataclass(slots=True)
class _Run:
    start: "RunStart"
    ledgers: dict[str, dict[str, Any]] = field(default_factory=dict)
    resources: dict[str, str] = field(default_factory=dict)  # file by data key
    streams: dict[str, str] = field(default_factory=dict)  # name by descriptor uid
    callbacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    begun: float | None = None
    ended: float = 0.0

    def files(self) -> dict[str, str]:
        """Return the file of each detector; its data keys begin with its name."""
        found: dict[str, str] = {}
        for key, path in self.resources.items():
            names = [name for name in self.ledgers if key.startswith(f"{name}_")]
            if names:
                found.setdefault(max(names, key=len), path)
        return found

    def rates(self) -> dict[str, float]:
        """Return frames/s from the descriptor, just before the first frame, to the account after the last."""
        seconds = self.ended - self.begun if self.begun is not None else 0.0
        recorded = {name: ledger.get("recorded") or 0 for name, ledger in self.ledgers.items()}
        return {name: n / seconds for name, n in recorded.items() if seconds > _SHORT}


class LedgerTable(DocumentRouter):
    """Print a table when a run with a ledger ends: recorded, lost and where, the file, the rate.

    A callback: ``RE.subscribe(LedgerTable())``. Optional: wrap it in bluesky's `make_callback_safe`. Runs that
    kept no ledger print nothing. It knows only documents, so it works on those of a journal as well.

    Parameters
    ----------
    print : callable, optional
        Takes what is to be shown; default standard output, with colours on a terminal only.
    """

    def __init__(self, print: Callable[[RenderableType], object] | None = None) -> None:
        super().__init__()
        self._print = print or _to_standard_output
        self._runs: dict[str, _Run] = {}

    def start(self, doc: "RunStart") -> None:
        """Begin to gather what belongs to a run."""
        self._runs[doc["uid"]] = _Run(doc)

    def descriptor(self, doc: "EventDescriptor") -> None:
        """Learn which events are accounts, and when frames began to come."""
        run = self._runs.get(doc["run_start"])
        if run is None:
            return
        run.streams[doc["uid"]] = doc.get("name", "")
        if run.begun is None and doc.get("name") != STREAM:
            run.begun = doc["time"]

    def event(self, doc: "Event") -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take the account."""
        for run in self._runs.values():
            if run.streams.get(doc["descriptor"]) == STREAM:
                run.ledgers |= from_event(doc["data"])
                run.ended = doc["time"]
            elif run.streams.get(doc["descriptor"]) == CALLBACKS:
                run.callbacks = _by_callback(doc["data"])

    def stream_resource(self, doc: "StreamResource") -> None:
        """Learn where a detector records."""
        run = self._runs.get(doc.get("run_start", ""))
        if run is not None:
            run.resources[doc["data_key"]] = str(path_of(doc["uri"]))

    def stop(self, doc: "RunStop") -> None:
        """Print the table."""
        run = self._runs.pop(doc["run_start"], None)
        if run is not None and run.ledgers:
            title, files = _title(run, doc), run.files()
            self._print(ledger_table(run.ledgers, title=title, files=files, rates=run.rates(), callbacks=run.callbacks))


def _title(run: _Run, stop: "RunStop") -> Text:
    number = run.start.get("scan_id")
    title = Text(f"run {number} " if number is not None else "run ", "bold")
    title.append(f"{run.start.get('plan_name', '')} {run.start['uid'][:8]} ", "not bold")
    title.append(stop["exit_status"], "green" if stop["exit_status"] == "success" else "bold red")
    if stop.get("reason"):
        title.append(f": {stop['reason']}", "red")  # pyright: ignore[reportTypedDictNotRequiredAccess]
    return title


def _to_standard_output(shown: RenderableType) -> None:
    console = Terminal()  # made now: standard output may be another one than at the start
    console.print(shown, crop=False)
