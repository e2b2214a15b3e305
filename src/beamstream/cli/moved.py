"""`beamstream archive moved`: recordings were moved to another directory or disk, and are found there."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beamstream.cli.archive import chosen_archive
from beamstream.cli.console import LOST_AND_MARKED, err, out, print_json, progress

if TYPE_CHECKING:
    from beamstream.archive.moved import Moved

_MOST_NAMED = 5  # files

app = typer.Typer(no_args_is_help=True, help="See to the archive as a whole.")


@app.callback()
def archive() -> None:
    """See to the archive as a whole; to look into it: `beamstream runs`."""


@app.command()
def moved(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="Where recordings were.")],
    target: Annotated[Path, typer.Argument(metavar="TO", help="Where they are now.")],
    archive: Annotated[
        Path | None, typer.Option("--archive", metavar="DIR", help="Archive directory; otherwise the configuration's.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Find out what would change, and change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Have the archive find recordings in the directory that they were moved to.

    An archive that was moved or copied as a whole, with the recordings in it, needs nothing: it opens where it is.
    This is for recordings that lie elsewhere. The server has to be stopped; no recording is touched. Files that are
    not at the new place are read at the old one; where they are at neither they are named, and the exit status is 3.
    Examples:

    `beamstream archive moved /ssd/recordings /mnt/big/recordings --dry-run`

    `beamstream archive moved /ssd/recordings /mnt/big/recordings --archive data`
    """
    from beamstream.archive.layout import Layout
    from beamstream.archive.moved import moved as move

    layout = Layout(chosen_archive(archive))
    with progress(None, "files") as bar:
        result = move(layout, source, target, dry_run=dry_run, progress=bar.at)
    if as_json:
        print_json(asdict(result))
    else:
        _show(result, layout.directory)
    if result.missing:
        raise typer.Exit(LOST_AND_MARKED)


def _show(result: "Moved", archive: Path) -> None:
    would = "would be" if result.dry_run else "are"
    console = out()
    console.print(f"archive  {archive}")
    console.print(f"files    {result.found} {would} named at {result.target}; {result.waiting} runs not filed yet")
    if result.left:
        console.print(f"left     {result.left} at {result.source}, read there")
    if result.missing:
        console.print(f"missing  {len(result.missing)}, at neither place:", style="yellow")
        for uri in result.missing[:_MOST_NAMED]:
            console.print(f"         {uri}")
    if not (result.found or result.waiting or result.left or result.missing):
        err().print(f"beamstream: no run names a file in {result.source}", style="yellow")
    console.print(f"next     serve it: beamstream serve --archive {archive} --recordings {result.target}")
