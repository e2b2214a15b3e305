"""All streams of the window: their layers, and where their live frames come from."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from beamstream.viewers.napari.rings import Live
from beamstream.viewers.napari.stream_layer import Canvas, StreamLayer

if TYPE_CHECKING:
    from napari.components import ViewerModel


class Streams:
    """Keep a layer for each stream, and see to who feeds it: the run, or a source that is watched.

    Parameters
    ----------
    viewer : ViewerModel
    """

    def __init__(self, viewer: "ViewerModel") -> None:
        self._viewer = viewer
        self._layers: dict[str, StreamLayer] = {}
        self._watched: dict[str, Live] = {}
        viewer.layers.events.removed.connect(self._removed)

    def __getitem__(self, name: str) -> StreamLayer:
        """Return the stream of a name, a new one if there was none; one that was deleted comes back."""
        if name not in self._layers:
            self._layers[name] = StreamLayer(self._viewer, name)
        self._layers[name].deleted = False
        return self._layers[name]

    def shown(self, name: str) -> StreamLayer:
        """Return the stream of a name that is known; one that was deleted stays so."""
        return self._layers[name]

    def __iter__(self) -> Iterator[StreamLayer]:
        return iter(self._layers.values())

    @property
    def names(self) -> list[str]:
        """Of all streams that were ever shown."""
        return list(self._layers)

    def turn(self, following: bool, canvas: Canvas) -> bool:
        """Put new frames into layers, as `StreamLayer.turn` does; return whether there is something to draw."""
        came = [stream.turn(following, canvas) for stream in self]
        return any(came)

    def drawn(self, now: float) -> None:
        """Hear that all of that is on the screen."""
        for stream in self:
            stream.swapped(now)

    # watched sources

    def watch(self, name: str, live: Live) -> None:
        """Show a source whenever no run has the layer; in place of what was watched under that name."""
        self.forget(name)
        self._watched[name] = live
        stream = self[name]
        if stream.live is None:
            stream.live = live

    def forget(self, name: str) -> None:
        """Show a source no more; its last frame stays."""
        live = self._watched.pop(name, None)
        if live is not None:
            if self._layers[name].live is live:
                self._layers[name].live = None
            live.close()

    # runs

    def give_back(self) -> None:
        """Let go of the rings of a run; watched sources go on."""
        for stream in self:
            watched = self._watched.get(stream.name)
            if stream.live is not watched:
                if stream.live is not None:
                    stream.live.close()
                stream.live = watched

    def rest(self, but: Collection[str]) -> None:
        """Let all streams but these keep what they show, without the axes of their run."""
        for stream in self:
            if stream.name not in but:
                stream.rest()

    def _removed(self, event: object) -> None:
        for stream in self:
            if stream.layer is not None and stream.layer is getattr(event, "value", None):
                stream.layer, stream.deleted = None, True

    def close(self) -> None:
        """Let go of rings and files."""
        for name in list(self._watched):
            self.forget(name)
        for stream in self:
            stream.close()
