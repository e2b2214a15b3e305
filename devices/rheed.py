"""A RHEED camera: frames over PVAccess, and with each run how the gun and the sample stood."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from event_model import DataKey
from ophyd import Component as Cpt
from ophyd import Kind

from beamstream.errors import NotConnected
from devices.number import EpicsNumber, Number
from devices.pva_detector import PvaDetector

UNITS: Mapping[str, str | None] = MappingProxyType(
    {
        "rotations_per_min": "rpm",
        "azimuth": "deg",
        "direction": None,
        "gun_energy": "keV",
        "filament_current": "A",
        "emission_current": "uA",
        "incidence_angle": "deg",
        "screen_distance": "mm",
    }
)
"""Of each setting; `direction` is a text such as ``[110]``."""


def _setting(name: str) -> Any:
    return Cpt(Number, value=None, units=UNITS[name], kind="omitted")


class RheedDetector(PvaDetector):
    """Record every frame of a RHEED camera, and say with each run how gun and sample stood.

    The settings below are configuration: each stands in the descriptor of the frames, with its unit. What nobody
    knows is left out, but for the rotation: that is 0 until somebody says otherwise.

    Parameters
    ----------
    pv : str
        The NTNDArray record.
    settings : dict, optional
        By name: a number, or the EPICS record that holds it. ``{"gun_energy": 15.0, "rotations_per_min":
        "MBE:Manipulator:Speed"}``. A record is written when the setting is set.
    **kwargs
        ``name``, ``control`` and the others of `PvaDetector`.

    Attributes
    ----------
    rotations_per_min : Signal
        Of the sample.
    azimuth : Signal
        Of the beam against the sample, deg.
    direction : Signal
        The same in words: ``[110]``.
    gun_energy, filament_current, emission_current : Signal
        keV, A, uA.
    incidence_angle, screen_distance : Signal
        deg between beam and surface; mm from sample to screen.
    """

    rotations_per_min = _setting("rotations_per_min")
    azimuth = _setting("azimuth")
    direction = _setting("direction")
    gun_energy = _setting("gun_energy")
    filament_current = _setting("filament_current")
    emission_current = _setting("emission_current")
    incidence_angle = _setting("incidence_angle")
    screen_distance = _setting("screen_distance")

    def __new__(cls, *_args: Any, settings: Mapping[str, Any] | None = None, **_kwargs: Any) -> "RheedDetector":
        """Make a detector whose components are as its settings want them."""
        records = {name: said for name, said in (settings or {}).items() if _is_record(name, said)}
        made: Any = _with_records(cls, tuple(sorted(records.items()))) if records else cls
        return super().__new__(made)

    def __init__(self, pv: str, *, settings: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        said = dict(settings or {})
        if unknown := sorted(set(said) - set(UNITS)):
            raise ValueError(
                f"{kwargs.get('name', '')}: settings {', '.join(unknown)} given; there are {', '.join(UNITS)}"
            )
        super().__init__(pv, **kwargs)
        for name, value in ({"rotations_per_min": 0.0} | said).items():
            if not _is_record(name, value) and value is not None:
                getattr(self, name).put(value)

    @property
    def connected(self) -> bool:
        """Whether the PV answers now, and every record that a setting or the control is kept in."""
        return super().connected and all(getattr(self, name).connected for name in UNITS)

    def _prepare(self, timeout: float) -> None:
        for record in (getattr(self, name) for name in UNITS):
            if isinstance(record, EpicsNumber):
                self._wait_for(record, timeout)
        super()._prepare(timeout)

    def _wait_for(self, record: EpicsNumber, timeout: float) -> None:
        try:
            record.wait_for_connection(timeout=timeout)
        except TimeoutError:
            raise NotConnected(
                f"{self.name}: {record.attr_name} is kept in {record.pvname}, which does not answer "
                f"within {timeout:g} s; start its IOC, or give the setting as a number"
            ) from None

    # configuration

    def read_configuration(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the settings that are known, and the camera's."""
        known = {key: value for name in self._known for key, value in getattr(self, name).read().items()}
        return {**super().read_configuration(), **known}

    def describe_configuration(self) -> dict[str, DataKey]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Describe the settings that are known, and the camera's."""
        known = {key: value for name in self._known for key, value in getattr(self, name).describe().items()}
        return {**super().describe_configuration(), **known}

    @property
    def _known(self) -> list[str]:
        return [n for n in UNITS if isinstance(s := getattr(self, n), EpicsNumber) or s.get() is not None]


def _is_record(name: str, said: Any) -> bool:
    return isinstance(said, str) and UNITS.get(name) is not None  # the direction is a text anyway


@cache
def _with_records(cls: type[Any], records: tuple[tuple[str, str], ...]) -> type[Any]:
    """Return the class with some settings kept in EPICS records."""
    components = {
        name: Cpt(EpicsNumber, pv, units=UNITS[name], add_prefix=(), kind=Kind.omitted) for name, pv in records
    }
    return type(cls.__name__, (cls,), {"__doc__": cls.__doc__, "__module__": cls.__module__} | components)
