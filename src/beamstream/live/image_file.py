"""One frame as a file: NumPy, PNG or TIFF, every pixel as it is."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMATS = {"npy": "application/octet-stream", "png": "image/png", "tiff": "image/tiff"}


def encoded(image: NDArray[Any], form: str) -> bytes:
    """Return an image as a file's bytes; takes up to a second for large ones.

    PNG keeps 8 and 16 bit as they are; other types are stretched from least to greatest value over 16 bit.

    Parameters
    ----------
    image : ndarray, shape (n_rows, n_cols) or (n_rows, n_cols, 3)
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

        tifffile.imwrite(file, image, photometric="rgb" if image.ndim == 3 else "minisblack")
    return file.getvalue()


def _for_png(image: NDArray[Any]) -> NDArray[Any]:
    if image.dtype in (np.uint8, np.uint16):
        return image
    finite = np.isfinite(image)
    low, high = (image[finite].min(), image[finite].max()) if finite.any() else (0.0, 1.0)
    stretched = (image.astype(np.float64) - float(low)) * (65535 / max(float(high) - float(low), 1e-300))
    return np.where(finite, np.rint(np.clip(np.nan_to_num(stretched), 0, 65535)), 0).astype(np.uint16)
