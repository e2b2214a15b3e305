"""A beamline of simulated instruments, one process: cameras over PVAccess and Channel Access, motors.

``python -m beamstream.sim.beamline`` runs it; `beamstream.sim.process.SimProcess` runs it from Python.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from beamstream.frames import Geometry
from beamstream.sim.rheed import RheedSpec

if TYPE_CHECKING:
    from beamstream.sim.camera import SimCamera

_LOOPBACK = {  # nobody outside of this machine sees the simulation unless asked to
    "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
    "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
}
_PARENT_POLL = 0.2  # s


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """Say what one camera is.

    Parameters
    ----------
    prefix : str
        Image at ``PREFIX:Pva1:Image``, control at ``PREFIX:cam1:…``, faults at ``PREFIX:sim1:…``;
        ``PREFIX:Pva1:Scalar`` answers, but is no image.
    geometry : Geometry
        Codec included.
    period : float
        s between exposures at the start; 0 is as fast as it goes.
    free_running : bool
        Acquire from the start, continuously; otherwise wait for ``Acquire``.
    prefilled : bool
        Whether the server holds a picture (id 0) before the first acquisition.
    clock_offset : float
        s that this camera's clock is ahead of the system's.
    scene : {"pattern", "beam", "rheed"}
        Pictures that can be checked pixel by pixel, or a sample in an X-ray beam, which needs darks and flats:
        ``PREFIX:sim1:Shutter`` takes the light away, ``PREFIX:sim1:Sample`` the sample. It moves with the first
        motor: at 0 mm in the middle, from ±5 mm on out of the field. Or the diffraction pattern of a growing film
        (`RheedScene`), with the records of `RheedIoc`.
    rheed : RheedSpec, optional
        How the scene ``rheed`` begins: surface, rates, noise. Shape and pixels are those of `geometry`; when the
        source is open and the screen covered is up to the records.
    """

    prefix: str = "SIM:CAM"
    geometry: Geometry = Geometry((1024, 1024), "<u2")  # noqa: RUF009, it is frozen
    period: float = 0.02
    free_running: bool = False
    prefilled: bool = True
    clock_offset: float = 0.0
    scene: Literal["pattern", "beam", "rheed"] = "pattern"
    rheed: RheedSpec | None = None

    @property
    def image(self) -> str:
        """The PVAccess name of the images."""
        return f"{self.prefix}:Pva1:Image"


@dataclass(frozen=True, slots=True)
class MotorSpec:
    """Say what one motor is: an EPICS motor record; positions in mm, velocity in mm/s."""

    prefix: str = "SIM:MTR1"
    velocity: float = 10.0
    low_limit: float = -100.0
    high_limit: float = 100.0


@dataclass(frozen=True, slots=True)
class Beamline:
    """Say which instruments there are; the default is one controlled camera and one motor."""

    cameras: tuple[CameraSpec, ...] = (CameraSpec(),)
    motors: tuple[MotorSpec, ...] = (MotorSpec(),)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can carry."""
        cameras = [
            _fields(c) | {"geometry": c.geometry.to_dict(), "rheed": c.rheed.to_dict() if c.rheed else None}
            for c in self.cameras
        ]
        return {"cameras": cameras, "motors": [_fields(m) for m in self.motors]}

    @classmethod
    def from_dict(cls, doc: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        cameras = []
        for c in doc["cameras"]:
            rheed = RheedSpec.from_dict(c["rheed"]) if c.get("rheed") else None
            cameras.append(CameraSpec(**c | {"geometry": Geometry.from_dict(c["geometry"]), "rheed": rheed}))
        return cls(tuple(cameras), tuple(MotorSpec(**m) for m in doc["motors"]))

    def names(self) -> dict[str, Any]:
        """Return the PV names, as the line that a running beamline prints."""
        cameras = [
            {
                "prefix": c.prefix,
                "image": c.image,
                "control": f"{c.prefix}:cam1:",
                "faults": f"{c.prefix}:sim1:",
                "scene": c.scene,
            }
            for c in self.cameras
        ]
        return {"cameras": cameras, "motors": [m.prefix for m in self.motors]}


def run(
    beamline: Beamline | None = None,
    *,
    parent: int | None = None,
    ready: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Run a beamline until SIGTERM, SIGINT or SIGHUP; to be called in the main thread.

    Listens on 127.0.0.1 unless ``EPICS_PVAS_INTF_ADDR_LIST`` and ``EPICS_CAS_INTF_ADDR_LIST`` say otherwise.

    Parameters
    ----------
    beamline : Beamline, optional
    parent : int, optional
        End also when the parent process is no longer this one.
    ready : callable, optional
        Called once with ``{"ready": true, "pid": …, "cameras": […], "motors": […]}`` when everything
        answers; default prints it as one line of JSON.
    """
    for name, value in _LOOPBACK.items():
        os.environ.setdefault(name, value)
    logging.getLogger("caproto.ctx").addFilter(_not_a_beacon)
    asyncio.run(_serve(beamline or Beamline(), parent, ready or _print))


async def _serve(beamline: Beamline, parent: int | None, ready: Callable[[dict[str, Any]], None]) -> None:
    from caproto.asyncio.server import Context

    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, over.set)
    with ExitStack() as stack:
        pvdb = _instruments(beamline, stack)
        for motor in beamline.motors:
            await _in_mm(pvdb[motor.prefix])
        started = asyncio.Event()

        async def hook(async_lib: Any) -> None:
            started.set()

        ioc = asyncio.create_task(Context(pvdb, _interfaces()).run(startup_hook=hook))
        ends = asyncio.create_task(_ends(over, parent))
        up = asyncio.create_task(started.wait())
        await asyncio.wait({ioc, ends, up}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if started.is_set():
            ready({"ready": True, "pid": os.getpid()} | beamline.names())
        await asyncio.wait({ioc, ends}, return_when=asyncio.FIRST_COMPLETED)
        ends.cancel()
        ioc.cancel()
        await ioc  # raises what ended it, if it was not us


def _interfaces() -> list[str]:
    from caproto import get_server_address_list

    return get_server_address_list()


def _instruments(beamline: Beamline, stack: ExitStack) -> dict[str, Any]:
    """Start the PVAccess server and the cameras; return the Channel Access records."""
    import pvaccess
    from caproto.ioc_examples.fake_motor_record import FakeMotor

    from beamstream.sim.ioc import CameraIoc
    from beamstream.sim.rheed_ioc import RheedIoc

    pva: Any = pvaccess  # compiled, without type information
    server = pva.PvaServer()
    server.start()
    stack.callback(server.stop)
    pvdb: dict[str, Any] = {}
    positions: list[Any] = []
    for motor in beamline.motors:
        limits = (motor.low_limit, motor.high_limit)
        group = FakeMotor(prefix=motor.prefix, velocity=motor.velocity, user_limits=limits, tick_rate_hz=50.0)
        positions.append(group.motor.field_inst.user_readback_value)
        pvdb |= group.pvdb
    for spec in beamline.cameras:
        camera = stack.enter_context(_camera(spec, server))
        if positions:
            camera.sample_position = lambda: positions[0].value
        scalar = pva.PvObject({"value": pva.DOUBLE}, {"value": 42.0}, "epics:nt/NTScalar:1.0")
        server.addRecord(f"{spec.prefix}:Pva1:Scalar", scalar, None)
        pvdb |= (RheedIoc if spec.scene == "rheed" else CameraIoc)(camera).pvdb
    return pvdb


async def _in_mm(motor: Any) -> None:
    """Have a motor record say its unit, as real ones do."""
    await motor.field_inst.engineering_units.write("mm")
    for position in (motor, motor.field_inst.user_readback_value):
        await position.write_metadata(units="mm")


def _camera(spec: CameraSpec, server: Any) -> "SimCamera":
    from beamstream.sim.camera import SimCamera

    return SimCamera(
        spec.prefix,
        spec.geometry,
        server=server,
        period=spec.period,
        free_running=spec.free_running,
        prefilled=spec.prefilled,
        clock=lambda: time.time() + spec.clock_offset,
        scene=spec.scene,
        rheed=spec.rheed,
    )


async def _ends(over: asyncio.Event, parent: int | None) -> None:
    """Return when a signal came or the parent is gone.

    Polled: PR_SET_PDEATHSIG would fire when the *thread* that started this process ends.
    """
    while not over.is_set() and (parent is None or os.getppid() == parent):
        try:
            await asyncio.wait_for(over.wait(), _PARENT_POLL if parent else None)
        except TimeoutError:
            continue


def _not_a_beacon(record: logging.LogRecord) -> bool:
    """Keep out a stack trace a second when no client listens for beacons on this machine."""
    return not record.getMessage().startswith("Failed to send beacon")


def _fields(spec: Any) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__slots__}


def _print(names: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(names) + "\n")
    sys.stdout.flush()


def main(argv: list[str] | None = None) -> None:
    """Run the beamline that the command line describes."""
    parser = argparse.ArgumentParser(description="Serve simulated cameras and motors over EPICS.")
    parser.add_argument("--json", help="a beamline, as Beamline.to_dict() writes it")
    parser.add_argument("--parent", type=int, help="end when this process is no longer the parent")
    options = parser.parse_args(argv)
    run(Beamline.from_dict(json.loads(options.json)) if options.json else None, parent=options.parent)


if __name__ == "__main__":
    main()
