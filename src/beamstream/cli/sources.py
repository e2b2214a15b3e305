"""What can be recorded from the command line: a URI, or a device of the configuration."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from beamstream.errors import ConfigurationError

if TYPE_CHECKING:
    from beamstream.config import Config, DetectorConfig

_EXAMPLES = {"pva": "pva://PREFIX:Pva1:Image", "zmq": "zmq://HOST:PORT"}
"""What can be recorded without being configured, by scheme."""
_PLACES = {"pva": "PV", "zmq": "address"}
_NAMES = {"pva": "cam", "zmq": "spectra"}


def with_one_detector(config: "Config", source: str, **options: Any) -> "Config":
    """Return the configuration with a single device, the one that was asked for.

    Parameters
    ----------
    config : Config
    source : str
        ``pva://13SIM1:Pva1:Image``, ``zmq://127.0.0.1:9798``, or the name of a configured detector.
    options
        ``name`` and keys of the detector's section; None leaves what the configuration says.

    Raises
    ------
    ConfigurationError
        A scheme, a name or an option is wrong.
    """
    from beamstream.cli.checked import checked
    from beamstream.config import Config

    said = {key: value for key, value in options.items() if value is not None}
    scheme, found, place = source.partition("://")
    if not found:
        device: dict[str, Any] = _configured(source, config).model_dump()
    elif scheme not in _EXAMPLES:
        raise ConfigurationError(f"source: {source} asked for, its scheme is unknown; write {_known(config)}")
    elif len(place.split()) != 1:
        raise ConfigurationError(f"source: {source} names no {_PLACES[scheme]}; write {_EXAMPLES[scheme]}")
    elif scheme == "zmq":
        device = {"kind": "zmq_spectrometer", "address": f"tcp://{place}"}
    else:
        device = {"kind": "pva_detector", "pv": place}
    if device["kind"] != "pva_detector" and "control" in said:
        raise ConfigurationError(f"source: control asked for, {source} has none; it is of cameras: pva://…")
    name = said.pop("name", None) or (_NAMES[scheme] if found else source)
    one = checked(Config, {"devices": {name: device | said}})
    return config.model_copy(update={"devices": one.devices})


def recorded_into(config: "Config", archive: Path | None) -> "Config":
    """Return the configuration with another archive, whose recordings lie in it; None changes nothing."""
    if archive is None:
        return config
    archive = archive.expanduser().absolute()
    return config.model_copy(
        update={
            "archive": config.archive.model_copy(update={"directory": archive}),
            "recording": config.recording.model_copy(update={"directory": archive / "recordings"}),
        }
    )


def _configured(name: str, config: "Config") -> "DetectorConfig":
    from beamstream.config import DetectorConfig

    device = config.devices.get(name)
    if not isinstance(device, DetectorConfig):
        raise ConfigurationError(f"source: {name} asked for, which is no configured detector; write {_known(config)}")
    return device


def _known(config: "Config") -> str:
    from beamstream.config import DetectorConfig

    detectors = [n for n, d in config.devices.items() if isinstance(d, DetectorConfig)]
    return " or ".join([*_EXAMPLES.values(), *detectors])
