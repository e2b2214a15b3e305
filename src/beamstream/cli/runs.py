"""`beamstream runs`: what the archive holds, asked over HTTP."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from beamstream.cli.archive import Archive, at_least, chosen_archive, equal, summary
from beamstream.cli.console import out, print_json, table
from beamstream.cli.curl import print_lines, run_lines
from beamstream.terminal import Terminal

if TYPE_CHECKING:
    from beamstream.archive.catalog import RunSummary

app = typer.Typer(no_args_is_help=True, help="List and show the runs of an archive.", rich_markup_mode="markdown")

Where = Annotated[str | None, typer.Option("--archive", metavar="DIR|URL", help="Its directory or http://host:port.")]
Directory = Annotated[Path | None, typer.Option("--archive", metavar="DIR", help="Archive directory.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_COLOURS = {"success": "", "fail": "red", "abort": "yellow", "open": "cyan"}


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most so many.")] = 20,
    plan: Annotated[str | None, typer.Option(help="Of this plan only.")] = None,
    days: Annotated[float | None, typer.Option(min=0, help="Of the last days only.")] = None,
    lossy: Annotated[bool, typer.Option("--lossy", help="Only those that lost frames.")] = False,
    text: Annotated[str | None, typer.Option(help="Only those whose metadata has these words.")] = None,
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first.

    Examples:

    `beamstream runs list`

    `beamstream runs list --plan record --days 1 --lossy --json`
    """
    filters: dict[str, Any] = {}
    if plan is not None:
        filters |= equal("start.plan_name", plan)
    if days is not None:
        filters |= at_least("start.time", time.time() - days * 86400)
    if lossy:
        for key, value in at_least("lost", 1).items():
            filters[key] = [filters[key], value] if key in filters else value
    if text is not None:
        filters["filter[fulltext][condition][text]"] = text
    with Archive(_where(where)) as archive:
        found = [summary(node) for node in archive.search(filters, limit=limit)]
    if as_json:
        print_json([asdict(run) | {"frames": run.frames} for run in found])
    elif not found:
        out().print("no run")
    else:
        _show_list(found)


@app.command()
def refused(archive: Directory = None, as_json: AsJson = False) -> None:
    """List what the archive could not file, or what ended it, and why; it is kept, and can be tried again.

    Examples:

    `beamstream runs refused --archive data`
    """
    from beamstream.archive.layout import Layout
    from beamstream.archive.refused import refused_items

    items = refused_items(Layout(chosen_archive(archive)))
    if as_json:
        print_json([asdict(item) for item in items])
    elif not items:
        out().print("nothing is refused")
    else:
        made = table("run", "processes ended", "reason", right=("processes ended",))
        for item in items:
            made.add_row(item.uid, str(item.ended), item.reason)
        out().print(made)


@app.command()
def retry(
    run: Annotated[str, typer.Argument(metavar="UID", help="As `beamstream runs refused` lists it.")],
    archive: Directory = None,
) -> None:
    """Have a refused run or upload tried again, by whoever serves the archive or will.

    Examples:

    `beamstream runs retry 3f9a4c1e-0d0b-4c7a-9d35-7e7c1f0a2b11 --archive data`
    """
    from beamstream.archive.layout import Layout
    from beamstream.archive.refused import retry as again

    again(Layout(chosen_archive(archive)), run)
    out().print(f"{run} is tried again")


@app.command(context_settings={"ignore_unknown_options": True})
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="uid, its beginning, scan id, or -1: the newest.")] = "-1",
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Save a frame as PNG.")] = None,
    frame: Annotated[int, typer.Option(min=0, help="Which frame.")] = 0,
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Show one run: metadata, streams, ledger, and how to fetch it.

    Examples:

    `beamstream runs show -1`

    `beamstream runs show 3f9a --png frame.png --frame 17`
    """
    with Archive(_where(where)) as archive:
        node = archive.find(run)
        uid = node["id"]
        streams = _streams(archive, uid)
        found = ((f"{s}/{key}", a) for s, keys in streams.items() for key, a in keys.items() if _is_image(key, a))
        image, about = next(found, (None, {"shape": ()}))
        plane = _plane(about["shape"])
        if png is not None:
            save_png(archive, uid, image, frame, png, plane)
        lines = run_lines(archive.url, archive.key_file, uid, image, plane=plane)
        if as_json:
            print_json(
                asdict(summary(node)) | {"metadata": node["attributes"]["metadata"], "streams": streams, "curl": lines}
            )
            return
    _show(out(), summary(node), node["attributes"]["metadata"], streams, lines)
    if png is not None:
        out().print(f"frame {frame} is in {png}")


def save_png(archive: Archive, uid: str, image: str | None, frame: int, path: Path, plane: str = "") -> None:
    """Fetch one frame, or a plane of it, as the server draws it, scaled to 8 bit, into a file.

    Raises
    ------
    ArchiveError
        The run has no images, or not so many.
    """
    from beamstream.errors import ArchiveError

    if image is None:
        raise ArchiveError(f"archive: a PNG of run {uid} asked for, it has no images")
    data = archive.get(f"/array/full/{uid}/{quote(image)}", slice=f"{frame}{plane}", format="image/png").content
    path.write_bytes(data)


def _where(asked: str | None) -> Path | str:
    if asked is not None and asked.startswith(("http://", "https://")):
        return asked
    return chosen_archive(asked)


def _streams(archive: Archive, uid: str) -> dict[str, dict[str, Any]]:
    """Return shape and dtype of every array, and the columns of tables, by stream."""
    streams: dict[str, dict[str, Any]] = {}
    for stream in archive.get(f"/search/{uid}", **{"page[limit]": 100}).json()["data"]:
        children = archive.get(f"/search/{uid}/{quote(stream['id'], safe='')}", **{"page[limit]": 300}).json()["data"]
        streams[stream["id"]] = {child["id"]: _structure(child["attributes"]) for child in children}
    return streams


def _structure(attributes: dict[str, Any]) -> dict[str, Any]:
    structure = attributes["structure"]
    if attributes["structure_family"] == "array":
        kind = structure["data_type"]
        order = {"little": "<", "big": ">"}.get(kind["endianness"], "|")
        return {"shape": structure["shape"], "dtype": f"{order}{kind['kind']}{kind['itemsize']}"}
    return {"columns": structure.get("columns", [])}


def _is_image(key: str, about: dict[str, Any]) -> bool:
    axes = len(about.get("shape", ()))
    return axes >= 3 or (axes == 2 and key.endswith("_image"))  # a trace


def _plane(shape: Sequence[int]) -> str:
    """Return what chooses the plane in the middle, behind a frame's number in a slice; nothing of an image."""
    ahead = () if len(shape) == 4 and shape[3] == 3 else shape[1:-2]
    return "".join(f",{size // 2}" for size in ahead)


def _show_list(found: "list[RunSummary]") -> None:
    made = table("time", "run", "scan", "plan", "frames", "lost", "s", "status", right=("scan", "frames", "lost", "s"))
    for run in found:
        lost = "" if run.lost is None else str(run.lost)
        frames = "" if run.frames is None else str(run.frames)
        status = run.exit_status + (" (recovered)" if run.recovered else "")
        duration = "" if run.duration is None else f"{run.duration:.1f}"
        made.add_row(_local(run.time), run.uid[:8], _number(run.scan_id), run.plan_name, frames, lost, duration, status,
                     style="yellow" if run.lost else _COLOURS.get(run.exit_status, ""))  # fmt: skip
    out().print(made)


def _show(
    console: Terminal,
    run: "RunSummary",
    metadata: dict[str, Any],
    streams: dict[str, dict[str, Any]],
    lines: dict[str, str],
) -> None:
    about_it = f"  scan {_number(run.scan_id)}  {run.plan_name}  {_local(run.time)}  {run.exit_status}"
    console.print(Text.assemble((run.uid, "bold"), about_it))
    if run.reason:
        console.print(f"reason: {run.reason}", style="yellow")
    about = table("metadata", "")
    for key, value in metadata.get("start", {}).items():
        if key not in ("uid", "scan_id", "plan_name", "time"):
            about.add_row(key, str(value))
    console.print(about)
    arrays = table("stream", "key", "shape", "dtype")
    for stream, keys in streams.items():
        for key, array in keys.items():
            shape = " × ".join(map(str, array["shape"])) if "shape" in array else "table"
            arrays.add_row(stream, key, shape, array.get("dtype", f"{len(array.get('columns', []))} columns"))
    console.print(arrays)
    if run.ledger:
        from beamstream.callbacks.ledger_table import ledger_table

        console.print(ledger_table(run.ledger))
    print_lines(console, lines)


def _number(scan_id: int | None) -> str:
    return "-" if scan_id is None else str(scan_id)


def _local(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
