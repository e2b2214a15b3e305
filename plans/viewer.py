"""Declare in a plan what a viewer is to show of its runs."""

from collections.abc import Sequence
from typing import Any, Literal

import bluesky.preprocessors as bpp
from bluesky.utils import MsgGenerator, make_decorator

_KINDS = ("napari",)


def viewer_wrapper(
    plan: MsgGenerator[Any],
    kind: str = "napari",
    *,
    only: Literal["recorded"] | None = None,
    streams: Sequence[str] | None = None,
) -> MsgGenerator[Any]:
    """Let a viewer show every run of a plan; for the rest see `viewer`."""
    return (yield from bpp.inject_md_wrapper(plan, {"viewer": _declared(kind, only, streams)}))


def viewer(
    kind: str = "napari", *, only: Literal["recorded"] | None = None, streams: Sequence[str] | None = None
) -> Any:
    """Let a viewer show every run of a plan; for above its ``def``.

    It stands in the start documents as ``viewer``; a session's callback `beamstream.callbacks.viewer.Viewer` does
    it. Whether there is a viewer makes no difference to the run.

    ::

        @viewer("napari", only="recorded", streams=["corrected"])
        def overnight():
            yield from scan([camera], theta, 0, 90, 91)

        RE(viewer("napari")(scan)([camera], theta, 0, 90, 91))

    Parameters
    ----------
    kind : {"napari"}
    only : {"recorded"}, optional
        Show only what is archived; by default live frames as well, as they come.
    streams : list of str, optional
        What is derived and wanted beside the raw images: ``["corrected"]``.

    Raises
    ------
    ValueError
        There is no such viewer or choice.
    """
    _declared(kind, only, streams)  # at once, not when the plan runs
    return _decorator(kind, only=only, streams=streams)


_decorator = make_decorator(viewer_wrapper)


def _declared(kind: str, only: str | None, streams: Sequence[str] | None) -> dict[str, Any]:
    if kind not in _KINDS:
        raise ValueError(f"viewer: {kind!r} given; use one of {', '.join(map(repr, _KINDS))}")
    if only not in (None, "recorded"):
        raise ValueError(f'viewer: only={only!r} given; use "recorded", or leave it out')
    if isinstance(streams, str) or not all(isinstance(one, str) for one in streams or ()):
        raise ValueError(f'viewer: streams={streams!r} given; use a list of names, like ["corrected"]')
    return {kind: {"only": only or "", "streams": list(streams or ())}}
