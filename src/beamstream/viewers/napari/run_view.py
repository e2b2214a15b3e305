"""The dimensions of a run: which axes its images have, where a row belongs, and what is written at a place."""

from dataclasses import dataclass, field

from beamstream.viewers.napari.messages import Axis, Begin, Place, Source
from beamstream.viewers.napari.stack import Spot, Stack

DETECTOR = "detector"
"""Name of the axis that chooses among the images of a run that has several."""
TIME = "time"
"""Name of the axis whose places are rows in the order of their exposure."""


@dataclass(slots=True)
class Images:
    """The images of one data key of a run.

    Attributes
    ----------
    source : Source
    stack : Stack
    rows : dict
        Which row of the file is where, by place in all axes of the run; empty where rows follow each other.
    values : dict
        What was read there, by data key.
    """

    source: Source
    stack: Stack
    rows: dict[Spot, int] = field(default_factory=dict)
    values: dict[Spot, dict[str, float]] = field(default_factory=dict)
    newest_row: int = -1


class RunView:
    """What is known of a run's dimensions so far.

    Parameters
    ----------
    about : Begin
    """

    def __init__(self, about: Begin) -> None:
        self.about = about
        self.images: dict[str, Images] = {}
        self.ended = ""
        self._axes: list[Axis] = []

    def add(self, source: Source) -> Images:
        """Hear of images; axes that no others had are added."""
        known = [axis.name for axis in self._axes]
        self._axes += [axis for axis in source.axes if axis.name not in known]
        images = Images(source, Stack(source.shape, source.dtype, source.color_mode))
        self.images[source.key] = images
        for one in self.images.values():
            self._arrange(one)
        return images

    @property
    def several(self) -> bool:
        """Whether a slider chooses among the images."""
        return len(self.images) > 1

    @property
    def axis_names(self) -> list[str]:
        """The names of the sliders, from the top."""
        return [*([DETECTOR] if self.several else []), *(axis.name for axis in self._axes)]

    def number(self, key: str) -> int:
        """Return where images are on the axis of detectors."""
        return list(self.images).index(key)

    def announce(self, images: Images, path: str, dataset: str, stop: int) -> None:
        """Hear that rows up to `stop` are in a file.

        Raises
        ------
        SinkError
            It cannot be read.
        """
        images.stack.announce(path, dataset, stop)
        self._arrange(images)

    def put(self, images: Images, places: list[Place]) -> None:
        """Hear where rows belong."""
        for place in places:
            spot = self._spot(images.source, place.place)
            if spot is None:
                continue
            images.rows[spot] = place.row
            images.values[spot] = dict(place.values)
            images.newest_row = max(images.newest_row, place.row)
        self._arrange(images)

    def _arrange(self, images: Images) -> None:
        """Give a stack the shape that it has by now."""
        stack, source = images.stack, images.source
        sizes = {axis.name: axis.size for axis in source.axes}
        placed = source.axes[-1].name != TIME
        lead = [max(1, sizes.get(axis.name, 1)) for axis in self._axes]
        grows = next((i for i, axis in enumerate(self._axes) if sizes.get(axis.name) == 0), None)
        ahead = 1 if self.several else 0
        if grows is not None:
            reached = max((spot[ahead + grows] + 1 for spot in images.rows), default=0)
            lead[grows] = max(1, reached if placed else stack.announced)
        stack.lead = (*([1] if self.several else []), *lead)
        if not placed:
            stack.rows = None
            stack.newest = (*(0,) * (len(stack.lead) - 1), max(0, stack.announced - 1))
            return
        if any(len(spot) != len(stack.lead) for spot in images.rows):  # the axis of detectors came later
            images.rows = {(0, *spot): row for spot, row in images.rows.items()}
            images.values = {(0, *spot): values for spot, values in images.values.items()}
        stack.rows = images.rows
        there = [(row, spot) for spot, row in images.rows.items() if row < stack.announced]
        stack.newest = max(there)[1] if there else (0,) * len(stack.lead)

    def _spot(self, source: Source, place: tuple[int, ...]) -> Spot | None:
        """Return a place among all axes of the run; None if it is outside of them."""
        sizes = [axis.size for axis in source.axes]
        if len(place) != len(sizes) or any(n and i >= n for i, n in zip(place, sizes, strict=True)):
            return None
        at = {axis.name: i for axis, i in zip(source.axes, place, strict=True)}
        return (*([0] if self.several else []), *(at.get(axis.name, 0) for axis in self._axes))

    # what is written at a place

    def label(self, images: Images, spot: Spot) -> str:
        """Say in words where this is: ``theta 12.5 deg``, ``time 3.20 s · frame 17 of 40``."""
        words = [f"{key} {value:.6g} {images.source.units.get(key, '')}".rstrip() for key, value in
                 images.values.get(spot, {}).items()]  # fmt: skip
        stack = images.stack
        if not words and stack.rows is not None:
            words.append("not measured yet" if not self.ended else "not measured")
        if stack.rows is None and spot:
            if spot in stack.times and self.about.time:
                words.append(f"{TIME} {stack.times[spot] - self.about.time:.3f} s")
            words.append(f"frame {spot[-1] + 1} of {max(stack.announced, 1)}")
        return " · ".join([*([images.source.name] if self.several else []), *words])
