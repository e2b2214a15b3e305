"""`beamstream pipeline`: check a pipeline's file, list the processors there are."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beamstream.cli.console import err, out, print_json, table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from beamstream.pipeline.document import Complaint
    from beamstream.pipeline.files import Reading
    from beamstream.pipeline.trial import Step

app = typer.Typer(no_args_is_help=True, help="Check image pipelines, list processors.", rich_markup_mode="markdown")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The pipeline's JSON.")],
    frame: Annotated[Path | None, typer.Option(metavar="FILE.npy", help="Try this frame.")] = None,
    shape: Annotated[str, typer.Option(metavar="ROWSxCOLUMNS", help="Try a made-up frame of this shape.")] = "512x512",
    dtype: Annotated[str, typer.Option(help="And of this pixel type.")] = "uint16",
    as_json: AsJson = False,
) -> None:
    """Say all that is wrong with a pipeline's file, then try it on one frame.

    Exit status 1 when something is wrong.

    Examples:

    `beamstream pipeline check pipelines/processors.json`

    `beamstream pipeline check processors.json --frame flat.npy --json`
    """
    from beamstream.pipeline.document import Complaint
    from beamstream.pipeline.files import check as read_and_build
    from beamstream.pipeline.trial import try_out

    image = _image(frame, shape, dtype)
    reading = read_and_build(file)
    complaints, steps = reading.document.sorted_complaints(), []
    if not complaints:
        steps = try_out(reading.processors, image)
        lines = {one.entry.name: reading.document.line(one.entry.where) for one in reading.built}
        complaints = [Complaint(lines[step.name], step.error) for step in steps if step.error]
    if as_json:
        _print_json(reading, complaints, steps)
    else:
        _show(reading, complaints, steps)
    raise typer.Exit(1 if complaints else 0)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the processors that a pipeline's file may name, their options and defaults."""
    from beamstream.pipeline.known import known

    rows = [_row(one) for one in known().values()]
    if as_json:
        print_json(rows)
        return
    made = table("name", "class", "options", "what it does", "package")
    for row in rows:
        options = ", ".join(
            o["name"] if o["default"] is None else f"{o['name']}={o['default']}" for o in row["options"]
        )
        what = row["error"] or row["summary"]
        made.add_row(row["name"], row["class"], options, what, row["package"], style="red" if row["error"] else "")
    out().print(made)


def _image(frame: Path | None, shape: str, dtype: str) -> "NDArray[Any]":
    """Return the frame to try, read or made up.

    Raises
    ------
    typer.BadParameter
        It is no frame, and cannot become one.
    """
    from beamstream import npy_file
    from beamstream.pipeline.trial import gradient

    if frame is not None:
        try:
            image = npy_file.load(frame)
        except (OSError, ValueError) as error:
            raise typer.BadParameter(f"{frame} cannot be read: {error}; give one image in a .npy file") from error
        if image.ndim < 2 or not image.size or image.dtype.kind not in "buif":
            raise typer.BadParameter(f"{frame} is no image; give rows and columns of numbers in a .npy file")
        return image
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){1,2}", shape):
        raise typer.BadParameter(f"shape {shape}; give rows and columns: 512x512, with colours 512x512x3")
    if not re.fullmatch(r"u?int(8|16|32|64)|float(16|32|64)", dtype):
        raise typer.BadParameter(f"dtype {dtype}; give one of numpy's: uint8, uint16, float32, …")
    return gradient([int(n) for n in shape.split("x")], dtype)


def _show(reading: "Reading", complaints: "list[Complaint]", steps: "list[Step]") -> None:
    for one in complaints:
        err().print(one.at(reading.document.file), style="red")
    if steps:
        made = table("processor", "in", "out", "ms", right=("ms",))
        for step in steps:
            missing = "failed" if step.error else "not reached"
            ms = "" if step.ms is None or step.error else f"{step.ms:.2f}"
            made.add_row(step.name, _geometry(step.taken) or "", _geometry(step.made) or missing, ms)
        out().print(made)
    elif not complaints:
        out().print("no processor is enabled: images pass as they are")


def _print_json(reading: "Reading", complaints: "list[Complaint]", steps: "list[Step]") -> None:
    print_json(
        {
            "file": str(reading.document.file),
            "ok": not complaints,
            "complaints": [{"line": c.line, "column": c.column, "message": c.message} for c in complaints],
            "processors": [
                {"name": s.name, "in": _plain(s.taken), "out": _plain(s.made), "ms": s.ms, "error": s.error}
                for s in steps
            ],
        }
    )


def _geometry(one: "tuple[tuple[int, ...], str] | None") -> str | None:
    return None if one is None else f"{' × '.join(map(str, one[0]))} {one[1]}"


def _plain(one: "tuple[tuple[int, ...], str] | None") -> dict[str, Any] | None:
    return None if one is None else {"shape": list(one[0]), "dtype": one[1]}


def _row(one: Any) -> dict[str, Any]:
    """Return what there is to say about a known processor; an installed one may be broken."""
    import inspect
    from dataclasses import asdict

    from beamstream.pipeline.known import options

    row = {
        "name": one.name,
        "class": one.attribute,
        "package": one.package,
        "options": [],
        "summary": "",
        "error": None,
    }
    try:
        made = one.load()
        row["options"] = [asdict(option) for option in options(made)]
        row["summary"] = (inspect.getdoc(made) or "").partition("\n")[0]
    except (Exception, SystemExit) as error:
        row["error"] = f"cannot be loaded: {type(error).__name__}: {error}"
    return row
