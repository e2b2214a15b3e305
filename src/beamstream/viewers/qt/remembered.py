"""What the viewer remembers from one time to the next: the last stream, and how it was looked at."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from beamstream.errors import ConfigurationError
from beamstream.viewers.qt.orientation import Orientation
from beamstream.watching.streams import StreamSpec, rings, spec_of_uri

log = logging.getLogger(__name__)
_SCHEMES = ("pva", "zmq", "tcp", "video", "file", "webcam", "ring")


def place() -> Path:
    """Return the file: ``~/.config/beamstream/viewer.json``, or below ``XDG_CONFIG_HOME``."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "beamstream" / "viewer.json"


def read() -> dict[str, Any]:
    """Return what was remembered; nothing if that cannot be read."""
    try:
        found = json.loads(place().read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(things: Mapping[str, Any]) -> None:
    """Remember; a viewer that cannot goes on, with a warning."""
    path = place()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{uuid4().hex}")
        fresh.write_text(json.dumps(things, indent=1))
        fresh.replace(path)
    except OSError as error:
        log.warning("viewer: %s cannot be written: %s; nothing is remembered", path, error.strerror)


def stream_of(known: Mapping[str, Any]) -> StreamSpec | None:
    """Return the last stream; None if that cannot be told."""
    stream = known.get("stream")
    try:
        return StreamSpec(stream["name"], stream["about"])  # pyright: ignore[reportOptionalSubscript]
    except (ConfigurationError, AttributeError, KeyError, TypeError):
        return None


def orientation_of(known: Mapping[str, Any]) -> Orientation:
    """Return how frames were turned; upright if that cannot be told."""
    flags = known.get("orientation")
    return Orientation(*map(bool, flags)) if isinstance(flags, list) and len(flags) == 3 else Orientation()


def spec_of(text: str) -> StreamSpec:
    """Return the stream that a person means who wrote this: a PV, a ring that is there, or a URI.

    Raises
    ------
    ConfigurationError
        It is nothing of these.
    """
    text = text.strip()
    if text.partition(":")[0] in _SCHEMES and ":" in text:
        return spec_of_uri(text)
    if text in rings():
        return StreamSpec(text)
    if not text or len(text.split()) != 1:
        raise ConfigurationError(f"viewer: {text!r} is no PV; write one, like 13SIM1:Pva1:Image")
    return spec_of_uri(f"pva://{text}")


def text_of(spec: StreamSpec) -> str:
    """Return what a person would write for a stream."""
    return spec.uri.removeprefix("pva://") or spec.name
