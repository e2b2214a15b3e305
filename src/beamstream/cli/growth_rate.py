"""`beamstream growth-rate`: how fast layers grew in a recorded run."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beamstream.cli.console import out, print_json, progress, table
from beamstream.cli.export import region_of
from beamstream.cli.sources import recorded_into

if TYPE_CHECKING:
    from beamstream.export.growth import IntensityCurve


def growth_rate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="uid, its beginning, scan id, or -1: the newest.")],
    region: Annotated[
        str | None,
        typer.Option(metavar="R,C,ROWS,COLS", help="First row, first column, rows, columns; else what the run kept."),
    ] = None,
    detector: Annotated[list[str] | None, typer.Option(help="Of this detector; repeat it. Otherwise all.")] = None,
    window: Annotated[float, typer.Option(min=0.1, help="s that each rate is made of.")] = 20.0,
    every: Annotated[float, typer.Option(min=0.01, help="s between two rates.")] = 10.0,
    slowest: Annotated[float | None, typer.Option(help="Rates to look for, 1/s.")] = None,
    fastest: Annotated[float | None, typer.Option(help="Rates to look for, 1/s.")] = None,
    archive: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Archive directory; otherwise the configuration's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure growth rates of a recorded run from the oscillation of intensities, with their uncertainty.

    Needs no server, but the recorded files on this machine. Examples:

    `beamstream growth-rate -1`  of the regions that `[callbacks.intensity]` kept

    `beamstream growth-rate 3f9a --region 92,240,30,18 --window 40 --every 5`
    """
    from beamstream.archive.layout import Layout
    from beamstream.config import load
    from beamstream.export import read_run
    from beamstream.export.growth import kept_curves, measured_curve

    place = region_of(region)
    documents = read_run(Layout(recorded_into(load(), archive).archive.directory).journal, run)
    if place is None:
        curves = kept_curves(documents, detectors=detector)
    else:
        with progress(None, "frames") as bar:
            try:
                curves = measured_curve(documents, place, detectors=detector, progress=lambda n, _all: bar.at(n))
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint="--region") from None
    found = [_measured(curve, window, every, (slowest, fastest)) for curve in curves]
    if as_json:
        print_json({"run": documents[0].doc["uid"], "curves": found})
        return
    console = out()
    console.print(f"run {documents[0].doc.get('scan_id')}  {documents[0].doc['uid']}")
    for curve in found:
        console.print(_table(curve))


def _measured(
    curve: "IntensityCurve", window: float, every: float, band: tuple[float | None, float | None]
) -> dict[str, Any]:
    from beamstream.ops.growth_rate import growth_rates, rotation_harmonics

    ignore = rotation_harmonics(curve.rotations_per_min)
    options: dict[str, Any] = {"window": window, "every": every, "band": band, "ignore": ignore}
    times, rates, sigmas = growth_rates(curve.times, curve.values, **options)
    first = float(curve.times[0]) if len(curve.times) else math.nan
    return {
        "detector": curve.detector,
        "region": curve.region,
        "frames": len(curve.times),
        "undecoded": curve.undecoded,
        "first": first,
        "seconds": [round(t - first, 6) for t in times.tolist()],
        "rate": [_known(rate) for rate in rates.tolist()],
        "sigma": [_known(sigma) for sigma in sigmas.tolist()],
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _table(curve: dict[str, Any]) -> Any:
    lacking = f", {curve['undecoded']} more do not decode" if curve["undecoded"] else ""
    title = f"{curve['detector']} {curve['region']}, {curve['frames']} frames{lacking}"
    columns = ("until (s)", "rate (1/s)", "sigma (1/s)")
    made = table(*columns, right=columns, title=title)
    for second, rate, sigma in zip(curve["seconds"], curve["rate"], curve["sigma"], strict=True):
        words = ("-", "-") if rate is None else (f"{rate:.5f}", f"{sigma:.5f}")
        made.add_row(f"{second:.1f}", *words)
    return made
