"""Arrays of .npy files, which may be damaged or claim a wrong size; nothing in them is ever executed."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.own_files import check_regular


def mapped(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Return the array of a file, read-only and mapped: it has at most the size of the file, whatever its header says.

    Raises
    ------
    OSError
        The file cannot be read, or is no regular one.
    ValueError
        It is no whole .npy file, or holds Python objects.
    """
    check_regular(path)
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # for damaged headers numpy raises ValueError, TypeError, TokenError, MemoryError, …
        if "Python objects" in str(error):
            raise ValueError("it holds pickled objects, which are never loaded; save an array of numbers") from error
        raise ValueError(f"it is not a whole .npy file ({error}); write it with numpy.save") from error


def load(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Return the array of a file, in memory of its own; raises what `mapped` raises."""
    return np.array(mapped(path))
