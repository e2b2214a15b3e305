"""The Channel Access side of a simulated RHEED camera: its chamber's records beside those of the camera."""

from collections.abc import Iterator
from math import isfinite
from typing import Any

from beamstream.sim.ioc import CameraIoc, Put, enum, record, refused, shown
from beamstream.sim.rheed_chamber import Condition

_LIMITS = {  # what may be put, in the records' units
    "growth_rate": (0.0, 100.0),
    "rotation": (-600.0, 600.0),
    "azimuth": (-360.0, 360.0),
    "setpoint": (-273.0, 2000.0),
    "ramp_rate": (0.0, 1000.0),
}


def _switch(name: str) -> Put:
    low, high = _LIMITS[name]

    async def put(group: "RheedIoc", instance: Any, value: float) -> None:
        if not isfinite(value) or not low <= value <= high:
            raise refused(instance, value, f"it is from {low:g} to {high:g}")
        group.camera.chamber.switch(**{name: float(value)})
        group.refresh()

    return put


async def _open(group: "RheedIoc", instance: Any, value: str) -> str:
    if value not in instance.enum_strings:
        raise refused(instance, value, f"there are {', '.join(instance.enum_strings)}")
    group.camera.chamber.switch(source_open=value == "Open")
    group.refresh()
    return value


def _set(name: str, field: str, units: str, **options: Any) -> Any:
    value = getattr(_START, field, 0.0)  # the others are shown when the server runs
    return record(name=f"sim1:{name}", value=value, units=units, precision=3, put=_switch(field), **options)


_START = Condition(0.0)


class RheedIoc(CameraIoc):
    """Serve a camera with the scene ``rheed``: `CameraIoc`, and the chamber below ``PREFIX:sim1:``.

    The surface grows while ``Source`` is open, with ``GrowthRate``; the sample turns with ``Rotation``; the
    temperature goes to ``Temperature`` with ``RampRate``. ``Shutter`` covers the screen. Read-backs at 20 Hz.
    """

    source = enum("sim1:Source", ["Closed", "Open"], put=_open, doc="open: the film grows")
    growth_rate = _set("GrowthRate", "growth_rate", "ML/s", doc="while the source is open")
    rotation = _set("Rotation", "rotation", "rpm", doc="of the sample; negative turns the other way")
    azimuth = _set("Azimuth", "azimuth", "deg", doc="a put turns the sample there at once")
    azimuth_rbv = shown("sim1:Azimuth_RBV", 0.0, units="deg", precision=3)
    temperature = _set("Temperature", "setpoint", "degC", doc="of the sample, where it is to go")
    temperature_rbv = shown("sim1:Temperature_RBV", _START.temperature, units="degC", precision=3)
    ramp_rate = _set("RampRate", "ramp_rate", "degC/s", doc="how fast the temperature goes there")
    layers_rbv = shown("sim1:Layers_RBV", 0.0, units="ML", precision=3, doc="grown since the start")

    async def follow(self) -> None:
        """Show where the sample stands at the start, then what camera and chamber do."""
        await self.azimuth.write(self.camera.chamber.now().azimuth, verify_value=False)
        await super().follow()

    def _truth(self) -> Iterator[tuple[str, Any]]:
        now = self.camera.chamber.now()
        yield "source", "Open" if now.source_open else "Closed"
        yield "growth_rate", now.kinetics.growth_rate
        yield "rotation", now.rotation
        yield "azimuth_rbv", now.azimuth
        yield "temperature_rbv", now.temperature
        yield "layers_rbv", now.layers
        yield from super()._truth()
