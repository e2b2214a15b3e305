"""What the archive gives back over HTTP, compared bit by bit with what the simulated camera showed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from beamstream.cli.archive import Archive
from beamstream.errors import ArchiveError
from beamstream.frames import Geometry

_REQUEST = 32 * 2**20  # bytes asked for at once


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many frames came back, and how many of them were not what the camera showed."""

    frames: int
    different: int
    nbytes: int
    seconds: float


def compare(
    archive: Archive, uid: str, detector: str, geometry: Geometry, progress: Callable[[int], None]
) -> Comparison:
    """Fetch every frame of a run as raw bytes, and draw what it should be from its recorded ``unique_id``.

    Parameters
    ----------
    archive : Archive
    uid : str
        A run with `detector` in its stream ``primary``.
    geometry : Geometry
        That of the simulated camera.
    progress : callable
        Takes the number of frames compared so far.
    """
    import numpy as np

    from beamstream.sim.pattern import Pattern

    began = time.monotonic()
    ids = np.frombuffer(_bytes(archive, f"{uid}/primary/{detector}_unique_id"), "<i8")
    pattern, expected = Pattern(geometry), np.empty(geometry.shape, geometry.dtype)
    step, different, nbytes = max(1, _REQUEST // geometry.nbytes), 0, 0
    for start in range(0, len(ids), step):
        some = ids[start : start + step]
        data = _bytes(archive, f"{uid}/primary/{detector}_image", slice=f"{start}:{start + len(some)}")
        images = np.frombuffer(data, geometry.dtype).reshape(len(some), *geometry.shape)
        nbytes += len(data)
        for unique_id, image in zip(some, images, strict=True):
            different += not np.array_equal(image, pattern.image(int(unique_id), out=expected))
        progress(start + len(some))
    return Comparison(len(ids), different, nbytes, time.monotonic() - began)


def filed(archive: Archive, uid: str, timeout: float = 60.0) -> dict[str, Any]:
    """Return the metadata of a run when all of it is in the archive.

    Raises
    ------
    ArchiveError
        It is not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = archive.search({"filter[lookup][condition][key]": uid}, limit=1)  # pyright: ignore[reportArgumentType]
        metadata = found[0]["attributes"]["metadata"] if found else {}
        if metadata.get("stop"):
            return metadata
        if time.monotonic() > deadline:
            state = "is still open" if found else "is not there"
            raise ArchiveError(f"archive: run {uid} {state} after {timeout:g} s; see server.log in the archive")
        time.sleep(0.1)


def column(archive: Archive, uid: str, name: str) -> list[float]:
    """Return one column of a run's primary events."""
    rows = archive.get(f"/table/full/{uid}/primary/internal", column=name, format="application/json").json()
    return [float(value) for value in rows[name]]


def _bytes(archive: Archive, path: str, **params: str) -> bytes:
    return archive.get(f"/array/full/{path}", format="application/octet-stream", **params).content
