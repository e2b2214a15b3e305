"""The window: napari with a layer for each stream, sliders for a run's dimensions, and words for where one is."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from beamstream.errors import BeamstreamError
from beamstream.plain_text import plain, plain_block
from beamstream.viewers.napari.drawing import Drawing
from beamstream.viewers.napari.panel import KEY, Panel
from beamstream.viewers.napari.run_display import RunDisplay
from beamstream.viewers.napari.stream_layer import StreamLayer
from beamstream.viewers.napari.streams import Streams

_TELL = 0.25  # s between two looks at what is to be said


class Window:
    """Show streams and runs; everything in the thread of Qt.

    Attributes
    ----------
    viewer : napari.Viewer
    streams : Streams
    display : RunDisplay
        Of the youngest run.
    """

    def __init__(self) -> None:
        import napari

        viewer: Any = napari.Viewer(title="beamstream", show=False)
        self.viewer = viewer
        warm_up(viewer)
        self.streams = Streams(viewer)
        self._panel = Panel(self.follow)
        viewer.window.add_dock_widget(self._panel, name="beamstream", area="bottom")
        viewer.window.show()
        self._drawing = Drawing(viewer, self.streams.drawn)
        self.display = RunDisplay(viewer, self.streams, self._drawing.ask)
        viewer.bind_key(KEY, lambda _viewer: self.follow())
        overlay = viewer.text_overlay
        overlay.visible, overlay.font_size, overlay.position = True, 12, "top_left"
        self._tell_at = 0.0

    def turn(self) -> None:
        """Put new frames into layers, unless the last ones are not on the screen yet."""
        if not self._drawing.busy and self.streams.turn(self.display.following, self._drawing):
            self._drawing.ask()
        now = time.monotonic()
        if now > self._tell_at:
            self._tell_at = now + _TELL
            self.tell()

    @property
    def lively(self) -> bool:
        """Whether frames may come any moment."""
        return any(stream.live is not None for stream in self.streams)

    def follow(self) -> None:
        """Show the newest from now on."""
        self.display.follow()
        self.tell()

    # words

    def tell(self) -> None:
        """Bring up to date what is said in the image, below it, and in the title, and the list of layers."""
        if any([stream.thumbnail_to_paint() for stream in self.streams]):  # noqa: C419, all of them
            self._drawing.paint_lists()
        overlay, words, run = self.viewer.text_overlay, plain_block(self.display.label()), self.display.run
        if overlay.text != words:
            overlay.text = words
        self._panel.say(self.words(), self.display.following)
        title = "beamstream"
        if run is not None and run.images:
            title += plain(f" · run {run.about.scan_id} {run.about.plan}".rstrip())
        if self.viewer.title != title:
            self.viewer.title = title

    def words(self) -> str:
        """Say how each stream is."""
        said = [_words_of(stream) for stream in self.streams if not stream.deleted]
        if self.display.chosen is not None and not self.display.following:
            said.append(f"stays here; {KEY} follows the newest")
        return "   ".join(said) or "waiting for a stream or a run"

    def state(self) -> dict[str, Any]:
        """Return what is shown, in what JSON can carry."""
        self.tell()
        run, dims = self.display.run, self.viewer.dims
        return {
            "run": None if run is None else run.about.run,
            "following": self.display.following,
            "axes": list(dims.axis_labels),
            "steps": [int(n) for n in dims.nsteps],
            "step": [int(i) for i in dims.current_step],
            "label": self.viewer.text_overlay.text,
            "words": self.words(),
            "canvas": self._drawing.count,
            "layers": {layer.name: _about(layer) for layer in self.viewer.layers},
            "streams": {stream.name: _measured(stream) for stream in self.streams},
        }

    def picture(self, path: str, canvas_only: bool) -> None:
        """Write what is on the screen to a PNG file.

        Raises
        ------
        BeamstreamError
            The file is there already, or is to be called otherwise.
        """
        where = Path(path)
        if where.suffix != ".png" or where.exists() or not where.parent.is_dir():
            raise BeamstreamError(f"viewer: a picture at {path} asked for; use a new file *.png in a directory that is")
        self.viewer.screenshot(path, canvas_only=canvas_only, flash=False)

    def close(self) -> None:
        """Let go of rings and files."""
        self.streams.close()


def warm_up(viewer: Any) -> None:
    """Let napari load what it needs for each kind of layer: nobody is to wait for that during a run."""
    image = viewer.add_image(np.zeros((2, 8, 8), np.uint16), contrast_limits=(0, 1))
    image.units = ("pixel", "um", "um")
    look: dict[str, Any] = {"features": {"name": ["a"]}, "text": "name", "units": image.units[-2:]}
    viewer.add_shapes([[[0, 0], [0, 5], [5, 5], [5, 0]]], shape_type="rectangle", **look)
    viewer.add_points(np.zeros((1, 2)), **look)
    viewer.layers.clear()


def _words_of(stream: StreamLayer) -> str:
    """Say how a stream is: what is recorded, what is live, what went wrong."""
    stack = stream.stack
    said = [stack.words] if stack is not None and stack.words else []
    if stack is not None and stack.lead:
        said.append(f"{stack.announced} recorded")
    if stream.live is not None:
        status, age = stream.live.status, stream.age()
        rate = f"{status.get('rate', 0.0):.0f}/s, {stream.shown_rate:.0f}/s shown"
        words = str(status.get("words") or "").removeprefix(f"{stream.name}: ")
        said.append(words or (rate if age is None else f"{rate}, {age * 1000:.0f} ms old"))
    said += [trouble for trouble in (stream.trouble, stack.trouble if stack else "") if trouble]
    return f"{stream.name}: {', '.join(said) or 'nothing live'}"


def _about(layer: Any) -> dict[str, Any]:
    shape = getattr(layer.data, "shape", None)
    about = {"kind": type(layer).__name__, "shape": None if shape is None else list(shape), "id": id(layer)}
    if about["kind"] == "Image":
        about |= {"contrast": [float(v) for v in layer.contrast_limits], "scale": [float(s) for s in layer.scale]}
        about |= {"units": [str(u) for u in layer.units], "mean": float(np.mean(layer._data_view))}
    else:
        about |= {"data": [np.asarray(part).tolist() for part in layer.data]}
        about |= {"features": layer.features.to_dict("list")}
        about |= {"widths": [float(width) for width in getattr(layer, "edge_width", ())]}
    return about


def _measured(stream: StreamLayer) -> dict[str, Any]:
    read = stream.stack.read if stream.stack is not None else 0
    ages = {f"age_{p}": stream.age(p) for p in (50, 95)}
    return {"drawn": stream.drawn, "shown_rate": stream.shown_rate, "read": read, **ages}
