"""One frame as a file: NumPy, PNG or TIFF, every pixel as it is."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.ops.contrast import limits, samples
from beamstream.ops.eight_bit import linear

FORMATS = {"npy": "application/octet-stream", "png": "image/png", "tiff": "image/tiff"}


def encoded(image: NDArray[Any], form: str) -> bytes:
    """Return an image as a file's bytes; takes up to a second for large ones.

    PNG keeps 8 and 16 bit as they are; other types are stretched over 16 bit, see `beamstream.ops.contrast.limits`, and
    NaN is 0.

    Parameters
    ----------
    image : ndarray
        For PNG of shape (n_rows, n_cols) or (n_rows, n_cols, 3).
    form : {"npy", "png", "tiff"}
    """
    image = np.ascontiguousarray(image, image.dtype.newbyteorder("<"))
    if form == "png":
        import imagecodecs

        return bytes(imagecodecs.png_encode(_for_png(image), level=1))
    file = io.BytesIO()
    if form == "npy":
        np.save(file, image, allow_pickle=False)
    else:
        import tifffile

        image = np.atleast_2d(image)
        tifffile.imwrite(file, image, photometric="rgb" if image.ndim == 3 and image.shape[2] == 3 else "minisblack")
    return file.getvalue()


def _for_png(image: NDArray[Any]) -> NDArray[Any]:
    if image.dtype in (np.uint8, np.uint16):
        return image
    return linear(image, *limits(samples(image)), np.uint16)
