"""`beamstream recover`: close the runs that a killed session left open."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group

from beamstream.cli.archive import chosen_archive
from beamstream.cli.console import out, print_json, table

if TYPE_CHECKING:
    from beamstream.archive.recovery import Recovered

_COLOURS = {"closed": "green", "alive": "yellow", "damaged": "red"}


def recover(
    archive: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Archive directory; otherwise the configuration's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list as JSON.")] = False,
) -> None:
    """Close interrupted runs, with every frame that reached the disk.

    Runs whose session still lives are left alone; doing it twice does no harm. Exit status 1 if a journal is
    damaged. Examples:

    `beamstream recover`

    `beamstream recover --archive data --json`
    """
    from beamstream.archive.layout import Layout
    from beamstream.archive.recovery import recover as close

    directory = chosen_archive(archive)
    runs = close(Layout(directory).journal)
    if as_json:
        print_json([asdict(run) for run in runs])
    else:
        _show(runs, directory)
    raise typer.Exit(int(any(run.outcome == "damaged" for run in runs)))


def _show(runs: "list[Recovered]", directory: Path) -> None:
    console = out()
    if not runs:
        console.print(f"no interrupted run in {directory}")
        return
    made = table("run", "outcome", "frames added", "events", "files", "notes", right=("frames added",))
    for run in runs:
        added = max(run.frames_added.values(), default=0)
        events = ", ".join(f"{stream} {number}" for stream, number in run.num_events.items())
        cut = [f"{run.bytes_cut} bytes of a half line cut"] if run.bytes_cut else []
        files = Group(*map(str, run.files))
        made.add_row(run.uid, run.outcome, str(added), events, files, "; ".join([*cut, *run.notes]),
                     style=_COLOURS[run.outcome])  # fmt: skip
    console.print(made)
