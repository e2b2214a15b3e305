"""`beamstream demo`: the whole walk on a simulated beamline, checked bit by bit at its end."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from beamstream.cli.console import out, progress, size
from beamstream.cli.curl import print_lines, run_lines
from beamstream.cli.demo_growth import camera as rheed_camera
from beamstream.cli.demo_growth import check, grow, picture, sections, take_uploads
from beamstream.cli.steps import Steps
from beamstream.errors import ArchiveError, BeamstreamError, SinkError
from beamstream.exits import end_channel_access

if TYPE_CHECKING:
    from beamstream.cli.acquisition import Acquisition
    from beamstream.cli.archive import Archive
    from beamstream.config import Config
    from beamstream.frames import Geometry

_POINTS = 5
_PNG = "frame.png"
_RHEED_PNG = "rheed.png"
_LOOK = 0.25  # s


def demo(
    seconds: Annotated[float, typer.Option(min=0.2, max=3600, help="How long to record.")] = 10.0,
    fps: Annotated[float, typer.Option(min=1, max=1000, help="Frames a second.")] = 50.0,
    shape: Annotated[str, typer.Option(help="Rows x columns.")] = "1024x1024",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the archive up until Ctrl-C.")] = False,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Put the archive there, and leave it.")
    ] = None,
) -> None:
    """Record a simulated beamline, archive it, fetch it back over HTTP and compare every bit.

    A growth is among it, filmed by a simulated RHEED camera and, where the client is installed, uploaded while it
    grows. Needs no configuration and touches none: EPICS on loopback ports of its own, an archive in a temporary
    directory that is deleted at the end (but for two frames as PNG). Exit status 0 only when every frame came back
    as the camera showed it, and the upload is what was recorded. Examples:

    `beamstream demo`

    `beamstream demo --keep --seconds 5 --dir ~/demo`
    """
    from beamstream.cli.sim import geometry

    number = max(1, round(seconds * fps))
    pictures = geometry(shape, "uint16", "mono", "none")
    steps = Steps(out())
    with _place(directory, number * pictures.nbytes) as place, ExitStack() as stack:
        good = _walk(steps, stack, place, pictures, number, fps, keep)
    if directory is None:
        out().print(f"the recordings are deleted, the PNGs in {place} stay; --dir DIR keeps everything", style="dim")
    raise typer.Exit(0 if good else 1)


def _walk(
    steps: Steps, stack: ExitStack, place: Path, geometry: "Geometry", number: int, fps: float, keep: bool
) -> bool:
    from beamstream.sim.beamline import Beamline, CameraSpec
    from beamstream.sim.loopback import loopback_environment
    from beamstream.sim.process import SimProcess

    os.environ.update(loopback_environment())  # before anything imports EPICS
    os.environ.pop("BEAMSTREAM_API_KEY", None)  # the key of another archive
    with steps.step("simulated beamline") as step:
        beamline = Beamline(cameras=(CameraSpec(geometry=geometry, period=1 / fps), rheed_camera()))
        stack.enter_context(SimProcess(beamline))
        stack.callback(end_channel_access)  # before the records go
        step(f"{beamline.cameras[0].image}, {geometry}, {fps:g} fps, a motor, and a RHEED camera on a growth chamber")
    config = _config(place, beamline)
    with steps.step("RunEngine, devices"):
        from beamstream.cli.acquisition import Acquisition
        from beamstream.instrument.access import ArchiveAccess

        served = ArchiveAccess(config)  # starts beside what follows
        stack.callback(served.close)
        served.start()
        acquisition = stack.enter_context(Acquisition(config))
    flown = _record(steps, acquisition, number)
    scanned = _scan(steps, acquisition)
    ingest = take_uploads(steps, stack, acquisition)
    grown = grow(steps, acquisition)
    _stop_if_interrupted(acquisition)
    with steps.step("archive over HTTP") as step:
        archive = stack.enter_context(_archive(served))
        step(f"{archive.url}, in {place}")
    _check(steps, archive, flown, geometry, number)
    _check(steps, archive, scanned, geometry, _POINTS, motor=True)
    check(steps, acquisition, ingest, grown)
    picture(steps, archive, grown, place / _RHEED_PNG)
    lines = _show(steps, archive, flown, place)
    good = not steps.failed
    verdict = ("every frame came back bit by bit", "bold green") if good else ("something is not right", "bold red")
    out().print(Text.assemble(verdict, f", {steps.seconds:.1f} s in all"))
    ending = "until Ctrl-C; try" if keep else "until now; beamstream demo --keep leaves it up for these"
    console = out()
    console.print()
    console.print(f"the archive {'is' if keep else 'was'} at {archive.url} (in a browser: {archive.url}/ui) {ending}")
    print_lines(console, lines)
    if keep:
        _wait()
    return good


def _config(place: Path, beamline: Any) -> "Config":
    from beamstream.config import Config

    camera = beamline.names()["cameras"][0]
    return Config.model_validate(
        {
            "archive": {"directory": place / "archive", "port": 0},
            "devices": {
                "camera": {"kind": "pva_detector", "pv": camera["image"], "control": camera["control"]},
                "motor": {"kind": "motor", "pv": beamline.motors[0].prefix},
            }
            | sections(),
        }
    )


def _record(steps: Steps, acquisition: "Acquisition", number: int) -> str:
    from beamstream.callbacks.ledger_table import ledger_table
    from beamstream.cli.record import fly

    camera = acquisition.devices["camera"]
    with steps.step("record", moves=False) as step:
        result = fly(acquisition, camera, num=number, md={"sample": "simulated", "purpose": "demo"})
        _stop_if_interrupted(acquisition)
        if result["error"]:
            raise BeamstreamError(result["error"])
        text = f"{result['recorded']} frames recorded, {result['lost']} lost, run {result['uid'][:8]}"
        step(text, result["recorded"] == number and result["whole"])
    out().print(ledger_table(result["ledger"]))
    return result["uid"]


def _scan(steps: Steps, acquisition: "Acquisition") -> str:
    from bluesky.plans import scan

    devices = acquisition.devices
    with steps.step("step scan") as step:
        devices["motor"].wait_for_connection(timeout=10)
        acquisition.run(scan([devices["camera"]], devices["motor"], -1, 1, _POINTS))
        _stop_if_interrupted(acquisition)
        step(f"{_POINTS} points of the motor, run {acquisition.uids[-1][:8]}")
    return acquisition.uids[-1]


def _stop_if_interrupted(acquisition: "Acquisition") -> None:
    if acquisition.interrupted == signal.SIGINT:
        raise KeyboardInterrupt
    if acquisition.interrupted:
        raise SystemExit(128 + acquisition.interrupted)


def _archive(served: Any, timeout: float = 90.0) -> "Archive":
    from beamstream.archive.process import is_up
    from beamstream.cli.archive import Archive

    deadline = time.monotonic() + timeout
    while not (served.url and is_up(served.url)):
        if served.error is not None:
            raise served.error
        if time.monotonic() > deadline:
            raise ArchiveError(f"archive: not served after {timeout:g} s; see {served.layout.directory}/server.log")
        time.sleep(0.05)
    return Archive(served.layout.directory)


def _check(steps: Steps, archive: "Archive", uid: str, geometry: "Geometry", number: int, motor: bool = False) -> None:
    """Fetch a run and compare it with what was asked for and what the camera showed."""
    from beamstream.archive.catalog import run_summary
    from beamstream.cli.comparison import column, compare, filed

    with steps.step(f"compare run {uid[:8]}", moves=False) as step:
        summary = run_summary(filed(archive, uid))
        with progress(number, "frames") as bar:
            result = compare(archive, uid, "camera", geometry, bar.at)
        positions = column(archive, uid, "motor") if motor else []
        wanted = [-1 + 2 * n / (_POINTS - 1) for n in range(_POINTS)] if motor else []
        there = len(positions) == len(wanted)
        there = there and all(abs(a - b) < 0.01 for a, b in zip(positions, wanted, strict=True))
        whole = summary.lost == 0 and summary.exit_status == "success" and summary.recorded == number
        rate = size(result.nbytes / max(result.seconds, 1e-9))
        words = f"{result.frames} frames, {result.different} different, {size(result.nbytes)} at {rate}/s"
        step(
            f"{words}, ledger over HTTP: {summary.recorded} recorded, {summary.lost} lost",
            result.frames == number and not result.different and there and whole,
        )


def _show(steps: Steps, archive: "Archive", uid: str, place: Path) -> dict[str, str]:
    from beamstream.cli.runs import save_png

    image = "primary/camera_image"
    with steps.step("frame as PNG") as step:
        save_png(archive, uid, image, 0, place / _PNG)
        step(str(place / _PNG))
    return run_lines(archive.url, archive.key_file, uid, image)


def _wait() -> None:
    try:
        while True:
            time.sleep(_LOOK)  # a signal that came just before is heard then
    except KeyboardInterrupt:
        out().print("ending")


@contextmanager
def _place(asked: Path | None, nbytes: int) -> Iterator[Path]:
    """Give a directory with enough room; a temporary one keeps nothing but the PNGs."""
    place = asked.expanduser().absolute() if asked else Path(tempfile.mkdtemp(prefix="beamstream-demo-"))
    try:
        place.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(place).free
    except OSError as error:
        raise SinkError(f"demo: {place} cannot be made: {error.strerror}; name another --dir") from None
    try:
        if free < 1.2 * nbytes + 4e8:
            raise SinkError(
                f"demo: {size(nbytes)} to record, {size(free)} free in {place}; use --dir or fewer --seconds"
            )
        yield place
    finally:
        if asked is None:
            shutil.rmtree(place / "archive", ignore_errors=True)
            if not list(place.glob("*.png")):
                shutil.rmtree(place, ignore_errors=True)
