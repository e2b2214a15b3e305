"""A ring with a moving pattern, the process that writes it, and a live page of it."""

import argparse
import json
import os
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any, Self

import numpy as np

from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.live.hub_settings import HubSettings
from beamstream.live.page import LivePage
from beamstream.ring import Ring

KEY = "a key for tests only"
_names = count()


def pattern(number: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return the image of a frame: a slope with a bright square that moves; any pixel follows from its place."""
    rows, cols = shape[0], shape[1]
    r, c = np.mgrid[0:rows, 0:cols]
    most = 200.0 if np.dtype(dtype) == np.uint8 else 3000.0
    image = (r / rows + c / cols) * most / 2 + (number % 7)
    size = max(2, rows // 16)
    top, left = number * 3 % max(1, rows - size), number * 5 % max(1, cols - size)
    image[top : top + size, left : left + size] = most * 1.2
    if len(shape) == 3:
        image = np.stack([image, image / 2, most - image / 2], axis=2)
    return image.astype(dtype)


def noise(shape: tuple[int, ...], dtype: str, seed: int = 1) -> np.ndarray:
    """Return pixels that no deflating makes much smaller."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(100, 20, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, min(int(info.max), 60000), shape, np.int64, endpoint=True).astype(dtype)


class Camera:
    """Write frames into a ring of this process, one at a time; `frames` has all of them."""

    def __init__(self, name: str, shape: tuple[int, ...] = (64, 96), dtype: str = "<u2", slots: int = 16) -> None:
        self.name, self.shape, self.dtype = name, shape, dtype
        self.color_mode = ColorMode.RGB1 if len(shape) == 3 else ColorMode.MONO
        self.ring = Ring(name, slots=slots)
        self.number = 0

    def put(self, image: np.ndarray | None = None, **attributes: Any) -> np.ndarray:
        """Write one frame, of the pattern by default; return its image."""
        image = pattern(self.number, self.shape, self.dtype) if image is None else np.asarray(image)
        geometry = Geometry(image.shape, image.dtype.str, self.color_mode)
        now = time.time()
        self.ring.put(Frame(image, geometry, self.number, now, now, attributes=attributes))
        self.number += 1
        return image

    def close(self) -> None:
        """End the ring."""
        self.ring.close()


class HubRig:
    """A stream ``camera…`` written at `fps` by a process of its own, and a live page that shows it.

    Parameters
    ----------
    fps : float
    shape, dtype
        Of the frames; with three axes they are in colour.
    noise : float
        Standard deviation that is added to the pattern, counts: what deflating has to cope with.
    more
        Fields of `HubSettings`.
    """

    def __init__(
        self,
        fps: float = 30.0,
        shape: tuple[int, ...] = (512, 512),
        dtype: str = "<u2",
        name: str = "",
        noise: float = 0.0,
        **more: Any,
    ) -> None:
        self.name = name or f"camera{os.getpid()}-{next(_names)}"
        streams = more.pop("streams", [])
        settings = {"port": 0, "key": KEY, **more, "streams": [{"name": self.name, "about": {}}, *streams]}
        self.page = LivePage(HubSettings(**settings))
        self._command = [sys.executable, __file__, "--write", self.name, "--fps", str(fps), "--dtype", dtype]
        self._command += ["--noise", str(noise), "--shape", *map(str, shape)]
        self._writer: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the stream's page is."""
        return f"{self.page.url}streams/{self.name}/"

    def __enter__(self) -> Self:
        self._writer = subprocess.Popen(self._command, stdin=subprocess.PIPE)
        try:
            self.page.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.page.close()
        self.end_writer()

    def end_writer(self) -> None:
        """Let the camera go away."""
        if self._writer is not None and self._writer.stdin is not None:
            self._writer.stdin.close()
            self._writer.wait(10)
            self._writer = None


def write(name: str, fps: float, shape: tuple[int, ...], dtype: str, noise: float) -> None:
    """Write the pattern until stdin ends; 64 images, again and again."""
    import select

    number = min(64, max(2, 2**24 // int(np.prod(shape))))
    images = [pattern(i, shape, dtype) for i in range(number)]
    if noise:
        rng = np.random.default_rng(1)
        images = [(image + np.abs(rng.normal(0, noise, shape))).astype(dtype) for image in images]
    camera = Camera(name, shape, dtype, slots=max(8, min(64, 2**26 // images[0].nbytes)))
    began, number = time.monotonic(), 0
    while not select.select([sys.stdin], [], [], max(0.0, began + number / fps - time.monotonic()))[0]:
        camera.put(images[number % len(images)])
        number += 1
    camera.close()


def _main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--write", metavar="NAME", default="")
    options.add_argument("--fps", type=float, default=30.0)
    options.add_argument("--shape", type=int, nargs="+", default=[1024, 1024])
    options.add_argument("--dtype", default="<u2")
    options.add_argument("--noise", type=float, default=0.0)
    options.add_argument("--port", type=int, default=0)
    given = options.parse_args()
    if given.write:
        write(given.write, given.fps, tuple(given.shape), given.dtype, given.noise)
        return
    with HubRig(given.fps, tuple(given.shape), given.dtype, "camera", given.noise, port=given.port) as rig:
        sys.stdout.write(json.dumps({"url": rig.page.url, "stream": rig.url, "ticket": rig.page.ticket()}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
    _main()
