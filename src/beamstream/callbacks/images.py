"""What documents hold about images: which streams have them, who made them, where they are kept."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from beamstream.file_uri import path_of
from beamstream.recorded import RecordedFrames

Emit = Callable[[str, dict[str, Any]], None]
DERIVED = "derived_from"
"""Key in a stream's configuration that names the data key it was made of."""


class Source:
    """The frames of one recorded file, as far as documents have announced them.

    Attributes
    ----------
    descriptor : dict
        Of the stream that they are in.
    data_key : str
    name : str
        Of the detector.
    path : Path
    announced, done : int
        Rows.
    """

    def __init__(self, descriptor: Mapping[str, Any], resource: Mapping[str, Any]) -> None:
        self.descriptor = descriptor
        self.data_key: str = resource["data_key"]
        self.name = object_name(descriptor, self.data_key)
        self.path = path_of(resource["uri"])
        self.dataset: str = resource["parameters"]["dataset"]
        self.announced = 0
        self.done = 0
        self._frames: RecordedFrames | None = None
        self._late = 0

    @property
    def frames(self) -> RecordedFrames:
        """Where the rows are read, opened at the first use; of the worker's thread."""
        if self._frames is None:
            self._frames = RecordedFrames(self.path, ring=self.name, dataset=self.dataset)
        return self._frames

    @property
    def late(self) -> int:
        """Rows that were read from the file because no ring had them any more."""
        return self._late + (self._frames.origins.file if self._frames is not None else 0)

    def close(self) -> None:
        """Let go of the file."""
        self._late = self.late
        frames, self._frames = self._frames, None
        if frames is not None:
            frames.close()


def image_keys(descriptor: Mapping[str, Any]) -> list[str]:
    """Return the data keys of a stream whose values are images in files."""
    keys: Iterable[tuple[str, Any]] = descriptor["data_keys"].items()
    return [key for key, about in keys if "external" in about and ("color_mode" in about or len(about["shape"]) >= 2)]


def object_name(descriptor: Mapping[str, Any], data_key: str) -> str:
    """Return the name of the device that a data key is of."""
    for name, keys in descriptor.get("object_keys", {}).items():
        if data_key in keys:
            return name
    return data_key.removesuffix("_image")


def is_derived(descriptor: Mapping[str, Any], data_key: str) -> bool:
    """Return whether images were made of other images of the run."""
    about = descriptor.get("configuration", {}).get(object_name(descriptor, data_key), {})
    return DERIVED in about.get("data", {})


def wanted(stream: str, detectors: Collection[str] | None) -> Callable[[Mapping[str, Any], str], bool]:
    """Return what selects images for `FrameWork`.

    Parameters
    ----------
    stream : str
        ``"raw"``: what detectors recorded; otherwise the name of what is derived, like ``"corrected"``.
    detectors : collection of str, optional
        Of these; of all by default.
    """

    def select(descriptor: Mapping[str, Any], data_key: str) -> bool:
        name = object_name(descriptor, data_key)
        if stream == "raw":
            chosen = not is_derived(descriptor, data_key)
        else:
            chosen = is_derived(descriptor, data_key) and name.endswith(f"_{stream}")
            name = name.removesuffix(f"_{stream}")
        return chosen and (detectors is None or name in detectors)

    return select
