"""Regions and points that callbacks told of, on the images they belong to."""

from typing import TYPE_CHECKING, Any

import numpy as np

from beamstream.viewers.napari.messages import Points, Regions

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

_REGION, _POINT = "#ffb000", "#00d0ff"
_THIN = 300  # how many line widths the image is high


class Marks:
    """Keep one layer of shapes and one of points for each stream, updated in place.

    Numbers about what is marked stand in the layers' features: napari's table of features shows them.

    Parameters
    ----------
    viewer : ViewerModel
    """

    def __init__(self, viewer: "ViewerModel") -> None:
        self._viewer = viewer
        self._layers: dict[str, Any] = {}

    def regions(self, image: "Image", said: Regions) -> None:
        """Draw rectangles, with their names."""
        boxes = [_box(*region) for region in said.regions.values()]
        features = {"name": list(said.regions)}
        layer, width = self._layer(f"{image.name} regions"), max(1.0, image.data.shape[-2] / _THIN)
        if layer is None and boxes:
            look: Any = {"edge_color": _REGION, "face_color": "transparent", "edge_width": width}
            look |= {"shape_type": "rectangle", "features": features, "text": _text(_REGION)}
            self._add("shapes", image, f"{image.name} regions", boxes, look)
        elif layer is not None:
            more = len(boxes) > len(layer.data)
            layer.data = [(box, "rectangle") for box in boxes]
            if more:  # napari gives new ones a width of 1: too thin to be seen on a large image
                layer.edge_width = width
            layer.features, layer.scale = features, image.scale[-2:]

    def points(self, image: "Image", said: Points) -> None:
        """Draw points, and keep the numbers that came with them."""
        places = np.array(list(said.points.values()), float).reshape(-1, 2)
        features: dict[str, Any] = {"name": list(said.points)}
        features |= {key: [value] * len(places) for key, value in said.table.items()}
        layer = self._layer(f"{image.name} points")
        if layer is None and len(places):
            size = max(5.0, 12 * image.data.shape[-2] / _THIN)
            look: Any = {"symbol": "cross", "size": size, "face_color": _POINT, "border_width": 0}
            look |= {"features": features, "text": _text(_POINT)}
            self._add("points", image, f"{image.name} points", places, look)
        elif layer is not None:
            layer.data = places
            layer.features, layer.scale = features, image.scale[-2:]

    def clear(self) -> None:
        """Take all marks away; their layers stay for the next ones."""
        for layer in self._layers.values():
            if len(layer.data):
                layer.data = []

    def _layer(self, name: str) -> Any:
        layer = self._layers.get(name)
        return layer if layer is not None and layer in self._viewer.layers else None

    def _add(self, kind: str, image: "Image", name: str, data: Any, look: dict[str, Any]) -> None:
        if name in self._layers:
            return  # somebody deleted it
        selected = set(self._viewer.layers.selection)
        make = getattr(self._viewer, f"add_{kind}")
        where: Any = {"scale": image.scale[-2:], "units": image.units[-2:]}
        # with depth, what is see-through hides what lies below it
        self._layers[name] = make(data, name=name, blending="translucent_no_depth", **where, **look)
        self._viewer.layers.selection = selected or {image}


def _text(colour: str) -> dict[str, Any]:
    return {"string": "{name}", "size": 10, "color": colour, "anchor": "upper_left", "translation": [-4, 0]}


def _box(row: float, col: float, rows: float, cols: float) -> list[list[float]]:
    """Return the corners around whole pixels; napari has their centres at whole numbers."""
    top, left = row - 0.5, col - 0.5
    return [[top, left], [top, left + cols], [top + rows, left + cols], [top + rows, left]]
