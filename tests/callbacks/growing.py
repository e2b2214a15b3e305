"""Recorded frames of made-up growths, and what a chain makes of them: real files, real documents, no waiting."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5py
import numpy as np
import run_engines
from numpy.typing import NDArray

from beamstream.callbacks.chain import Chain
from beamstream.callbacks.derived import descriptor_of
from beamstream.file_uri import path_of
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sinks.documents import SinkDocuments
from beamstream.sinks.hdf5 import Hdf5Sink

EPOCH = 1_790_000_000.0


class Documents(run_engines.Documents):
    """What a chain gave on, in order."""

    def descriptor(self, stream: str) -> dict[str, Any]:
        return [d for d in self.of("descriptor") if d["name"] == stream][-1]

    def events(self, stream: str) -> list[dict[str, Any]]:
        uid = self.descriptor(stream)["uid"]
        return [d for d in self.of("event") if d["descriptor"] == uid]

    @property
    def account(self) -> dict[str, Any]:
        return self.events("callbacks")[-1]["data"]

    def rows(self, data_key: str) -> NDArray[Any]:
        """The rows of a data key that documents tell of, in the file that they name."""
        (resource,) = [d for d in self.of("stream_resource") if d["data_key"] == data_key]
        data = [d["indices"] for d in self.of("stream_datum") if d["stream_resource"] == resource["uid"]]
        assert [d["start"] for d in data] == [0, *(d["stop"] for d in data[:-1])]
        with h5py.File(path_of(resource["uri"]), swmr=True) as file:
            return file[resource["parameters"]["dataset"]][: data[-1]["stop"]]  # type: ignore[index]


def frames_of(
    image: Callable[[float], NDArray[Any]], times: Iterable[float], color_mode: ColorMode = ColorMode.MONO
) -> list[Frame]:
    """Return the frames of a film, taken at some seconds after `EPOCH`."""
    made = []
    for number, t in enumerate(times):
        pixels = image(t)
        geometry = Geometry(pixels.shape, pixels.dtype.str, color_mode)
        made.append(Frame(pixels, geometry, number, EPOCH + float(t), EPOCH + float(t)))
    return made


def play(
    chain: Chain,
    directory: Path,
    frames: list[Frame],
    *,
    batch: int = 64,
    settings: Mapping[str, Any] | None = None,
    between: Callable[[], object] = lambda: None,
) -> str:
    """Record frames of the detector ``cam`` as a run, its documents through a chain; return the run's uid."""
    plan = {"plan_name": "growth", "plan_type": "generator"}
    start = {"uid": str(uuid4()), "time": frames[0].timestamp, "scan_id": 1, **plan}
    chain("start", start)
    with Hdf5Sink(directory / f"cam_{start['uid'][:8]}.h5", frames[0].geometry, name="cam") as sink:
        documents = SinkDocuments(sink, "cam", start=start)
        said = {f"cam_{key}": value for key, value in (settings or {}).items()}
        descriptor: Any = descriptor_of(start, "primary", {"cam": documents.data_keys("sim")}, {"cam": said})
        chain("descriptor", descriptor)
        for first in range(0, len(frames), batch):
            some = frames[first : first + batch]
            for name, doc in documents.up_to(sink.write(some), descriptor):
                chain(name, doc)
            between()
    chain(
        "stop", {"uid": str(uuid4()), "run_start": start["uid"], "time": frames[-1].timestamp, "exit_status": "success"}
    )
    return start["uid"]


def oscillating(
    rate: float, *, decay: float = 0.03, noise: float = 3.0, level: float = 120.0, swing: float = 30.0, seed: int = 0
) -> Callable[[float], NDArray[Any]]:
    """Return a film: a spot at (10, 12, 6, 8) in 30 × 40 px that oscillates from a maximum on, elsewhere noise."""
    rng = np.random.default_rng(seed)

    def image(t: float) -> NDArray[Any]:
        pixels = rng.normal(20, noise, (30, 40))
        pixels[10:16, 12:20] += level - 20 + swing * np.exp(-decay * t) * np.cos(2 * np.pi * rate * t)
        return np.clip(pixels.round(), 0, 255).astype(np.uint8)

    return image


SPOT = (10, 12, 6, 8)
TWELVE = frames_of(lambda t: np.full((8, 8), int(t), np.uint16), range(12))
"""Frames that are their number in every pixel."""
