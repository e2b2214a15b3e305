"""What can be recorded from the command line: a URI, or a device of the configuration."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from beamstream.errors import ConfigurationError

if TYPE_CHECKING:
    from beamstream.config import Config, DetectorConfig

_EXAMPLES = {
    "pva": "pva://PREFIX:Pva1:Image",
    "zmq": "zmq://HOST:PORT",
    "video": "video:film.mkv",
    "webcam": "webcam:0",
}
"""What can be recorded without being configured, by scheme."""
_PLACES = {"pva": "PV", "zmq": "address", "video": "film", "webcam": "camera"}
_NAMES = {"pva": "cam", "zmq": "spectra", "video": "film", "webcam": "webcam"}
_KINDS = {"pva": "pva_detector", "zmq": "zmq_spectrometer", "video": "video", "webcam": "webcam"}
_FILMS = {".mkv", ".mp4", ".avi", ".mov", ".webm", ".m4v", ".wmv", ".mpg", ".mpeg", ".ts", ".mts", ".mjpeg", ".gif"}
_OF = {
    "control": ({"pva_detector", "rheed"}, "cameras: pva://…"),
    "grey": ({"video", "webcam"}, "films and webcams"),
    "limited": ({"video"}, "films"),
    "speed": ({"video"}, "films"),
    "start": ({"video"}, "films"),
    "fps": ({"video", "webcam"}, "films and webcams"),
}
"""What options go with."""


def with_one_detector(config: "Config", source: str, **options: Any) -> "Config":
    """Return the configuration with a single device, the one that was asked for.

    Parameters
    ----------
    config : Config
    source : str
        ``pva://13SIM1:Pva1:Image``, ``zmq://127.0.0.1:9798``, ``webcam:0``, a film, or the name of a configured
        detector. A film is a file that is there, or what begins with ``video:``; its speed is 0 unless told.
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
    scheme, place = _split(source, config)
    if not scheme:
        device: dict[str, Any] = _configured(source, config).model_dump()
    elif scheme not in _EXAMPLES:
        raise ConfigurationError(f"source: {source} asked for, its scheme is unknown; write {_known(config)}")
    elif not place or (scheme != "video" and len(place.split()) != 1):
        raise ConfigurationError(f"source: {source} names no {_PLACES[scheme]}; write {_EXAMPLES[scheme]}")
    else:
        device = {"kind": _KINDS[scheme], **_at(scheme, place)}
    for option in said.keys() & _OF.keys():
        kinds, whose = _OF[option]
        if device["kind"] not in kinds:
            raise ConfigurationError(f"source: {option} asked for, {source} has none; it is of {whose}")
    name = said.pop("name", None) or _NAMES.get(scheme, source)
    one = checked(Config, {"devices": {name: device | said}})
    return config.model_copy(update={"devices": one.devices})


def _split(source: str, config: "Config") -> tuple[str, str]:
    """Return scheme and place; no scheme for the name of a configured device."""
    scheme, found, place = source.partition("://")
    if found:
        return scheme, place
    scheme, found, place = source.partition(":")
    if found and scheme in ("video", "webcam"):
        return scheme, place
    path = Path(source).expanduser()
    if source not in config.devices and (path.suffix.lower() in _FILMS or path.is_file()):
        return "video", source
    return "", source


def _at(scheme: str, place: str) -> dict[str, Any]:
    """Return where a device is, as its section says it."""
    match scheme:
        case "zmq":
            return {"address": f"tcp://{place}"}
        case "video":
            return {"path": Path(place), "speed": 0.0}
        case "webcam":
            return {"camera": int(place) if place.isdigit() else place}
        case _:
            return {"pv": place}


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
