"""What can be recorded from the command line: a URI, or a device of the configuration."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from beamstream.errors import ConfigurationError

if TYPE_CHECKING:
    from beamstream.config import Config, PvaDetectorConfig

SCHEMES = ("pva",)
_NAME = "cam"


def with_one_detector(config: "Config", source: str, **options: Any) -> "Config":
    """Return the configuration with a single device, the one that was asked for.

    Parameters
    ----------
    config : Config
    source : str
        ``pva://13SIM1:Pva1:Image``, or the name of a configured detector.
    options
        ``name`` and keys of `beamstream.config.PvaDetectorConfig`; None leaves what the configuration says.

    Raises
    ------
    ConfigurationError
        A scheme, a name or an option is wrong.
    """
    from beamstream.cli.checked import checked
    from beamstream.config import Config, PvaDetectorConfig

    said = {key: value for key, value in options.items() if value is not None}
    scheme, found, pv = source.partition("://")
    if not found:
        device: dict[str, Any] = _configured(source, config).model_dump()
    elif scheme not in SCHEMES:
        raise ConfigurationError(f"source: {source} asked for, its scheme is unknown; write {_known(config)}")
    elif len(pv.split()) != 1:
        raise ConfigurationError(f"source: {source} names no PV; write pva://PREFIX:Pva1:Image")
    else:
        device = {"kind": "pva_detector", "pv": pv}
    name = said.pop("name", None) or (_NAME if found else source)
    checked(Config, {"devices": {name: device | said}})
    return config.model_copy(update={"devices": {name: checked(PvaDetectorConfig, device | said)}})


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


def _configured(name: str, config: "Config") -> "PvaDetectorConfig":
    from beamstream.config import PvaDetectorConfig

    device = config.devices.get(name)
    if not isinstance(device, PvaDetectorConfig):
        raise ConfigurationError(f"source: {name} asked for, which is no configured detector; write {_known(config)}")
    return device


def _known(config: "Config") -> str:
    from beamstream.config import PvaDetectorConfig

    detectors = [n for n, d in config.devices.items() if isinstance(d, PvaDetectorConfig)]
    return " or ".join([*(f"{s}://PREFIX:Pva1:Image" for s in SCHEMES), *detectors])
