"""The pictures of a simulated camera: drawn, and put into an NTNDArray."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import Geometry
from beamstream.sim.ntndarray import NtndFrame
from beamstream.sim.pattern import Pattern
from beamstream.sim.rheed import RheedScene, RheedState, rheed_spec
from beamstream.sim.rheed_chamber import Chamber
from beamstream.sim.scene import Beam, BeamScene

Scene = Literal["pattern", "beam", "rheed"]
Draw = Callable[[int, NDArray[Any]], object]
_KEPT = 4  # geometries; each holds several images


class Picture:
    """Hold the pixels and the NTNDArray of one geometry.

    Parameters
    ----------
    geometry : Geometry
    attributes : Mapping
    draw : callable
        Takes an id and the memory to draw into.
    """

    def __init__(self, geometry: Geometry, attributes: Mapping[str, Any], draw: Draw) -> None:
        self.frame = NtndFrame(geometry, attributes)
        self._draw = draw
        self._image: NDArray[Any] = np.empty(geometry.shape, geometry.dtype)

    def fill(self, unique_id: int, exposed: float, posted: float) -> None:
        """Draw the picture of this id into `frame`; the times in s since 1970-01-01 UTC."""
        self._draw(unique_id, self._image)
        self.frame.fill(self._image, unique_id, exposed, posted)


class RheedPicture(Picture):
    """Hold the pixels of a RHEED pattern; the attributes of each frame tell what it shows.

    `beamstream.sim.rheed.RheedScene.draw` makes the same pixels again of Azimuth, Disorder, Covered and the id.

    Parameters
    ----------
    geometry : Geometry
        8 or 16 bit without sign, mono.
    attributes : Mapping
        Sent beside those.
    chamber : Chamber
    covered : callable
        Returns whether the screen is covered now.
    """

    def __init__(
        self, geometry: Geometry, attributes: Mapping[str, Any], chamber: Chamber, covered: Callable[[], bool]
    ) -> None:
        self._scene = RheedScene(rheed_spec(geometry, chamber.spec))
        self._chamber, self._covered, self._attributes = chamber, covered, attributes
        super().__init__(geometry, attributes, lambda unique_id, out: self._scene.draw(self._state, unique_id, out))

    def fill(self, unique_id: int, exposed: float, posted: float) -> None:
        """Draw what the chamber is like when it is exposed."""
        now = self._chamber.at(exposed)
        self._state = RheedState(now.azimuth, now.disorder, self._covered())
        told = {
            "Azimuth": now.azimuth,
            "Disorder": now.disorder,
            "Layers": now.layers,
            "Temperature": now.temperature,
            "SourceOpen": int(now.source_open),
            "Covered": int(self._state.dark),
        }
        self.frame.set_attributes({**self._attributes, **told})
        super().fill(unique_id, exposed, posted)


class Pictures:
    """Keep a picture for each geometry that a camera had lately.

    Parameters
    ----------
    scene : {"pattern", "beam", "rheed"}
    beam : callable
        Returns what is in the beam now; called for each picture of the scenes ``beam`` and ``rheed``, where its
        shutter covers the screen.
    chamber : Chamber
        Of the scene ``rheed``.

    Raises
    ------
    ValueError
        There is no such scene.
    """

    def __init__(self, scene: Scene, beam: Callable[[], Beam], chamber: Chamber) -> None:
        if scene not in get_args(Scene):
            raise ValueError(f"camera: scene {scene!r} asked for, there are {', '.join(get_args(Scene))}")
        self._scene = scene
        self._beam = beam
        self._chamber = chamber
        self._kept: dict[Geometry, Picture] = {}

    def of(self, geometry: Geometry, attributes: Mapping[str, Any]) -> Picture:
        """Return the picture of this geometry; the attributes are those of when it was made.

        Raises
        ------
        ValueError
            The scene, or an NTNDArray, cannot have this geometry.
        """
        if geometry not in self._kept:
            if len(self._kept) >= _KEPT:
                self._kept.pop(next(reversed(self._kept)))
            self._kept[geometry] = self._made(geometry, attributes)
        return self._kept[geometry]

    def _made(self, geometry: Geometry, attributes: Mapping[str, Any]) -> Picture:
        if self._scene == "rheed":
            return RheedPicture(geometry, attributes, self._chamber, lambda: not self._beam().shutter_open)
        return Picture(geometry, attributes, self._drawing(geometry))

    def _drawing(self, geometry: Geometry) -> Draw:
        if self._scene == "pattern":
            return Pattern(geometry).image
        scene = BeamScene(geometry)
        return lambda unique_id, out: scene.image(unique_id, self._beam(), out)
