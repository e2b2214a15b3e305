"""The path of a database in a directory of any name.

SQLAlchemy 2.0 and DuckDB 1.5 end the path of a file at a question mark, tiled 0.2.20 takes ``:memory:`` in one for no
file at all, and none of them takes bytes that are no UTF-8. A directory that is open has a plain name on Linux.
"""

import os
import re
from pathlib import Path

from beamstream.errors import ArchiveError

_PLAIN = re.compile(r"[\w/.,+@%#=~ -]*")
_open: dict[Path, int] = {}


def database_path(path: Path) -> Path:
    """Return a path of a file that databases understand; of a strange directory it counts in this process alone.

    Parameters
    ----------
    path : Path
        Absolute; its directory has to be there.
    """
    if _PLAIN.fullmatch(str(path)):
        return path
    return Path(f"/proc/self/fd/{_descriptor(path.parent)}", path.name)


def duckdb_settings(path: Path) -> tuple[str, ...]:
    """Return what a connection to a DuckDB file has to be set to.

    DuckDB 1.5 puts the ``.wal`` of its log before the first question mark of the path, ``what.wal?/tables.duckdb``. In
    such a directory each commit goes into the file itself, which takes 10 ms.

    Raises
    ------
    ArchiveError
        There is a log already, of a server that was killed before the directory got this name: DuckDB would pass it
        over.
    """
    if "?" not in str(path):
        return ()
    log = path.with_name(f"{path.name}.wal")
    if log.exists():
        raise ArchiveError(
            f"archive: {path.parent} asked for, {log.name} in it has what {path.name} has not, and cannot be read "
            "below a directory with '?' in its name; rename that, serve the archive once and stop the server, and then "
            "name it as you like"
        )
    return ("SET GLOBAL wal_autocheckpoint = '0KB'", "SET GLOBAL auto_checkpoint_skip_wal_threshold = 0")


def _descriptor(directory: Path) -> int:
    """Return a descriptor of a directory; it stays open, since a database opens files next to its own at any time."""
    known = _open.get(directory)
    if known is not None and os.path.samestat(os.fstat(known), directory.stat()):
        return known
    if known is not None:
        os.close(known)
    _open[directory] = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return _open[directory]
