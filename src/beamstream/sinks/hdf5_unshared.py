"""HDF5 files that are written to: a child made by fork has no part in them.

The library finishes every file that it has open when a process ends, in a child as well: it would write what it knew
at the fork over what the parent has written since, and cut the file off there.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from beamstream.forks import share, unshare

if TYPE_CHECKING:
    import h5py


def open_unshared(create: "Callable[[], h5py.File]") -> "h5py.File":
    """Return the file that a function makes or opens, unshared with children; to be closed by `close_unshared`."""
    from h5py._objects import phil  # h5py's lock, which a fork waits for

    with phil:
        file = create()
        unshare(file.id.get_vfd_handle())
    return file


def close_unshared(file: "h5py.File") -> None:
    """Close a file of `open_unshared`; again does no harm. Raises what HDF5 raises: then it stays open."""
    from h5py._objects import phil

    with phil:
        if not file:
            return
        fd = file.id.get_vfd_handle()
        share(fd)
        try:
            file.close()
        except BaseException:
            unshare(fd)
            raise
