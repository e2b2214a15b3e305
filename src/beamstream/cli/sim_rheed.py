"""`beamstream sim rheed`: the diffraction pattern of a growing film, live over EPICS or as a video file."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from beamstream.cli.console import out, print_json, progress, size
from beamstream.errors import ConfigurationError

if TYPE_CHECKING:
    from beamstream.frames import Frame, Geometry
    from beamstream.sim.rheed import RheedScene, RheedSpec

Period = tuple[float, float]
_BATCH = 16  # frames at once


def rheed(
    to: Annotated[
        Path | None, typer.Option(metavar="FILM", help="Make film.mkv (every value kept) or film.mp4, and end.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long the film is.")] = 60.0,
    growth: Annotated[
        list[str] | None,
        typer.Option(metavar="START:STOP", help="Seconds of the film with the source open; repeat it."),
    ] = None,
    black: Annotated[
        list[str] | None,
        typer.Option(metavar="START:STOP", help="Seconds of the film with the screen covered; repeat it."),
    ] = None,
    growth_rate: Annotated[float, typer.Option(min=0, max=100, help="Monolayers a second.")] = 0.5,
    rpm: Annotated[float, typer.Option(min=-600, max=600, help="Turns of the sample a minute.")] = 0.0,
    azimuth: Annotated[float, typer.Option(min=-360, max=360, help="Degrees at the start.")] = 0.0,
    decay: Annotated[float, typer.Option(min=0.1, help="Monolayers after which the oscillation is 1/e.")] = 25.0,
    lattice: Annotated[Literal["square", "hexagonal"], typer.Option(help="Of the surface.")] = "square",
    noise: Annotated[float, typer.Option(min=0, max=0.04, help="At full scale, of the full scale.")] = 0.02,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 0,
    growing: Annotated[bool, typer.Option("--growing", help="The source is open from the start on.")] = False,
    shape: Annotated[str, typer.Option(help="Rows x columns.")] = "300x500",
    dtype: Annotated[str, typer.Option(help="uint8 or uint16.")] = "uint8",
    fps: Annotated[float | None, typer.Option(min=0, help="Frames a second: 120, and 30 of a film.")] = None,
    prefix: Annotated[str, typer.Option(help="Image at PREFIX:Pva1:Image, control at PREFIX:cam1:.")] = "SIM:RHEED",
    codec: Annotated[str, typer.Option(help="none, blosc, lz4, lz4hdf5, bslz4 or zlib.")] = "none",
    free_running: Annotated[
        bool, typer.Option("--free-running", help="Acquire from the start; otherwise wait for cam1:Acquire.")
    ] = False,
    fault: Annotated[
        list[str] | None, typer.Option("--fault", metavar="NAME=VALUE", help="As `beamstream sim camera` has them.")
    ] = None,
    isolated: Annotated[
        bool, typer.Option("--isolated", help="On ports of its own; prints the EPICS variables that find it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A line when all answers; of a film, its truth.")] = False,
) -> None:
    """Run a simulated RHEED camera before a growing film, or film it.

    Live, the growth follows records on Channel Access: PREFIX:sim1:Source (Open, Closed), GrowthRate, Rotation,
    Azimuth, Temperature, RampRate, and Shutter, which covers the screen. A film, FILM.json beside it, tells the truth
    about each of its frames. Examples:

    `beamstream sim rheed --free-running --growing --rpm 10`

    `beamstream sim rheed --to film.mkv --seconds 60 --growth 5:25 --growth 35:55`
    """
    from beamstream.cli import sim  # which imports us

    pictures = sim.geometry(shape, dtype, "mono", codec, "rheed")
    surface = {
        "growth_rate": growth_rate,
        "decay": decay,
        "rotations_per_min": rpm,
        "azimuth": azimuth,
        "lattice": lattice,
        "noise": noise,
        "seed": seed,
    }
    if to is None:
        if growth or black:
            raise typer.BadParameter("--growth and --black are of a film; name one with --to FILM")
        camera = sim.camera_spec(prefix, pictures, 120.0 if fps is None else fps, free_running, "rheed")
        camera = replace(camera, rheed=_spec(pictures, **surface))
        puts = sim.faults_from(fault or []) | ({"Source": "Open"} if growing else {})
        return sim.run((camera,), (), puts, isolated, as_json)
    open_at = [(0.0, seconds)] if growing else _periods(growth or [f"{0.1 * seconds}:{0.7 * seconds}"])
    spec = _spec(pictures, growth=tuple(open_at), black=tuple(_periods(black or [])), **surface)
    truth = film(to, spec, fps or 30.0, seconds)
    if as_json:
        print_json(truth)
    else:
        out().print(f"film     {to} ({truth['frames']} frames, {size(to.stat().st_size)})")
        out().print(f"truth    {_beside(to)}")


def film(path: Path, spec: "RheedSpec", fps: float, seconds: float) -> dict[str, Any]:
    """Write a film, and beside it what is true of it; show a bar meanwhile.

    Parameters
    ----------
    path : Path
        Must not exist; ``.mkv`` keeps every value.
    spec : RheedSpec
    fps : float
    seconds : float

    Returns
    -------
    dict
        What was written to ``FILM.json``; lists have an entry a frame.
    """
    from beamstream.frames import Geometry
    from beamstream.sim.rheed import RheedScene
    from beamstream.sinks.video import VideoSink

    if _beside(path).exists():
        raise ConfigurationError(f"sim: {_beside(path)} is there already; remove it, or choose another name")
    total = max(1, round(seconds * fps))
    scene, geometry, started = RheedScene(spec), Geometry(spec.shape, spec.dtype), time.time()
    window = (0.0, 65_535.0) if path.suffix.lower() == ".mp4" and spec.dtype != "|u1" else None
    with (
        VideoSink(path, geometry, fps=fps, name="rheed", attributes=spec.to_dict(), window=window) as sink,
        progress(total, "filming") as bar,
    ):
        try:
            for first in range(0, total, _BATCH):
                numbers = range(first, min(first + _BATCH, total))
                bar.at(sink.write([_frame(scene, geometry, started, number, fps) for number in numbers]))
        finally:  # a film that was ended early is one as well
            truth = {"film": str(path), "started": started, "fps": fps, **_truth(scene, sink.kept, fps)}
            _beside(path).write_text(json.dumps(truth) + "\n")
    return truth


def _frame(scene: "RheedScene", geometry: "Geometry", started: float, number: int, fps: float) -> "Frame":
    from beamstream.frames import Frame

    time_of_it = started + number / fps
    return Frame(scene.image(number / fps), geometry, number + 1, time_of_it, time_of_it, "sim:rheed")


def _truth(scene: "RheedScene", n_frames: int, fps: float) -> dict[str, Any]:
    """Return what is true of the frames of a film."""
    times = [number / fps for number in range(n_frames)]
    return {
        "frames": n_frames,
        "spec": scene.spec.to_dict(),
        "region": dict(zip(("row", "col", "n_rows", "n_cols"), scene.region, strict=True)),
        "times": times,
        "azimuth": [scene.azimuth(t) for t in times],
        "layers": [scene.layers(t) for t in times],
        "specular": [scene.specular(t) for t in times],
    }


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")


def _spec(geometry: "Geometry", **options: Any) -> "RheedSpec":
    from beamstream.sim.rheed import RheedSpec

    try:
        return RheedSpec((geometry.shape[0], geometry.shape[1]), geometry.dtype, **options)
    except ValueError as error:
        raise ConfigurationError(f"sim: {error}") from None


def _periods(texts: list[str]) -> list[Period]:
    periods = []
    for text in texts:
        start, _, stop = text.partition(":")
        try:
            periods.append((float(start), float(stop)))
        except ValueError:
            raise typer.BadParameter(f"{text!r} given; write START:STOP in seconds, like 5:45") from None
    return periods
