"""Op: what everything that makes one image from another promises."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from beamstream.frames import Frame

Meta = Mapping[str, Any]
"""What an op is told about an image: see `meta_of`."""


class Op(Protocol):
    """Make one image from another.

    Plug-ins written for Pystream are ops: a class with ``apply(img, meta)``. An op is called from one thread, frame
    by frame, in order. It may have memory (a running average has) and reuse its result's memory at the next call.
    An op with a method ``describe() -> dict`` says there what it does, in values that JSON can carry; it goes into
    the descriptor of the stream that it makes.
    """

    def apply(self, image: NDArray[Any], meta: Meta, /) -> NDArray[Any]:
        """Return the new image; `image` is read-only and belongs to the caller."""
        ...


def meta_of(frame: Frame) -> dict[str, Any]:
    """Return what ops are told about a frame.

    ``uid`` (the detector's unique_id), ``timestamp`` and ``received`` (s since 1970-01-01 UTC), ``source``,
    ``color_mode``, ``attributes``.
    """
    return {
        "uid": frame.unique_id,
        "timestamp": frame.timestamp,
        "received": frame.received,
        "source": frame.source,
        "color_mode": str(frame.geometry.color_mode),
        "attributes": frame.attributes,
    }


def described(op: object) -> dict[str, Any]:
    """Return what an op says about itself, at least its name."""
    about: dict[str, Any] = {"name": type(op).__name__}
    describe: Callable[[], dict[str, Any]] | None = getattr(op, "describe", None)
    return about if describe is None else about | describe()
