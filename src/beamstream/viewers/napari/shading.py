"""What graphics compute for each pixel of an image: no more than its picture needs.

napari raises each pixel to the power of the layer's gamma, also where that is 1, and looks gray up in a table. Without
graphics hardware these two cost a tenth of the whole drawing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Image

_GAMMA = "gamma_float"
_STRAIGHT = "float apply_gamma(float data) { return data * $gamma; }"  # for 1; vispy wants to set $gamma


def spare(layer: "Image", node: Any) -> None:
    """Have a layer of single values drawn with fewer steps wherever that gives the same picture, from now on.

    Parameters
    ----------
    layer : Image
    node : vispy.visuals.image.ImageVisual
        That draws it; one of another make is left as it is.
    """
    from napari.utils.colormaps import ensure_colormap

    templates = getattr(node, "_func_templates", {})
    if _GAMMA not in templates:
        return
    gray, curved = ensure_colormap("gray"), templates[_GAMMA]

    def choose_gamma(_event: object = None) -> None:
        wanted = _STRAIGHT if layer.gamma == 1 else curved
        if node._func_templates[_GAMMA] == wanted:
            return  # vispy sets another gamma without compiling anew
        node.unfreeze()
        node._func_templates = {**templates, _GAMMA: wanted}
        node.freeze()
        node._need_colortransform_update = True
        node.update()

    def choose_colours(_event: object = None) -> None:
        if layer.colormap == gray:
            node.cmap = "grays"  # vispy's own needs no table

    layer.events.gamma.connect(choose_gamma, position="last")  # after napari
    layer.events.colormap.connect(choose_colours, position="last")
    choose_gamma()
    choose_colours()
