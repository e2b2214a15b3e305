"""`beamstream sim`: instruments that are not there; here cameras and motors, over real EPICS."""

import math
import os
import threading
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from beamstream.cli import ending, sim_rheed, sim_spectra
from beamstream.cli.console import err, out, print_json_line
from beamstream.errors import ConfigurationError

if TYPE_CHECKING:
    from beamstream.frames import Geometry
    from beamstream.sim.beamline import CameraSpec, MotorSpec

app = typer.Typer(no_args_is_help=True, help="Run simulated instruments until Ctrl-C.", rich_markup_mode="markdown")
app.command()(sim_spectra.spectra)
app.command()(sim_rheed.rheed)

SceneName = Literal["pattern", "beam", "rheed"]
Isolated = Annotated[
    bool, typer.Option("--isolated", help="On ports of its own; prints the EPICS variables that find it.")
]
Shape = Annotated[str, typer.Option(help="Rows x columns; of a mono pattern any number of sizes.")]
Dtype = Annotated[str, typer.Option(help="uint8, int16, uint16, float32 …")]
Colour = Annotated[str, typer.Option(help="mono, bayer, rgb1, rgb2 or rgb3.")]
Codec = Annotated[str, typer.Option(help="none, blosc, lz4, lz4hdf5, bslz4, zlib or jpeg.")]
Fps = Annotated[float, typer.Option(min=0, help="Frames a second; 0: as fast as it goes.")]
Free = Annotated[bool, typer.Option("--free-running", help="Acquire from the start; otherwise wait for cam1:Acquire.")]
Scene = Annotated[
    SceneName,
    typer.Option(
        help="pattern: pixels that can be checked; beam: a sample in X-rays, which needs darks and flats; "
        "rheed: a growing film, see `beamstream sim rheed`."
    ),
]
Fault = Annotated[
    list[str] | None, typer.Option("--fault", metavar="NAME=VALUE", help="What goes wrong; repeat it. See below.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON when everything answers.")]


@app.command()
def camera(
    prefix: Annotated[str, typer.Option(help="Image at PREFIX:Pva1:Image, control at PREFIX:cam1:.")] = "SIM:CAM",
    shape: Shape = "1024x1024",
    dtype: Dtype = "uint16",
    colour: Colour = "mono",
    codec: Codec = "none",
    scene: Scene = "pattern",
    fps: Fps = 50.0,
    free_running: Free = False,
    fault: Fault = None,
    isolated: Isolated = False,
    as_json: AsJson = False,
) -> None:
    """Run one simulated camera: NTNDArray images over PVAccess, areaDetector's records over Channel Access.

    Faults: skip_every=N, skip_random=P, skip_ids=3,4,5, repeat_every=N, restart_at=N, silent_after=N,
    change_shape_at=N, change_dtype_at=N, malformed_at=N, piecewise=1. Examples:

    `beamstream sim camera --free-running --fps 100`

    `beamstream sim camera --isolated --shape 480x640 --colour rgb1 --dtype uint8 --fault skip_every=100`
    """
    spec = camera_spec(prefix, geometry(shape, dtype, colour, codec, scene), fps, free_running, scene)
    run((spec,), (), faults_from(fault or []), isolated, as_json)


@app.command()
def beamline(
    cameras: Annotated[int, typer.Option(min=1, max=8, help="SIM:CAM, SIM:CAM2, …")] = 1,
    motors: Annotated[int, typer.Option(min=0, max=16, help="SIM:MTR1, SIM:MTR2, …")] = 1,
    shape: Shape = "1024x1024",
    dtype: Dtype = "uint16",
    colour: Colour = "mono",
    codec: Codec = "none",
    scene: Scene = "pattern",
    fps: Fps = 50.0,
    free_running: Free = False,
    fault: Fault = None,
    isolated: Isolated = False,
    as_json: AsJson = False,
) -> None:
    """Run simulated cameras and motors, as profile/beamstream.toml expects them.

    Examples:

    `beamstream sim beamline`

    `beamstream sim beamline --scene beam`, for darks and flats: sim1:Shutter takes the light away, sim1:Sample the
    sample, which moves with the first motor (0 mm: in the middle, from 5 mm on: out of the field)

    `beamstream sim beamline --isolated --cameras 2 --motors 3 --fps 20`
    """
    from beamstream.sim.beamline import MotorSpec

    pictures = geometry(shape, dtype, colour, codec, scene)
    names = [f"SIM:CAM{n if n > 1 else ''}" for n in range(1, cameras + 1)]
    specs = tuple(camera_spec(name, pictures, fps, free_running, scene) for name in names)
    moving = tuple(MotorSpec(f"SIM:MTR{n}") for n in range(1, motors + 1))
    run(specs, moving, faults_from(fault or []), isolated, as_json)


def camera_spec(prefix: str, geometry: "Geometry", fps: float, free_running: bool, scene: SceneName) -> "CameraSpec":
    """Return the camera that the options describe."""
    from beamstream.sim.beamline import CameraSpec

    return CameraSpec(prefix.rstrip(":"), geometry, 1 / fps if fps else 0.0, free_running, scene=scene)


def geometry(shape: str, dtype: str, colour: str, codec: str, scene: str = "pattern") -> "Geometry":
    """Return what is asked for, checked by those who will have to make it."""
    import numpy as np

    from beamstream.frames import ColorMode, Geometry
    from beamstream.sim import encode
    from beamstream.sim import scene as beam
    from beamstream.sim.pattern import levels
    from beamstream.sim.rheed import rheed_spec

    sizes = shape.lower().split("x")
    axes = (2,) if (colour, scene) != ("mono", "pattern") else range(1, 11)  # areaDetector's ND_ARRAY_MAX_DIMS
    if len(sizes) not in axes or not all(map(str.isdecimal, sizes)) or math.prod(map(int, sizes)) < 64:
        raise typer.BadParameter(
            f"{shape!r} given; write rows x columns, like 1024x1024, 64 pixels or more; of a mono pattern also a "
            f"trace, 5000, or a stack, 7x480x640",
            param_hint="--shape",
        )
    try:
        mode = ColorMode(colour)
        axis = {ColorMode.RGB1: 2, ColorMode.RGB2: 1, ColorMode.RGB3: 0}.get(mode)
        whole = [int(size) for size in sizes]
        if axis is not None:
            whole.insert(axis, 3)
        geometry = Geometry(tuple(whole), np.dtype(dtype).str, mode, "" if codec == "none" else codec)
        levels(geometry.dtype)
        encode.check(geometry)
        if scene == "beam":
            beam.check(geometry)
        elif scene == "rheed":
            rheed_spec(geometry)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"sim: {error}") from None
    return geometry


def faults_from(pairs: list[str]) -> dict[str, Any]:
    """Return the PVs below ``sim1:`` to put for ``NAME=VALUE`` of faults, and what."""
    from beamstream.sim.faults import Faults

    known = [f.name for f in fields(Faults) if f.name != "change_shape"]
    puts: dict[str, Any] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in known or not text:
            raise typer.BadParameter(f"{pair!r} given; write NAME=VALUE, NAME from {', '.join(known)}")
        try:
            puts["".join(part.title() for part in name.split("_"))] = _fault_value(name, text)
        except ValueError:
            raise typer.BadParameter(f"{pair!r} given; a number is wanted", param_hint="--fault") from None
    return puts


def _fault_value(name: str, text: str) -> Any:
    if name in ("malformed", "change_dtype"):
        return text
    if name == "skip_ids":
        return [int(number) for number in text.split(",")]
    return float(text) if name == "skip_random" else int(text)


def run(
    cameras: tuple["CameraSpec", ...],
    motors: tuple["MotorSpec", ...],
    puts: dict[str, Any],
    isolated: bool,
    as_json: bool,
) -> None:
    """Run instruments until they are asked to end; `puts` go to each camera's PVs below ``sim1:`` first."""
    from beamstream.sim import beamline
    from beamstream.sim.loopback import loopback_environment

    if isolated:
        os.environ.update(loopback_environment())

    def ready(names: dict[str, Any]) -> None:  # called by the server's own loop, which must go on
        threading.Thread(target=_begin, args=(names, puts, isolated, as_json), daemon=True).start()

    beamline.run(beamline.Beamline(cameras, motors), ready=ready)
    ending.install()  # asyncio took the handlers away
    ending.over()
    if not as_json:
        err().print("beamstream: the simulation has ended")


def _begin(names: dict[str, Any], puts: dict[str, Any], isolated: bool, as_json: bool) -> None:
    """Put what was asked for, then say that everything answers."""
    try:
        for camera in names["cameras"]:
            _put(camera["faults"], puts)
    except Exception as error:
        err().print(f"beamstream: sim: not all could be set: {error}", style="red")
    variables = _client_variables(isolated)
    if as_json:
        print_json_line(names | {"environment": variables})
        return
    console = out()
    for camera in names["cameras"]:
        console.print(f"images   pva://{camera['image']}")
        console.print(f"control  {camera['control']}")
        console.print(f"faults   {camera['faults']}")
        if camera["scene"] == "beam":
            console.print(f"shutter  {camera['faults']}Shutter")
            console.print(f"sample   {camera['faults']}Sample")
        if camera["scene"] == "rheed":
            console.print(f"growth   {camera['faults']}Source GrowthRate Rotation Azimuth Temperature RampRate Shutter")
    for motor in names["motors"]:
        console.print(f"motor    {motor}")
    console.print("In another terminal, so that clients find it:")
    for name, value in variables.items():
        console.print(f"  export {name}={value}")
    console.print("Ctrl-C ends it.")


def _put(prefix: str, values: dict[str, Any]) -> None:
    if not values:
        return
    os.environ.setdefault("EPICS_CA_ADDR_LIST", "127.0.0.1")
    from caproto.sync.client import write

    for name, value in values.items():
        write(f"{prefix}{name}", value, notify=True, timeout=5, repeater=False)


def _client_variables(isolated: bool) -> dict[str, str]:
    """Return what a client's environment needs to find us."""
    if isolated:
        return {name: value for name, value in os.environ.items() if name.startswith(("EPICS_", "OPHYD_"))}
    lists = {"EPICS_PVA_ADDR_LIST": "127.0.0.1", "EPICS_CA_ADDR_LIST": "127.0.0.1"}
    return lists | {"EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_PVA_AUTO_ADDR_LIST": "NO"}
