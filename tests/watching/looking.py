"""What tests ask of somebody who looks."""

from collections.abc import Callable

import numpy as np

from beamstream.sim.pattern import Pattern
from beamstream.watching.follow import Follow


def newer(eye: Follow, than: int = -1) -> bool:
    """Whether a frame comes; its pixels are looked at."""
    frame = eye.newest()
    if frame is None or frame.unique_id <= than:
        return False
    np.testing.assert_array_equal(frame.image, Pattern(frame.geometry).image(frame.unique_id))
    return True


def says(eye: Follow, *words: str) -> Callable[[], bool]:
    def told() -> bool:
        eye.poll()
        return all(word in eye.status["words"] for word in words)

    return told
