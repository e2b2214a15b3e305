"""Layout: what lies where in an archive directory, and its key."""

import contextlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from beamstream.edited_text import ADVICE, NotUtf8, text_of
from beamstream.errors import ArchiveError
from beamstream.path_names import control_fault
from beamstream.places import Places
from beamstream.private import NotPrivate, check_directory, make_directories, read_private, share_with


@dataclass(frozen=True, slots=True)
class Layout:
    """Name every path of one archive.

    ::

        <archive>/catalog.db       what runs there are (SQLite)
        <archive>/tables.duckdb    the tables of events
        <archive>/data/            arrays that came inside events
        <archive>/journal/         documents of open runs; filed/, refused/ and attempts/ below it
        <archive>/recordings/      where detectors record by default
        <archive>/ingest/          what clients uploaded: streams/ below it, and their own catalogue
        <archive>/api_key          mode 600
        <archive>/ingest_key       mode 600; uploads only
        <archive>/keys/            keys with scope and end, their hashes, mode 600; see `beamstream.network.keys`
        <archive>/server.json      which process serves this archive, and where
        <archive>/live_key         mode 600; to control the live page
        <archive>/live.json        which process serves the live page, and where
        <archive>/live_open.html   mode 600; opens that page in the owner's browser, see `beamstream.network.tickets`
        <archive>/places.json      where the archive lay, and where recordings were moved to, see `beamstream.places`
        <archive>/sessions/        what the sessions of this archive are doing, see `beamstream.watching.presence`

    Parameters
    ----------
    directory : Path
        Absolute after construction.
    """

    directory: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "directory", Path(self.directory).expanduser().absolute())

    @property
    def catalog(self) -> Path:
        """The SQLite file of the catalogue."""
        return self.directory / "catalog.db"

    @property
    def tables(self) -> Path:
        """The DuckDB file of the event tables."""
        return self.directory / "tables.duckdb"

    @property
    def data(self) -> Path:
        """Arrays that events carried."""
        return self.directory / "data"

    @property
    def journal(self) -> Path:
        """Where `beamstream.callbacks.journal.Journal` writes and the feeder reads."""
        return self.directory / "journal"

    @property
    def recordings(self) -> Path:
        """The default directory of recorded files; always readable through the archive."""
        return self.directory / "recordings"

    @property
    def ingest(self) -> Path:
        """What the ingest keeps, see `beamstream.ingest`."""
        return self.directory / "ingest"

    @property
    def streams(self) -> Path:
        """Uploaded streams, one Zarr group each; readable through the archive."""
        return self.ingest / "streams"

    @property
    def ingest_key(self) -> Path:
        """The file that holds the key of those who upload."""
        return self.directory / "ingest_key"

    @property
    def ingest_address(self) -> Path:
        """The file with the address of the ingest."""
        return self.ingest / "server.json"

    @property
    def key(self) -> Path:
        """The file that holds the API key."""
        return self.directory / "api_key"

    @property
    def live_key(self) -> Path:
        """The file that holds the key of those who control the live page."""
        return self.directory / "live_key"

    @property
    def live_address(self) -> Path:
        """The file with the address of the live page."""
        return self.directory / "live.json"

    @property
    def address(self) -> Path:
        """The file with the address of the server."""
        return self.directory / "server.json"

    @property
    def lock(self) -> Path:
        """Locked by the server as long as it lives."""
        return self.directory / "server.lock"

    def prepare(self, group: str = "") -> None:
        """Make the directories: for their owner alone, where the archive's own is not open to others already.

        Parameters
        ----------
        group : str
            Of users who may read and write all of the archive but its keys.

        Raises
        ------
        ArchiveError
            One of them cannot be made, has a control character in its name, or cannot be given to the group.
        """
        if fault := control_fault(self.directory):
            raise ArchiveError(
                f"archive: {str(self.directory)!r} asked for, {fault}; choose another directory, or rename that one"
            )
        for directory in (self.directory, self.data, self.journal, self.recordings):
            try:
                make_directories(directory, 0o700 if directory == self.directory else None)
            except OSError as error:
                raise ArchiveError(
                    f"archive: {directory} cannot be made: {error.strerror}; choose another directory"
                ) from error
        if not (places := Places.of(self.directory)).is_written:
            with contextlib.suppress(OSError):  # of an archive that is only read
                places.write()
        if group:
            self._share_with(group)

    def _share_with(self, group: str) -> None:
        try:
            share_with(self.directory, group, keys=(self.key, self.ingest_key, self.live_key))
        except KeyError:
            raise ArchiveError(
                f"archive: group {group!r} asked for, this machine has none; see `getent group`"
            ) from None
        except OSError as error:
            raise ArchiveError(
                f"archive: {error.filename or self.directory} cannot be given to group {group}: {error.strerror}; "
                "its owner can, who has to be of that group"
            ) from error

    @property
    def open_to_others(self) -> str:
        """What everybody on this machine may do with the archive, and what to do about it; empty if nothing."""
        mode = stat.S_IMODE(self.directory.stat().st_mode)
        if not mode & stat.S_IRWXO:
            return ""
        return (
            f"archive: {self.directory} has mode {mode:o}, other users of this machine can read its runs; chmod 700 "
            'it, or name a group that may: [archive] group = "…"'
        )


def read_key(path: Path) -> str:
    """Return the key that a file holds, if no other user can read it.

    Raises
    ------
    ArchiveError
        The file is missing, empty, not alphanumeric, or readable by others.
    """
    _check_directory(path)
    try:
        key = text_of(read_private(path)).strip()
    except NotPrivate as error:
        raise ArchiveError(
            f"archive: the key {error}; delete it to get a new one (or chmod 600 if you trust them)"
        ) from None
    except NotUtf8 as error:
        raise ArchiveError(f"archive: the key {path} is {error}; {ADVICE}, or delete it to get a new one") from None
    except OSError as error:
        raise ArchiveError(f"archive: the key {path} cannot be read: {error.strerror}; is this the archive?") from error
    if not key.isalnum():
        raise ArchiveError(f"archive: the key {path} is not made of letters and digits; delete it to get a new one")
    return key


def make_key(path: Path) -> str:
    """Return the key of an archive; make it, mode 600, at the first start.

    Raises
    ------
    ArchiveError
        See `read_key`.
    """
    key = secrets.token_hex(32)
    _check_directory(path)
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return read_key(path)
    with os.fdopen(fd, "w") as file:
        file.write(key + "\n")
    return key


def _check_directory(path: Path) -> None:
    try:
        check_directory(path.parent)
    except NotPrivate as error:
        raise ArchiveError(
            f"archive: the key {path} asked for, {error}; chown and chmod that, or choose another directory"
        ) from None
    except OSError as error:
        raise ArchiveError(f"archive: the key {path} cannot be read: {error.strerror}; is this the archive?") from error
