"""Picture: a figure of which only what moves is drawn again."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from beamstream.plain_text import plain
from beamstream.plots import look

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

HEADER = 1.02
"""Height of the lines of text on top, inches."""
_SIDE = 0.32  # in


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame, as it is to be drawn.

    Parameters
    ----------
    image : ndarray
        Rows × columns, or rows × columns × 3; of whoever made it, so valid for one call.
    unique_id : int
    timestamp : float
        s since 1970-01-01 UTC.
    words : str
        What of the frame the image is, where it is not all of it.
    """

    image: NDArray[Any]
    unique_id: int
    timestamp: float
    words: str = ""


@dataclass(frozen=True, slots=True)
class Caption:
    """What stands above a picture."""

    title: str = ""
    run: str = ""
    frame: str = ""
    counts: str = ""
    note: str = ""
    warn: bool = False


class Picture:
    """Draw the frames of one detector; subclasses say how.

    What moves is drawn over a copy of what stands still; only when limits or the size of the window change is
    everything drawn anew. To be used from one thread, by `add` and `caption` for each frame and then `render`.

    Parameters
    ----------
    figure : Figure
        With a canvas of Agg's family.

    Attributes
    ----------
    stale : bool
        Whether everything has to be drawn anew.
    """

    suffix = ""
    """What its files are called after, besides the detector."""

    def __init__(self, figure: "Figure") -> None:
        self.figure = figure
        self.stale = True
        self._moving: list[Artist] = []
        self._background: Any = None
        self._words = {
            "title": figure.text(0, 0, "", size=15, weight="bold"),
            "run": figure.text(0, 0, "", size=9.5, color=look.DIM),
            "frame": figure.text(0, 0, "", size=13, weight="bold", ha="right"),
            "counts": figure.text(0, 0, "", size=9.5, color=look.DIM, ha="right"),
            "note": figure.text(0, 0, "", size=8.5),
        }
        self.moves(*self._words.values())
        figure.canvas.mpl_connect("draw_event", self._drawn)
        figure.canvas.mpl_connect("resize_event", self._resized)

    # what subclasses say

    def add(self, shot: Shot) -> None:
        """Take a frame."""
        raise NotImplementedError

    def clear(self) -> None:
        """Forget the frames of the last run."""

    def arrange(self, width: float, height: float) -> None:
        """Place the axes in a figure of this size, inches."""
        raise NotImplementedError

    def sampling(self, period: float) -> float:
        """Return how often to `add`, s, when it is rendered every `period`."""
        return period

    # for subclasses

    def moves(self, *artists: Any) -> None:
        """Name what changes with every frame."""
        for artist in artists:
            artist.set_animated(True)
            self._moving.append(artist)

    def place(self, axes: Any, x: float, y: float, width: float, height: float) -> None:
        """Put axes somewhere; inches from the lower left corner."""
        w, h = self.figure.get_size_inches()
        axes.set_position((x / w, y / h, width / w, height / h))

    # for whoever shows it

    def caption(self, caption: Caption) -> None:
        """Say what is drawn."""
        note = look.shortened(caption.note, int(self.figure.get_size_inches()[0] * 14))
        texts = (caption.title, caption.run, caption.frame, caption.counts, note)
        for words, text in zip(self._words.values(), texts, strict=True):
            words.set_text(plain(text))
        self._words["note"].set_color(look.BAD if caption.warn else look.GOOD)

    def render(self) -> None:
        """Draw into the canvas' memory."""
        if self.stale or self._background is None:
            self._arrange()
            self.figure.canvas.draw()
        else:
            canvas: Any = self.figure.canvas
            canvas.restore_region(self._background)
            self._draw_moving()

    def _arrange(self) -> None:
        self.stale = False
        width, height = self.figure.get_size_inches()
        lines = {"title": 0.42, "frame": 0.42, "run": 0.66, "counts": 0.66, "note": 0.89}
        for name, below in lines.items():
            right = name in ("frame", "counts")
            self._words[name].set_position(((width - _SIDE if right else _SIDE) / width, 1 - below / height))
        self.arrange(width, height)

    def _drawn(self, _event: object) -> None:
        """Keep what stands still, whoever had it drawn."""
        canvas: Any = self.figure.canvas
        self._background = canvas.copy_from_bbox(self.figure.bbox)
        self._draw_moving()

    def _draw_moving(self) -> None:
        for artist in self._moving:
            if artist.get_visible():
                self.figure.draw_artist(artist)

    def _resized(self, _event: object) -> None:
        self._arrange()
