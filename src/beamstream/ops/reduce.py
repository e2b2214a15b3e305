"""Ops that make an image smaller: crop and binning."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import PipelineError
from beamstream.ops.axes import rows_and_columns
from beamstream.ops.base import Meta
from beamstream.ops.dtypes import for_fractions, for_sum
from beamstream.ops.options import Described, one_of, whole, wrong


class Crop(Described):
    """Keep a region of interest; the pixel type stays, the result is a view.

    Parameters
    ----------
    row, col : int
        The first row and column that are kept, pixels from 0.
    n_rows, n_cols : int, optional
        How many are kept; without, all up to the edge.
    """

    def __init__(self, row: int = 0, col: int = 0, n_rows: int | None = None, n_cols: int | None = None) -> None:
        self.row = whole("crop", "row", row, least=0)
        self.col = whole("crop", "col", col, least=0)
        self.n_rows = None if n_rows is None else whole("crop", "n_rows", n_rows, least=1)
        self.n_cols = None if n_cols is None else whole("crop", "n_cols", n_cols, least=1)

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the region.

        Raises
        ------
        PipelineError
            The image does not contain it.
        """
        rows, columns = rows_and_columns("crop", image, meta)
        kept = [slice(None)] * image.ndim
        kept[rows] = _part("rows", self.row, self.n_rows, image.shape[rows])
        kept[columns] = _part("columns", self.col, self.n_cols, image.shape[columns])
        return image[tuple(kept)]


class Bin(Described):
    """Merge blocks of pixels into one; rows and columns that fill no block are cut off at the end.

    Parameters
    ----------
    factor : int or pair of int
        Pixels a block: both ways, or (rows, columns).
    method : {"mean", "sum"}
        ``mean`` makes float32 up to 16 bit, else float64; ``sum`` of integers makes integers wide enough for
        saturated blocks (32 bit where that is enough, else 64), of floats floats.
    """

    def __init__(self, factor: int | Sequence[int] = 2, method: str = "mean") -> None:
        pair = [factor, factor] if isinstance(factor, int) else factor
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise wrong("bin", "factor", factor, "give a whole number, or two: rows, columns")
        self.factor = [whole("bin", "factor", one, least=1) for one in pair]
        self.method = one_of("bin", "method", method, ("mean", "sum"))

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the smaller image.

        Raises
        ------
        PipelineError
            It is smaller than one block.
        """
        count = self.factor[0] * self.factor[1]
        total = image
        for axis, factor in zip(rows_and_columns("bin", image, meta), self.factor, strict=True):
            total = _merged(total, axis, factor, for_sum(image.dtype, count))
        if self.method == "sum":
            return total
        return np.divide(total, count, out=np.empty(total.shape, for_fractions(image.dtype)), casting="same_kind")


def _part(what: str, start: int, count: int | None, size: int) -> slice:
    stop = size if count is None else start + count
    if stop > size or start >= size:
        raise PipelineError(f"crop: {what} {start}:{stop} asked for, the image has 0:{size}; change the region")
    return slice(start, stop)


def _merged(image: NDArray[Any], axis: int, factor: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return sums of `factor` neighbours along one axis."""
    size = image.shape[axis] // factor * factor
    if not size:
        raise PipelineError(f"bin: blocks of {factor} asked for, the image has {image.shape[axis]}; take a smaller one")
    lines = np.moveaxis(image, axis, 0)
    total = lines[0:size:factor].astype(dtype)
    for first in range(1, factor):  # strided slices: several times faster than a reshape and a sum over two axes
        np.add(total, lines[first:size:factor], out=total)
    return np.moveaxis(total, 0, axis)
