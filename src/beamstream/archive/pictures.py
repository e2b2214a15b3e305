"""Arrays as PNG over HTTP: scaled by their finite pixels, numbers along one axis as a curve."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from tiled.media_type_registration import SerializationRegistry
from tiled.utils import SerializationError

from beamstream.ops.contrast import as_seen
from beamstream.ops.picture import picture_of


def register_pictures(formats: SerializationRegistry) -> None:
    """Serve arrays as pictures: tiled 0.2.20 scales by all pixels, one NaN makes its picture black."""
    in_text = formats.dispatch("array", "text/csv")

    def page(mimetype: str, array: Any, metadata: Mapping[str, Any]) -> str:
        try:
            shown = base64.b64encode(png("image/png", array, metadata)).decode()
        except SerializationError:
            return f"<html><body>{in_text('text/csv', array, metadata).decode()}</body></html>"
        return f'<html><body><img src="data:image/png;base64,{shown}"/></body></html>'

    formats.register("array", "image/png", png)
    formats.register("array", "text/html", page)


def png(_mimetype: str, array: Any, _metadata: Mapping[str, Any]) -> bytes:
    """Return an image as PNG of 8 bit; NaN is black. How colours lie is not known here: three values last are colours.

    Raises
    ------
    SerializationError
        It is no single image; the text names what to request.
    """
    import imagecodecs

    values = np.asarray(array)
    size = " × ".join(map(str, values.shape))
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
    if values.dtype.kind not in "uif":
        raise SerializationError(f"a picture of {values.dtype} asked for, which has no brightness; ask for numbers")
    if not values.size or not values.ndim:
        raise SerializationError(f"a picture of {size or 'one number'} asked for; ask for a frame that has pixels")
    shown, words = picture_of(values)
    if words and values.ndim > 1:
        raise SerializationError(
            f"a picture of {size} asked for, which is more than one; choose with slice, ?slice=FRAME or "
            f"?slice=FRAME,PLANE, until rows and columns are left"
        )
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(as_seen(shown)), level=1))
