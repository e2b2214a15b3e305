"""Numbers with a unit that plans set and read: kept here, or in an EPICS record."""

from typing import Any

from event_model import DataKey
from ophyd import EpicsSignal, Signal

_PUT_TIMEOUT = 10.0  # s


class Number(Signal):
    """Keep a number, or a text, with its unit.

    Parameters
    ----------
    units : str, optional
        Of its data key.
    """

    def __init__(self, *, units: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._units = units

    def describe(self) -> dict[str, DataKey]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the data key."""
        key = super().describe()[self.name]
        return {self.name: key | {"units": self._units} if self._units else key}  # pyright: ignore[reportReturnType]


class EpicsNumber(EpicsSignal):
    """Set a number in one EPICS record, and read it there or in another one.

    A set is done when the record has processed it; whether the readback has followed is another matter.

    Parameters
    ----------
    pv : str
        What is set.
    readback : str, optional
        What is read, if that is another record.
    units : str, optional
        Of its data key, where the record itself has none.
    """

    def __init__(self, pv: str, *, readback: str | None = None, units: str | None = None, **kwargs: Any) -> None:
        options: dict[str, Any] = {"put_complete": True, "write_timeout": _PUT_TIMEOUT} | kwargs
        super().__init__(readback or pv, pv, **options)
        self._units = units

    def describe(self) -> dict[str, DataKey]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the data key."""
        key = super().describe()[self.name]
        return {self.name: key if key.get("units") else key | {"units": self._units}}  # pyright: ignore[reportReturnType]
