"""The process that draws pictures of spectra: ``python -m beamstream.receiver``.

It reads one line of JSON for each picture, takes the spectra from the ring in shared memory, and answers with one
line of JSON. It ends with its standard input, so with the process that started it.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from beamstream.errors import RingError
from beamstream.log_size import keep_small
from beamstream.ops.spectra import Band
from beamstream.readers import RingView
from beamstream.receiver.newest import NONE, Spectra, newest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NICE = 10
_COMPRESSION = 3  # half the time of 6, 8 % larger


@dataclass(frozen=True, slots=True)
class Options:
    """What stays the same from picture to picture.

    Parameters
    ----------
    ring : str
        Of the process that started this one.
    directory : str
        There already.
    length : int
        Spectra in a picture, at most.
    beam : int
    decibel : bool
    first, step : float
        See `Band`; of the channels before averaging.
    """

    ring: str
    directory: str
    length: int
    beam: int
    decibel: bool
    first: float
    step: float


def answer(options: Options, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Draw one picture; return ``path``, ``spectra`` (how many it shows) and ``seconds``.

    Without a spectrum in the ring there is no picture, and ``path`` is None. The facts are those of
    `beamstream.receiver.picture.draw`, and ``average``: how many channels became one.
    """
    began = time.monotonic()
    spectra = _spectra(options)
    if not len(spectra.times):
        return {"path": None, "spectra": 0, "seconds": 0.0}
    from beamstream.receiver.picture import draw

    average: int = facts["average"]
    band = Band(options.first + options.step * (average - 1) / 2, options.step * average)
    figure = draw(spectra, band.axis(spectra.values.shape[1]), facts, decibel=options.decibel)
    name = time.strftime("spectrum_%Y%m%d_%H%M%S.png", time.gmtime())
    path = save(figure, Path(options.directory) / name)
    return {"path": str(path), "spectra": len(spectra.times), "seconds": round(time.monotonic() - began, 3)}


def _spectra(options: Options) -> Spectra:
    try:
        view = RingView(options.ring, os.getppid())
    except RingError:  # nothing came yet, or not of this shape
        return NONE
    try:
        return newest(view, options.length, options.beam)
    finally:
        view.close()


def save(figure: "Figure", path: Path) -> Path:
    """Write what was drawn as a PNG file that appears whole."""
    from PIL import Image

    canvas: Any = figure.canvas
    size = canvas.get_width_height(physical=True)
    picture = Image.frombuffer("RGBA", size, canvas.buffer_rgba(), "raw", "RGBA", 0, 1).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        picture.save(partial, "PNG", compress_level=_COMPRESSION, dpi=(figure.dpi, figure.dpi))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def main() -> int:
    """Answer line by line, until there are no more."""
    options = Options(**json.loads(sys.argv[1]))
    keep_small()
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what others print goes to the log
    os.nice(_NICE)
    for line in sys.stdin:
        try:
            said = answer(options, json.loads(line))
        except OSError as error:
            said = {"error": f"{error.filename or options.directory}: {error.strerror or error}"}
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        pipe.write(json.dumps(said) + "\n")
        pipe.flush()
        gc.collect()  # a figure is a circle of references, with 11 MB of pixels in it
    return 0
