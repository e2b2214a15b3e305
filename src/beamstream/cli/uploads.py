"""`beamstream upload` and `beamstream uploads`: recorded runs to a service that takes RHEED, and how far that is."""

import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beamstream.cli.console import INTERRUPTED, LOST_AND_MARKED, err, out, print_json, progress, table

if TYPE_CHECKING:
    from rich.table import Table

    from beamstream.rheed.job import JobDirectory

_LOOK = 0.2  # s
_COLOURS = {"done": "green", "failed": "bold red", "refused": "red", "offline": "yellow"}

Where = Annotated[Path | None, typer.Option("--archive", metavar="DIR", help="Otherwise the configuration's.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def upload(
    run: Annotated[str, typer.Argument(metavar="RUN", help="uid, its beginning, scan id, or -1: the newest.")],
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="http://host:port, or `atomscale`; else the own ingest.")
    ] = None,
    key_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Holds the key, mode 600.")] = None,
    detector: Annotated[list[str] | None, typer.Option(help="Of this detector; repeat it. Otherwise all.")] = None,
    stream: Annotated[str | None, typer.Option(help="What was derived in the run, instead of raw frames.")] = None,
    rule: Annotated[str | None, typer.Option(help="How pixels become 8 bit: as-is, shift:4, window:0:4095.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames/s; otherwise as recorded.")] = None,
    chunk_seconds: Annotated[float | None, typer.Option(help="How long a chunk is, 2 or more.")] = None,
    rotations_per_min: Annotated[float | None, typer.Option("--rpm", help="0: the sample stood still.")] = None,
    azimuth: Annotated[str | None, typer.Option(help="Of a sample that stood still.")] = None,
    stream_name: Annotated[str | None, typer.Option("--name", help="What the service shows.")] = None,
    physical_sample: Annotated[str | None, typer.Option("--sample", help="Otherwise as the run says.")] = None,
    project_id: Annotated[str | None, typer.Option("--project", help="Its id.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Repeat it.")] = None,
    insecure_http: Annotated[
        bool | None, typer.Option("--insecure-http", help="Upload to http:// beyond this machine, readable on the way.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow: the upload goes on by itself.")] = False,
    archive: Where = None,
    as_json: AsJson = False,
) -> None:
    """Upload a recorded run, and follow it to the end.

    The upload is done by a process of its own: Ctrl-C ends the following, not the upload. What is uploaded already
    is not uploaded again. Frames whose recorded bytes are damaged are black there, and named; the exit status is 3
    then. What is not said here, `[callbacks.rheed_uploader]` says. Examples:

    `beamstream upload -1`

    `beamstream upload 3f9a --to atomscale --key-file ~/atomscale.key --rule window:0:4095 --rpm 12`
    """
    from beamstream.cli.sources import recorded_into
    from beamstream.cli.uploading import put_jobs
    from beamstream.config import load
    from beamstream.rheed.starting import take_up

    said: dict[str, Any] = {
        "endpoint": to, "key_file": key_file, "detectors": detector, "stream": stream, "rule": rule, "fps": fps,
        "chunk_seconds": chunk_seconds, "rotations_per_min": rotations_per_min, "azimuth": azimuth,
        "stream_name": stream_name, "physical_sample": physical_sample, "project_id": project_id, "tags": tag,
        "insecure_http": insecure_http,
    }  # fmt: skip
    said = {key: value for key, value in said.items() if value is not None}
    jobs = put_jobs(recorded_into(load(), archive), run, said)
    for job in jobs:
        take_up(job)
    if not detach:
        _follow(jobs)
    found = _statuses(jobs)
    if as_json:
        print_json(found)
    else:
        out().print(_table(found))
    if any(status["phase"] == "failed" for status in found):
        raise typer.Exit(1)
    if any(status["undecoded"] for status in found):
        raise typer.Exit(LOST_AND_MARKED)


def uploads(
    resume: Annotated[bool, typer.Option("--resume", help="Take up what nobody works on, failed ones too.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing, until Ctrl-C.")] = False,
    archive: Where = None,
    as_json: AsJson = False,
) -> None:
    """Show the uploads of an archive: how far each is, and what is in the way.

    Backlog is what is recorded and not uploaded, in frames and in seconds of the recording; the rate is the mean
    since the upload began. `beamstream serve` shows the same as a page, at /uploads. Examples:

    `beamstream uploads`

    `beamstream uploads --resume --watch`
    """
    from beamstream.cli.archive import chosen_archive
    from beamstream.rheed.job import job_directories
    from beamstream.rheed.report import statuses
    from beamstream.rheed.starting import AT_ONCE, take_up, uploads_of

    directory = uploads_of(chosen_archive(archive).absolute())
    if resume:
        for job in islice(filter(take_up, job_directories(directory)), AT_ONCE):
            err().print(f"beamstream: {job.path.name} is taken up", style="cyan")
    if watch and not as_json:
        _watch(directory)
        return
    found = statuses(directory)
    if as_json:
        print_json(found)
    elif found:
        out().print(_table(found))
    else:
        out().print(f"no upload in {directory.parent}")


def _statuses(jobs: "list[JobDirectory]") -> list[dict[str, Any]]:
    from beamstream.rheed.report import status_of

    return [status_of(job) for job in jobs]


def _follow(jobs: "list[JobDirectory]") -> None:
    """Show bars until all uploads are over; say what is in the way when that changes."""
    from beamstream.rheed.keeper import Keeper
    from beamstream.rheed.starting import OVER

    keeper, said = Keeper(), ""
    for job in jobs:
        keeper.keep(job)
    found = _statuses(jobs)
    try:
        with progress(sum(s["frames"] for s in found), "frames uploaded") as bar:
            while not all(status["phase"] in OVER for status in found):
                time.sleep(_LOOK)
                found = _statuses(jobs)
                bar.at(sum(status["uploaded"] for status in found))
                said = _say_trouble(found, said)
    except KeyboardInterrupt:
        left = sum(status["backlog"] for status in found)
        words = f"the upload goes on by itself, {left} frames are left; `beamstream uploads --watch` shows it"
        err().print(f"beamstream: {words}", style="yellow")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        keeper.close()


def _say_trouble(found: list[dict[str, Any]], before: str) -> str:
    """Say what is in the way when it is another thing than before; return it."""
    now = "; ".join(s["error"] for s in found if s["error"] and s["phase"] in ("offline", "refused"))
    if now and now != before:
        err().print(f"beamstream: {now}", style="yellow")
    return now


def _watch(directory: Path) -> None:
    from rich.live import Live

    from beamstream.rheed.report import statuses

    console = out()
    with Live(_table(statuses(directory)), console=console, auto_refresh=False) as live:
        while True:
            live.update(_table(statuses(directory)), refresh=True)
            time.sleep(1.0)


def _table(found: list[dict[str, Any]]) -> "Table":
    right = ("uploaded", "recorded", "backlog", "s", "MB/s")
    made = table("run", "detector", "stream", "phase", *right, "since", "", right=right)
    for status in found:
        rate, seconds = status["bytes_per_second"], status["backlog_seconds"]
        made.add_row(
            status["run"][:8],
            status["detector"],
            status["stream"],
            status["phase"],
            str(status["uploaded"]),
            f"{status['frames']}{'' if status['complete'] else ' …'}",
            str(status["backlog"]),
            "" if seconds is None else f"{seconds:.1f}",
            "" if rate is None else f"{rate / 1e6:.1f}",
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status["since"])),
            "" if status["phase"] == status["words"] else status["words"],
            style=_COLOURS.get(status["phase"], ""),
        )
    return made
