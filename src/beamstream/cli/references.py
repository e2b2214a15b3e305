"""`beamstream darks` and `beamstream flats`: take, capture, import, export and list what frames are corrected with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beamstream.cli import referencing
from beamstream.cli.console import out, print_json, table
from beamstream.cli.sources import recorded_into, with_one_detector

if TYPE_CHECKING:
    from beamstream.references import Kind, Reference, ReferenceHeader

Source = Annotated[
    str | None, typer.Argument(metavar="[DETECTOR]", help="A configured detector or `pva://PREFIX:Pva1:Image`.")
]
Num = Annotated[int, typer.Option("--num", "-n", min=1, help="Frames to average.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Set a configured signal meanwhile; repeat it.")
]
Listed = Annotated[bool, typer.Option("--list", help="List what there is, newest first.")]
Captured = Annotated[bool, typer.Option("--capture", help="Average the next frames of a run in progress.")]
Import = Annotated[Path | None, typer.Option("--import", metavar="FILE", help="Take it from a .npy file.")]
Export = Annotated[Path | None, typer.Option("--export", metavar="FILE", help="Write the newest to a .npy file.")]
Exposure = Annotated[
    float | None, typer.Option(min=0, help="Of --import and --capture, s; one that knows its own fits only that.")
]
Control = Annotated[str | None, typer.Option(metavar="PREFIX", help="areaDetector's records, `13SIM1:cam1:`.")]
Name = Annotated[str | None, typer.Option(help="The detector's name in documents; `cam` for a URI.")]
Timeout = Annotated[float | None, typer.Option(min=0.1, help="Longest silence, s.")]
Archive = Annotated[Path | None, typer.Option(metavar="DIR", help="Archive directory; otherwise the configuration's.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def darks(
    source: Source = None,
    num: Num = 20,
    settings: Settings = None,
    listed: Listed = False,
    captured: Captured = False,
    imported: Import = None,
    exported: Export = None,
    exposure: Exposure = None,
    control: Control = None,
    name: Name = None,
    timeout: Timeout = None,
    archive: Archive = None,
    as_json: AsJson = False,
) -> None:
    """Take a dark: the average of frames without light.

    It is kept in `references` beside the recordings, is a run of the archive, and corrects what is recorded from
    then on. Examples:

    `beamstream darks camera --num 50 --set shutter=Closed`

    `beamstream darks --list camera`

    `beamstream darks camera --import dark.npy --exposure 0.1`
    """
    ways = {"--list": listed, "--capture": captured, "--import": imported, "--export": exported}
    options = {"control": control, "name": name, "timeout": timeout}
    how = referencing.How(num, referencing.pairs(settings or []))
    _do("dark", source, how, ways, exposure, options, archive, as_json)


def flats(
    source: Source = None,
    num: Num = 20,
    settings: Settings = None,
    motor: Annotated[
        str | None, typer.Option(metavar="NAME", help="The configured motor that moves the sample.")
    ] = None,
    position: Annotated[
        float | None, typer.Option("--out-position", help="Where the sample is out of the beam; it comes back.")
    ] = None,
    listed: Listed = False,
    captured: Captured = False,
    imported: Import = None,
    exported: Export = None,
    exposure: Exposure = None,
    control: Control = None,
    name: Name = None,
    timeout: Timeout = None,
    archive: Archive = None,
    as_json: AsJson = False,
) -> None:
    """Take a flat: the average of frames without the sample, which a motor may move away and back.

    It is kept in `references` beside the recordings, is a run of the archive, and corrects what is recorded from
    then on. Examples:

    `beamstream flats camera --num 50 --motor sample_x --out-position 12.5`

    `beamstream flats camera --capture`

    `beamstream flats camera --export flat.npy`
    """
    if (motor is None) != (position is None):
        raise typer.BadParameter("one of them given; give both or none", param_hint="--motor / --out-position")
    ways = {"--list": listed, "--capture": captured, "--import": imported, "--export": exported}
    options = {"control": control, "name": name, "timeout": timeout}
    how = referencing.How(num, referencing.pairs(settings or []), motor, position)
    _do("flat", source, how, ways, exposure, options, archive, as_json)


def _do(
    kind: "Kind",
    source: str | None,
    how: referencing.How,
    ways: dict[str, Any],
    exposure: float | None,
    options: dict[str, Any],
    archive: Path | None,
    as_json: bool,
) -> None:
    """Do one of the things that both commands can do."""
    asked = [way for way, value in ways.items() if value not in (None, False)]
    way = asked[0] if asked else ""
    if len(asked) > 1:
        raise typer.BadParameter("only one of them can be done at a time", param_hint=" / ".join(asked))
    if way and (how.motor is not None or how.settings):
        raise typer.BadParameter("goes with frames that are taken only", param_hint="--motor / --set")
    if exposure is not None and way not in ("--import", "--capture"):
        raise typer.BadParameter("goes with --import and --capture only", param_hint="--exposure")
    from beamstream.config import apply_environment, load
    from beamstream.references import ReferenceStore

    config = recorded_into(load(), archive)
    store = ReferenceStore(config.recording.directory / "references")
    if way == "--list":
        _list(store.list(kind, source), as_json)
        return
    if source is None:
        raise typer.BadParameter("none given; name one, or use --list", param_hint="DETECTOR")
    one = with_one_detector(config, source, **options)
    (detector,) = one.devices
    if way == "--export":
        kept = referencing.export(store, kind, detector, ways[way])
    elif way == "--import":
        kept = referencing.import_(one, store, kind, detector, ways[way], exposure)
    elif way == "--capture":
        kept = referencing.capture(one, store, kind, detector, how.num, options["timeout"], exposure)
    else:
        apply_environment(one)
        kept = referencing.take(how.devices(one, config), store, kind, detector, how)
    _show(kept, as_json)
    if way == "--export" and not as_json:
        out().print(f"its mean is in {ways[way]}")


def _list(found: "list[ReferenceHeader]", as_json: bool) -> None:
    if as_json:
        print_json([_plain(header) for header in found])
        return
    if not found:
        out().print("none")
        return
    made = table("kind", "detector", "geometry", "exposure", "frames", "age", "run", right=("frames", "age"))
    for header in found:
        exposure = "" if header.exposure is None else f"{header.exposure:g} s"
        made.add_row(
            header.kind, header.detector, str(header.geometry), exposure, str(header.number), _span(header.age),
            header.run[:8] or header.origin,
        )  # fmt: skip
    out().print(made)


def _show(kept: "Reference | ReferenceHeader", as_json: bool) -> None:
    if as_json:
        print_json(_plain(kept))
        return
    exposure = "unknown" if kept.exposure is None else f"{kept.exposure:g} s"
    for line in (kept.name, f"{kept.geometry}, exposure {exposure}", kept.path):
        out().print(str(line))


def _plain(kept: "Reference | ReferenceHeader") -> dict[str, Any]:
    fields = ("kind", "detector", "number", "exposure", "taken", "run", "origin", "path")
    return {"name": kept.name, **{f: getattr(kept, f) for f in fields}, "geometry": kept.geometry.to_dict()}


def _span(seconds: float) -> str:
    """Say how long ago as people do."""
    for length, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
