"""What a page wants to know of the whole frame: the pixel under the crosshair, regions of interest, line profiles."""

from typing import Any

from beamstream.live.image_pixels import Array
from beamstream.live.image_wish import Area, Wish
from beamstream.ops.region import line_profile, region_statistics


def notes_of(image: Array, wish: Wish) -> dict[str, Any]:
    """Return the numbers, as JSON can carry them; true values of this image, which is as `plain` returns it."""
    return {
        "cross": _cross(image, wish.cross),
        "rois": [_statistics(image, area) for area in wish.areas],
        "lines": [{"id": name, "values": line_profile(image, *ends).tolist()} for name, *ends in wish.lines],
    }


def _cross(image: Array, cross: tuple[int, int] | None) -> dict[str, Any] | None:
    """Return the value of one pixel; null outside of the frame."""
    if cross is None:
        return None
    row, col = cross
    inside = 0 <= row < image.shape[0] and 0 <= col < image.shape[1]
    return {"row": row, "col": col, "value": image[row, col].tolist() if inside else None}


def _statistics(image: Array, area: Area) -> dict[str, Any]:
    found = region_statistics(image, (area.row, area.col, area.rows, area.cols), ellipse=area.ellipse)
    return {
        "id": area.name,
        "sum": found.total,
        "mean": found.mean,
        "std": found.std,
        "min": found.min,
        "max": found.max,
        "row": found.row,
        "col": found.col,
        "pixels": found.pixels,
    }
