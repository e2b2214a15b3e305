"""Append to a one-dimensional dataset of HDF5, with as little work between as h5py allows."""

from typing import Any

from numpy.typing import NDArray


class GrowingDataset:
    """A dataset with a number, or a text, a row; what is written there is on its way to readers at once.

    Parameters
    ----------
    dataset : h5py.Dataset
        In single-writer-multiple-readers mode; values that are written have its type.
    """

    def __init__(self, dataset: Any) -> None:
        self.id = dataset.id
        # h5py 3.16 makes one of the array's dtype at each write, which takes longer than writing
        self._type = self.id.get_type()

    def write(self, memory: Any, start: int, values: NDArray[Any]) -> None:
        """Write values from a row on, and flush them for readers; `memory` is a data space of their length."""
        place = self.id.get_space()
        place.select_hyperslab((start,), (len(values),))
        self.id.write(memory, place, values, self._type)
        self.id.flush()
