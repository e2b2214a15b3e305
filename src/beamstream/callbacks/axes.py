"""What documents hold about values: where those of spectra lie, how large a pixel is, what is kept beside them."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from beamstream.callbacks.images import object_name
from beamstream.sinks.axes import Axes
from beamstream.sinks.hdf5_layout import SCALARS, Column


def axes_of(descriptor: Mapping[str, Any], data_key: str) -> Axes | None:
    """Return where the values of spectra lie; None for other arrays, or where it is not in the documents."""
    about = descriptor["data_keys"][data_key]
    frequency = settings_of(descriptor, data_key).get("frequency", ())
    return Axes.of(tuple(about["shape"]), tuple(about.get("dims", ())), frequency, about.get("units", ""))


def settings_of(descriptor: Mapping[str, Any], data_key: str) -> dict[str, Any]:
    """Return the configuration of the detector that a data key is of, by name without the detector's."""
    name = object_name(descriptor, data_key)
    settings = descriptor.get("configuration", {}).get(name, {}).get("data", {})
    return {key.removeprefix(f"{name}_"): value for key, value in settings.items()}


def pixel_of(descriptor: Mapping[str, Any], data_key: str) -> dict[str, Any]:
    """Return how large a pixel is, where the data key or the detector's configuration holds it."""
    about, settings = descriptor["data_keys"][data_key], settings_of(descriptor, data_key)
    size = about.get("pixel_size", settings.get("pixel_size"))
    units = about.get("pixel_units", settings.get("pixel_units"))
    size = [size, size] if is_finite(size) else size
    if not isinstance(size, list | tuple) or len(size) != 2 or not all(is_finite(n) and n > 0 for n in size):
        return {}
    return {"pixel_size": [float(n) for n in size], "pixel_units": str(units or "")[:40]}


def pixel_of_made(descriptor: Mapping[str, Any], data_key: str, shape: Sequence[int]) -> dict[str, Any]:
    """Return how large a pixel is of images made of others, where that is known: they may be turned, or shrunk."""
    pixel, whole = pixel_of(descriptor, data_key), descriptor["data_keys"][data_key].get("shape")
    same = list(shape) == list(whole or ())
    return pixel if same and len(set(pixel.get("pixel_size", ()))) == 1 else {}


def treatment_of(descriptor: Mapping[str, Any], data_key: str) -> dict[str, Any]:
    """Return what a spectrometer was configured to record of each spectrum; nothing for others."""
    settings = settings_of(descriptor, data_key)
    return {key: settings[key] for key in ("polarization", "channel_averaging") if key in settings}


def columns_of(descriptor: Mapping[str, Any], data_key: str) -> tuple[Column, ...]:
    """Return which numbers are in the file beside the frames, other than those that every file has, and attributes."""
    name = object_name(descriptor, data_key)
    known = {column.name for column in SCALARS}
    found = []
    for key in descriptor.get("object_keys", {}).get(name, ()):
        about, short = descriptor["data_keys"][key], key.removeprefix(f"{name}_")
        if (
            "external" in about
            and "attribute" not in about
            and not about["shape"]
            and key != short
            and short not in known
        ):
            found.append(Column(short, about.get("dtype_numpy", "<f8"), about.get("units", "")))
    return tuple(found)


def is_finite(value: Any) -> bool:
    """Return whether a value is a number that JSON can carry."""
    return isinstance(value, Real) and not isinstance(value, bool) and abs(float(value)) < float("inf")
