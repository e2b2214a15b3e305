"""`beamstream record`: one run, from the command line."""

import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from beamstream.cli.console import LOST_AND_MARKED, complain, err, out, print_json, size
from beamstream.cli.sources import recorded_into, with_one_detector
from beamstream.errors import ArchiveError, BeamstreamError
from beamstream.ledger import COLUMNS

if TYPE_CHECKING:
    from beamstream.cli.acquisition import Acquisition
    from beamstream.config import Config
    from devices.stream_detector import StreamDetector


def record(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="`pva://PREFIX:Pva1:Image`, a film, `webcam:0`, or a configured detector."
        ),
    ],
    num: Annotated[int | None, typer.Option("--num", "-n", min=1, help="Frames to record.")] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", "-s", help="How long, instead of --num.")] = None,
    directory: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Archive directory; otherwise the configuration's."),
    ] = None,
    control: Annotated[
        str | None, typer.Option(metavar="PREFIX", help="areaDetector's records, `13SIM1:cam1:`: starts the camera.")
    ] = None,
    on_loss: Annotated[
        Literal["mark", "fail"] | None, typer.Option(help="Missing frames are marked, or fail the run.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=0, help="Of a film: 1 is its own pace, 0 (a film's default) as fast as it goes.")
    ] = None,
    grey: Annotated[
        Literal["keep", "luma", "mean", "red", "green", "blue"] | None,
        typer.Option(help="What becomes of the colours of a film or a webcam; `keep` keeps them."),
    ] = None,
    limited: Annotated[
        Literal["keep", "expand"] | None,
        typer.Option(help="What becomes of a film whose black is 16 and white 235; `expand` makes 0 to 255 of it."),
    ] = None,
    md: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Metadata; repeat it.")] = None,
    name: Annotated[str | None, typer.Option(help="The detector's name in documents; `cam` for a URI.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Longest silence, s.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Record frames into one HDF5 file, and account for each.

    A film needs neither --num nor --seconds: all of it is recorded. Files go to `DIR/recordings`, documents to
    `DIR/journal`; `beamstream serve --archive DIR` shows them. Exit status 0: everything is there; 1: the run
    failed; 3: frames were lost and are marked in the ledger. Examples:

    `beamstream record pva://SIM:CAM:Pva1:Image --control SIM:CAM:cam1: --num 500 --out data`

    `beamstream record camera --seconds 10 --md sample=GaAs --md run=7`

    `beamstream record growth.mp4 --grey luma --limited expand`
    """
    if num is not None and seconds is not None:
        raise typer.BadParameter("both given; give one of them", param_hint="--num / --seconds")
    if seconds is not None and not 0 < seconds < float("inf"):
        raise typer.BadParameter(f"{seconds:g} given; use a time above 0", param_hint="--seconds")
    metadata = _metadata(md or [])
    from beamstream.config import apply_environment, load

    said = {"control": control, "on_loss": on_loss, "name": name, "timeout": timeout}
    said |= {"speed": speed, "grey": grey, "limited": limited}
    config = recorded_into(with_one_detector(load(), source, **said), directory)
    if num is None and seconds is None and not _ends(config):
        raise typer.BadParameter("neither given; give one of them", param_hint="--num / --seconds")
    apply_environment(config)
    from beamstream.cli.acquisition import Acquisition

    with Acquisition(config) as acquisition:
        (detector,) = acquisition.devices.values()
        result = fly(acquisition, detector, num=num, seconds=seconds, md=metadata)
    if as_json:
        print_json(result)
    else:
        _show(result)
    raise typer.Exit(_status(result, acquisition.interrupted))


def fly(
    acquisition: "Acquisition",
    detector: "StreamDetector",
    *,
    num: int | None = None,
    seconds: float | None = None,
    md: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Record, with a bar on a terminal; return what became of it, ``error`` included.

    An error before the run opened is raised: then there is nothing to tell about.
    """
    from plans.record import record as plan

    began, before, error = time.monotonic(), len(acquisition.uids), None
    try:
        status = acquisition.run(plan([detector], num=num, seconds=seconds, md=md))
    except Exception as e:
        if len(acquisition.uids) == before:
            raise
        status, error = "fail", str(e) if isinstance(e, BeamstreamError) else f"{type(e).__name__}: {e}"
    account = detector.ledger.account
    if status == "success" and (missing := _missing(acquisition, detector)):
        status, error = "fail", missing
    columns = {column: getattr(account, column) for column in COLUMNS}
    return {
        "uid": acquisition.uids[-1],
        "scan_id": acquisition.scan_id,
        "exit_status": status,
        "error": error,
        "seconds": round(time.monotonic() - began, 3),
        "recorded": account.recorded,
        "lost": account.lost,
        "whole": account.whole,
        "ledger": {detector.name: columns | {"gaps": json.loads(account.gaps_json())}},
        "files": {detector.name: str(detector.path)},
        "archive": str(acquisition.layout.directory),
    }


def _missing(acquisition: "Acquisition", detector: "StreamDetector") -> str:
    """Return in words what is not on the disk of what was recorded; ``""`` when all of it is."""
    from beamstream.export import find_journal
    from beamstream.sinks.hdf5 import frames_kept

    recorded, path = detector.ledger.account.recorded, detector.path
    try:
        find_journal(acquisition.layout.journal, acquisition.uids[-1])
        kept = frames_kept(path) if recorded and path is not None else 0
    except BeamstreamError as problem:
        return f"{problem}; was it deleted while the run was recorded?"
    if kept >= recorded:
        return ""
    return f"{detector.name}: {recorded} frames recorded, {path} holds {kept}; was it replaced meanwhile?"


def _ends(config: "Config") -> bool:
    """Whether what is to be recorded ends by itself."""
    return all(device.kind == "video" for device in config.devices.values())


def _metadata(pairs: list[str]) -> dict[str, Any]:
    """Return ``key=value`` as a dictionary; a value that is JSON becomes what it says, others stay text."""
    metadata: dict[str, Any] = {}
    for pair in pairs:
        key, found, value = pair.partition("=")
        if not found or not key.isidentifier():
            raise typer.BadParameter(f"{pair!r} given; write KEY=VALUE, like sample=GaAs", param_hint="--md")
        if key in ("uid", "time", "scan_id", "plan_name"):
            raise typer.BadParameter(f"{key} is not yours to set; choose another key", param_hint="--md")
        try:
            metadata[key] = json.loads(value)
        except ValueError:
            metadata[key] = value
    return metadata


def _status(result: dict[str, Any], interrupted: int) -> int:
    if interrupted:
        return 128 + interrupted
    if result["exit_status"] != "success":
        return 1
    return 0 if result["whole"] else LOST_AND_MARKED


def _show(result: dict[str, Any]) -> None:
    from beamstream.callbacks.ledger_table import ledger_table

    console = out()
    archive = Path(result["archive"])
    console.print(f"run {result['scan_id']}  {result['uid']}  {result['exit_status']}")
    console.print(ledger_table(result["ledger"]))
    for file in map(Path, result["files"].values()):
        console.print(f"file     {file}  ({size(file.stat().st_size) if file.exists() else 'missing'})")
    console.print(f"archive  {archive}  {_served(archive)}")
    if result["error"]:
        complain(result["error"])
    elif not result["whole"] and result["exit_status"] == "success":
        known = "not every frame came; the ledger lists those that are missing"
        unknown = "it is unknown whether every frame came; the log names what is wrong with its numbers"
        err().print(f"beamstream: {known if result['lost'] else unknown}", style="yellow")


def _served(archive: Path) -> str:
    from beamstream.archive.address import published_address
    from beamstream.archive.layout import Layout

    try:
        return f"served at {published_address(Layout(archive)).url}"
    except ArchiveError:
        return f"(not served; beamstream serve --archive {shlex.quote(str(archive))})"
