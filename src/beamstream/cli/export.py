"""`beamstream export`: a recorded run once more, in the format that somebody's programs read."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from beamstream.cli.console import LOST_AND_MARKED, err, out, print_json, progress, size, table
from beamstream.cli.sources import recorded_into

if TYPE_CHECKING:
    from beamstream.archive.documents import Document
    from beamstream.callbacks.recorder import Recorder
    from beamstream.config import Config
    from beamstream.export import ExportedFile, ExportResult

To = Literal["tiff", "bigtiff", "ome-tiff", "hdf5", "dxchange", "zarr", "npy", "npz", "csv", "mkv", "mp4"]
_CORRECTED = "corrected"
_MOST_NAMED = 20  # frames, in one line


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="uid, its beginning, scan id, or -1: the newest.")],
    to: Annotated[To, typer.Option("--to", help="The format; `tiff` is a directory with one file a frame.")],
    directory: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where to; made if missing.")] = Path(),
    corrected: Annotated[
        bool, typer.Option("--corrected", help="Flat-fielded: as the run was, else with the newest flat that fits.")
    ] = False,
    stream: Annotated[str | None, typer.Option(help="What was derived in the run, instead of raw frames.")] = None,
    detector: Annotated[list[str] | None, typer.Option(help="Of this detector; repeat it. Otherwise all.")] = None,
    region: Annotated[
        str | None, typer.Option(metavar="R,C,ROWS,COLS", help="First row, first column, rows, columns.")
    ] = None,
    stride: Annotated[int, typer.Option(min=1, help="Every how manieth frame.")] = 1,
    window: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="Of mkv and mp4: values that become black and white.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Of mkv and mp4: frames/s; otherwise the frames' own times.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Begins file names.")] = "frame",
    output: Annotated[
        Literal["float32", "raw"] | None,
        typer.Option(help="Pixels of --corrected: float32, or rounded to the raw type; float32."),
    ] = None,
    flat: Annotated[Path | None, typer.Option(metavar="FILE", help="Correct with this flat: .npy or ours.")] = None,
    dark: Annotated[Path | None, typer.Option(metavar="FILE", help="Correct with this dark: .npy or ours.")] = None,
    theta: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of dxchange: what was the angle of the sample; what the run scanned."),
    ] = None,
    archive: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Archive directory; otherwise the configuration's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write the frames of a recorded run in another format, every one of them that decodes or nothing.

    Needs no server, but the recorded files on this machine. What is being written is hidden until it is complete;
    nothing is ever overwritten. Frames whose recorded bytes are damaged are left out and named, in the files as well;
    the exit status is 3 then. Examples:

    `beamstream export -1 --to tiff --out ~/frames`

    `beamstream export 3f9a --to zarr --corrected --region 0,512,1024,1024`

    `beamstream export 17 --to npy --flat flat.npy --output raw --stride 10`

    `beamstream export -1 --to mp4 --window 0,4095`  of 16 bit frames, for all players; mkv keeps every value

    `beamstream export -1 --to csv`  of spectra: time, unique_id, a column a channel, in MHz
    """
    from beamstream.config import load

    references = flat is not None or dark is not None
    if stream is not None and (corrected or references):
        raise typer.BadParameter(
            "with --corrected, --flat or --dark given; give one or the other", param_hint="--stream"
        )
    if output is not None and not (corrected or references):
        raise typer.BadParameter("goes with --corrected, --flat or --dark only", param_hint="--output")
    if theta is not None and to != "dxchange":
        raise typer.BadParameter("goes with --to dxchange only", param_hint="--theta")
    options: dict[str, Any] = {"format": to, "prefix": prefix, "detectors": detector, "stride": stride}
    options |= {"region": region_of(region), "stream": stream or "raw", "window": _window(window), "fps": fps}
    config = recorded_into(load(), archive)
    options |= {"theta": theta, "references": config.recording.directory / "references"}

    from beamstream.archive.layout import Layout
    from beamstream.export import read_run

    documents = read_run(Layout(config.archive.directory).journal, run)
    if references or (corrected and not _has_corrected(documents)):
        options |= {"op_for": _correction(config, flat, dark, output, corrected), "label": _CORRECTED}
    elif corrected:
        if output is not None:
            raise typer.BadParameter("the run was corrected already, as it is; leave it out", param_hint="--output")
        options["stream"] = _CORRECTED
    result = _run(documents, _recorder(directory, options))
    if as_json:
        print_json(_plain(result))
    else:
        _show(result)
    if any(file.undecoded for file in result.files):
        raise typer.Exit(LOST_AND_MARKED)


def _run(documents: "list[Document]", recorder: "Recorder") -> "ExportResult":
    from beamstream.export import count_frames, export_run

    with progress(count_frames(documents, recorder), "frames") as bar:
        return export_run(documents, recorder, progress=lambda done, _announced: bar.at(done))


def _has_corrected(documents: "list[Document]") -> bool:
    from beamstream.callbacks.images import image_keys, wanted

    select = wanted(_CORRECTED, None)
    return any(select(doc, key) for name, doc in documents if name == "descriptor" for key in image_keys(doc))


def _correction(config: "Config", flat: Path | None, dark: Path | None, output: str | None, newest: bool) -> Any:
    """Return what makes the correction of a source: with the files given, and with the `newest` of the others."""
    from beamstream.callbacks.flatfield import FlatField
    from beamstream.errors import NoReference

    options: dict[str, Any] = {
        "references": config.recording.directory / "references",
        "output": output or "float32",
    }
    some_flat = flat or ("latest" if newest else None)

    def op_for(source: Any) -> Any:
        if dark is not None or not newest:
            return FlatField(some_flat, dark, **options).op_for(source)
        try:
            return FlatField(some_flat, "latest", **options).op_for(source)
        except NoReference as error:
            op = FlatField(some_flat, None, **options).op_for(source)  # raises if it is the flat that is missing
            err().print(f"beamstream: {error}; corrected without a dark", style="yellow")
            return op

    return op_for


def _recorder(directory: Path, options: dict[str, Any]) -> "Recorder":
    from beamstream.callbacks.recorder import Recorder

    try:
        return Recorder(directory, **options)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def region_of(text: str | None) -> tuple[int, int, int, int] | None:
    """Return the region that an option says.

    Raises
    ------
    typer.BadParameter
        It is not four numbers.
    """
    if text is None:
        return None
    try:
        first_row, first_column, rows, columns = map(int, text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} given; write 0,512,1024,1024", param_hint="--region") from None
    return first_row, first_column, rows, columns


def _window(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} given; write 0,4095", param_hint="--window") from None
    return low, high


def _tomography(file: "ExportedFile") -> list[str]:
    """Return what a file in Data Exchange lacks, or has in another unit than its readers expect."""
    about = file.about
    if about.get("format") != "dxchange":
        return []
    from beamstream.sinks.units import degrees

    notes = []
    if "theta" not in about:
        notes.append(
            "no angles in exchange/theta, the run scanned no motor, or several; readers assume equal steps from 0 to "
            "180 degrees; name the angle with --theta"
        )
    elif degrees(about["theta_units"]) is None:
        units = about["theta_units"] or "without a unit"
        notes.append(f"the angles in exchange/theta are the values of {about['theta']} ({units}), taken as degrees")
    corrected = "flat_name" in about or "dark_name" in about
    lacks = [name for kind, name in (("white", "flat"), ("dark", "dark")) if f"data_{kind}" not in about]
    if lacks and not corrected:
        notes.append(f"no {' and no '.join(lacks)} fits that was there by the end of the run; the file has none")
    return [f"{file.detector}: {note}" for note in notes]


def _undecoded(file: "ExportedFile") -> str:
    named = ", ".join(map(str, file.undecoded[:_MOST_NAMED])) + (", …" if len(file.undecoded) > _MOST_NAMED else "")
    number = len(file.undecoded)
    return f"{file.detector}: {number} frames do not decode and are left out, those of unique_id {named}"


def _plain(result: "ExportResult") -> dict[str, Any]:
    plain = asdict(result)
    return plain | {"seconds": round(result.seconds, 3), "bytes_per_second": round(_rate(result))}


def _rate(result: "ExportResult") -> float:
    return sum(file.nbytes for file in result.files) / max(result.seconds, 1e-9)


def _show(result: "ExportResult") -> None:
    console = out()
    made = table("detector", "frames", "size", "path", right=("frames", "size"))
    for file in result.files:
        made.add_row(file.detector, str(file.frames), size(file.nbytes), str(file.path))
    console.print(f"run {result.scan_id}  {result.run}")
    console.print(made)
    for file in result.files:
        names = [str(file.about[key]) for key in ("flat_name", "dark_name") if file.about.get(key)]
        if names:
            console.print(f"{file.detector} corrected with {', '.join(names)}")
        for note in (*_tomography(file), *([_undecoded(file)] if file.undecoded else [])):
            err().print(f"beamstream: {note}", style="yellow")
    console.print(f"{result.seconds:.1f} s, {size(_rate(result))}/s")
