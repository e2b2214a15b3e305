"""What can be looked at: a stream by its name, and where it comes from when no session delivers it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beamstream.errors import ConfigurationError
from beamstream.file_uri import path_of
from beamstream.segment import PREFIX, is_written, ring_files

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_]+")
_CAMERAS = ("pva_detector", "rheed")
_SHORT = ("video", "webcam", "ring")  # what stands before a single colon; anything else begins the name of a PV
_EXAMPLES = "pva://PREFIX:Pva1:Image, zmq://HOST:PORT, video:film.mkv, webcam:0, or the name of a ring"


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """Say which stream, and where it comes from.

    Parameters
    ----------
    name : str
        Of the stream, and of the ring that its frames are in: the device's, or that of a derived stream, such as
        ``camera_corrected``. Letters, digits, ``_`` and ``-``.
    about : Mapping
        The device's section of the configuration as JSON has it: ``kind`` and ``pv``, ``address``, ``path`` or
        ``camera``, and what else is there. Empty for a ring that others write: it cannot be had without them.

    Raises
    ------
    ConfigurationError
        The name is none.
    """

    name: str
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name.replace("-", "").replace("_", "").isalnum():
            raise ConfigurationError(f"stream: the name {self.name!r} given; use letters, digits, - and _")

    @property
    def kind(self) -> str:
        """What kind of device it is, ``"pva_detector"``; empty for a ring that others write."""
        return str(self.about.get("kind", ""))

    @property
    def spectra(self) -> bool:
        """Whether frames are spectra."""
        return self.kind == "zmq_spectrometer"

    @property
    def uri(self) -> str:
        """Where frames come from, as they say it themselves; empty if that is not known."""
        about = self.about
        if self.kind in _CAMERAS:
            return f"pva://{about['pv']}"
        match self.kind:
            case "zmq_spectrometer":
                return "zmq://" + str(about["address"]).partition("://")[2]
            case "video":
                return Path(about["path"]).expanduser().absolute().as_uri()
            case "webcam":
                return f"webcam://{about.get('camera', 0)}"
        return ""

    @property
    def tappable(self) -> bool:
        """Whether a viewer may fetch frames itself: it must not take a webcam away from a session."""
        return bool(self.kind) and (self.kind != "webcam" or bool(self.about.get("alone")))

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can carry."""
        return {"name": self.name, "about": dict(self.about)}


def spec_of_uri(text: str) -> StreamSpec:
    """Return what a person means: ``pva://PV`` or a PV, ``zmq://HOST:PORT``, ``video:FILM``, ``webcam:0``, or a ring.

    Raises
    ------
    ConfigurationError
        It is nothing of these.
    """
    scheme, found, place = text.partition("://")
    if not found:
        scheme, found, place = text.partition(":")
        if not found:
            return StreamSpec(text)
        if scheme not in _SHORT:
            scheme, place = "pva", text
    if scheme == "file":
        scheme, place = "video", str(path_of(text))
    if not place or (scheme != "video" and len(place.split()) != 1):
        raise ConfigurationError(f"source: {text} asked for, which names nothing; write {_EXAMPLES}")
    match scheme:
        case "pva":
            return StreamSpec(_name(place), {"kind": "pva_detector", "pv": place})
        case "zmq" | "tcp":
            address = f"tcp://{place}"
            return StreamSpec(f"spectra-{_name(place.rpartition(':')[2])}", _spectrometer(address))
        case "video":
            path = str(Path(place).expanduser().absolute())
            return StreamSpec(_name(Path(path).stem), {"kind": "video", "path": path})
        case "webcam":
            camera = int(place) if place.isdigit() else place
            return StreamSpec(f"webcam-{_name(place)}", {"kind": "webcam", "camera": camera, "alone": True})
        case "ring":
            return StreamSpec(place)
    raise ConfigurationError(f"source: {text} asked for, its scheme is unknown; write {_EXAMPLES}")


def rings() -> dict[str, list[int]]:
    """Return the rings that living processes write, and which processes these are."""
    found: dict[str, list[int]] = {}
    for path in ring_files(""):
        name, _, serial = path.name.removeprefix(PREFIX).rpartition(".")
        owner = serial.partition("-")[0]
        if name and owner.isdigit() and int(owner) not in found.get(name, []) and is_written(path):
            found.setdefault(name, []).append(int(owner))
    return found


def _name(place: str) -> str:
    return _NOT_A_NAME.sub("-", place).strip("-") or "stream"


def _spectrometer(address: str) -> dict[str, Any]:
    from beamstream.sources.spectra_socket import Endpoint

    Endpoint.parse(address)
    return {"kind": "zmq_spectrometer", "address": address}
