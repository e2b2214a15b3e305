"""The run that is shown: its images in layers, its dimensions as sliders, and whether the newest is followed."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from beamstream.viewers.napari import messages
from beamstream.viewers.napari.marks import Marks
from beamstream.viewers.napari.rings import RunRing
from beamstream.viewers.napari.run_view import Images, RunView
from beamstream.viewers.napari.stack import Spot
from beamstream.viewers.napari.streams import Streams

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


class RunDisplay:
    """Do what messages say about runs; the youngest run is the one that is shown.

    Parameters
    ----------
    viewer : ViewerModel
    streams : Streams
    changed : callable
        Called when there is something to draw.

    Attributes
    ----------
    run : RunView or None
    following : bool
        Whether the newest is shown, rather than where somebody moved a slider.
    """

    def __init__(self, viewer: "ViewerModel", streams: Streams, changed: Callable[[], None]) -> None:
        self.run: RunView | None = None
        self.following = True
        self._viewer, self._streams, self._changed = viewer, streams, changed
        self._marks = Marks(viewer)
        self._moving = False
        self._chosen = 0
        viewer.dims.events.current_step.connect(self._moved)

    # what messages say

    def begin(self, said: messages.Begin) -> None:
        """Hear that a run begins; what was shown stays until images of it are announced."""
        self._streams.give_back()
        self.run = RunView(said)

    def source(self, said: messages.Source) -> None:
        """Hear of images of the run."""
        run = self.run
        if run is None or run.about.run != said.run or said.key in run.images:
            return
        run.add(said)
        # without a ring only what is recorded is shown, also of a source that is watched
        self._streams[said.name].live = RunRing(said.ring, said.owner) if said.ring else None
        with self._ours():
            if len(run.images) == 1:
                self.following, self._chosen = True, 0
                self._marks.clear()
            self._streams.rest(but=[images.source.name for images in run.images.values()])
            for images in run.images.values():
                self._place(images)
            self._go()
        if said.pixel_units:
            self._viewer.scale_bar.visible = True

    def rows(self, said: messages.Rows) -> None:
        """Hear of rows that are in a file.

        Raises
        ------
        SinkError
            It cannot be read.
        """
        if (images := self._images(said)) is not None and self.run is not None:
            self.run.announce(images, said.path, said.dataset, said.stop)
            self._grown(images)

    def at(self, said: messages.At) -> None:
        """Hear where rows belong."""
        if (images := self._images(said)) is not None and self.run is not None:
            self.run.put(images, said.places)
            self._grown(images)

    def regions(self, said: messages.Regions) -> None:
        """Hear of regions that somebody looks into."""
        if (layer := self._layer(said)) is not None:
            with self._ours():
                self._marks.regions(layer, said)

    def points(self, said: messages.Points) -> None:
        """Hear of points that somebody found."""
        if (layer := self._layer(said)) is not None:
            with self._ours():
                self._marks.points(layer, said)

    def end(self, said: messages.End) -> None:
        """Hear that the run is over: its last recorded images are shown."""
        run = self.run
        if run is None or run.about.run != said.run or run.ended:
            return
        run.ended = said.words or "over"
        self._streams.give_back()
        with self._ours():
            for images in run.images.values():
                self._stream_of(images).recorded()
                self._place(images)
            self._go()

    def _images(self, said: Any) -> Images | None:
        """Return what a message is about; None of what is not shown (any more)."""
        if self.run is None or self.run.about.run != said.run:
            return None
        return self.run.images.get(said.key)

    def _layer(self, said: Any) -> "Image | None":
        images = self._images(said)
        return None if images is None else self._stream_of(images).layer

    def _stream_of(self, images: Images) -> Any:
        return self._streams.shown(images.source.name)

    # places

    def _grown(self, images: Images) -> None:
        with self._ours():
            self._place(images)
            self._go()

    def _place(self, images: Images) -> None:
        """Give the stream's layer the shape, and the sliders the names, that they have by now."""
        assert self.run is not None
        source = images.source
        number = self.run.number(source.key) if self.run.several else None
        self._stream_of(images).show(
            images.stack, scale=source.pixel_size or (), units=source.pixel_units, number=number
        )
        names, dims = self.run.axis_names, self._viewer.dims
        others = dims.ndim - len(names) - 2
        labels = (*(f"other {i + 1}" for i in range(others)), *names, "row", "column")
        if others >= 0 and dims.axis_labels != labels:
            dims.axis_labels = labels

    def _go(self) -> None:
        """Move the sliders to the newest, unless somebody wants to stay; the one of detectors stays."""
        images = self.chosen
        if images is None or not self.following:
            return
        spot = self._newest(images)
        first = self._viewer.dims.ndim - 2 - len(spot)
        if first < 0:
            return  # its layer was deleted
        if self.spot != spot:
            self._viewer.dims.set_current_step(tuple(range(first, first + len(spot))), spot)
        elif (layer := self._stream_of(images).layer) is not None and images.stack.live is None:
            layer.refresh(extent=False, highlight=False, thumbnail=False)
        self._changed()

    def follow(self) -> None:
        """Show the newest from now on."""
        self.following = True
        with self._ours():
            self._go()

    @contextlib.contextmanager
    def _ours(self) -> Iterator[None]:
        """Move sliders without meaning that somebody did."""
        before, self._moving = self._moving, True
        try:
            yield
        finally:
            self._moving = before

    def _moved(self, _event: Any = None) -> None:
        """Hear that a slider moved: by somebody's hand, that ends following; the one of detectors does not."""
        images = self.chosen
        if self._moving or not self.following or images is None or self.run is None:
            return
        number = self.run.number(images.source.key)
        if number != self._chosen:
            self._chosen = number
            self.follow()
        elif self.spot != self._newest(images):
            self.following = False
            with self._ours():
                for one in self.run.images.values():
                    self._stream_of(one).recorded()

    # where one is

    @property
    def chosen(self) -> Images | None:
        """The images that the slider of detectors is at; None while no run is shown."""
        if self.run is None or not self.run.images:
            return None
        images = list(self.run.images.values())
        axis = self._viewer.dims.ndim - 2 - len(self.run.axis_names)
        if not self.run.several or axis < 0:
            return images[0]
        return images[min(int(self._viewer.dims.current_step[axis]), len(images) - 1)]

    @property
    def spot(self) -> Spot:
        """Where the sliders of the run are, that of detectors aside."""
        assert self.run is not None
        end = self._viewer.dims.ndim - 2
        first = end - len(self.run.axis_names) + (1 if self.run.several else 0)
        return tuple(int(i) for i in self._viewer.dims.current_step[max(0, first) : end])

    def _newest(self, images: Images) -> Spot:
        assert self.run is not None
        return images.stack.newest[1:] if self.run.several else images.stack.newest

    def label(self) -> str:
        """Return where the sliders are, in the run's own words: ``theta 12.5 deg``."""
        images = self.chosen
        if images is None or self.run is None:
            return ""
        return self.run.label(images, ((0,) if self.run.several else ()) + self.spot)
