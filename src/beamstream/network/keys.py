"""Keys of an archive: what each may do and until when; of a key only its hash is on the disk."""

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from beamstream.errors import ArchiveError, UntrustedFile
from beamstream.network.rules import CONTROL, READ, SCOPES, WRITE
from beamstream.own_files import open_own

_IMPLIED = {WRITE: {READ}, CONTROL: {READ}}
_ID = re.compile(r"[0-9a-f]{8}")
_LONGEST_NOTE = 200  # characters
_LARGEST = 4096  # bytes of a key's file
_USED_PERIOD = 60.0  # s; when a key was last used is known as well as that


class Known(NamedTuple):
    """A living key, without its secret: its id and its scopes."""

    id: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is listed.

    Parameters
    ----------
    id : str
        The first eight characters of the key.
    scopes : tuple of str
    note : str
    created : float
        s since 1970-01-01 UTC.
    expires : float or None
        The same; None: never.
    used : float or None
        When it was last shown to a server, to a minute; None: never.
    trouble : str
        Why it is not accepted, besides its end; ``""``: it is.
    """

    id: str
    scopes: tuple[str, ...] = ()
    note: str = ""
    created: float = 0.0
    expires: float | None = None
    used: float | None = None
    trouble: str = ""

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= time.time()


class Keys:
    """The keys of one archive directory: a file each in ``<archive>/keys``, mode 600, read whenever a key is shown.

    So all servers of the archive, and commands while none runs, see at once what was created, revoked or has expired.

    Parameters
    ----------
    archive : path-like or None
        None: there are the main keys only.
    main : mapping of str to scopes
        Keys that do not end and are not listed, with what they may: those of the archive's own files.
    """

    def __init__(
        self, archive: str | os.PathLike[str] | None, main: Mapping[str, Collection[str]] | None = None
    ) -> None:
        self._archive = Path(archive) if archive is not None else None
        self._directory = self._archive / "keys" if self._archive is not None else None
        self._main = [(_digest(text), frozenset(scopes)) for text, scopes in (main or {}).items() if text]

    def check(self, text: str) -> frozenset[str] | None:
        """Return the scopes of a key; None if it is unknown, expired or revoked."""
        known = self.identify(text)
        return None if known is None else known.scopes

    def identify(self, text: str) -> Known | None:
        """Return which key a text is, and note that it was used; takes a time that says nothing about the secret."""
        digest = _digest(text)
        found = [Known(f"main{i}", scopes) for i, (main, scopes) in enumerate(self._main) if _same(main, digest)]
        if found:
            return found[0]
        document = self._read(text[:8])
        if document is None or not _same(bytes.fromhex(document["hash"]), digest):
            return None
        self._note_use(text[:8])
        return _living(text[:8], document)

    def living(self, name: str) -> Known | None:
        """Return a key by its id; None if it is unknown, expired or revoked."""
        if name.startswith("main"):
            return Known(name, self._main[int(name[4:])][1])
        document = self._read(name)
        return None if document is None else _living(name, document)

    def create(self, scopes: Collection[str], expires: float | None = None, note: str = "") -> str:
        """Make a key and return it: nobody can read it again.

        Parameters
        ----------
        scopes : collection of str
            Of `SCOPES`; to write or to control is to read as well.
        expires : float, optional
            s since 1970-01-01 UTC; never without it.
        note : str
            Who has it, and what for.

        Raises
        ------
        ArchiveError
            A scope is none, the note is long or no single line, or the key cannot be kept.
        """
        if unknown := set(scopes) - set(SCOPES):
            raise ArchiveError(f"keys: scope {min(unknown)!r} asked for; there are {', '.join(SCOPES)}")
        if not scopes:
            raise ArchiveError(f"keys: no scope given, the key could do nothing; there are {', '.join(SCOPES)}")
        if len(note) > _LONGEST_NOTE or not all(map(str.isprintable, note)):
            raise ArchiveError(f"keys: a note of {len(note)} characters given; use one line of at most {_LONGEST_NOTE}")
        about = {"scopes": sorted(scopes, key=SCOPES.index), "note": note, "created": time.time(), "expires": expires}
        while True:
            text = secrets.token_hex(32)
            with contextlib.suppress(FileExistsError):  # another key begins with the same eight letters
                self._write(text[:8], {"hash": _digest(text).hex(), **about})
                return text

    def list(self) -> list[Key]:
        """Return all keys that are not revoked, the oldest first."""
        if self._directory is None or not self._directory.is_dir():
            return []
        names = [path.stem for path in self._directory.glob("*.json") if _ID.fullmatch(path.stem)]
        return sorted(map(self._listed, names), key=lambda key: key.created)

    def revoke(self, name: str) -> None:
        """Make a key useless, at once and for all servers.

        Raises
        ------
        ArchiveError
            There is none of that id, or its file cannot be removed.
        """
        missing = ArchiveError(f"keys: key {name!r} to be revoked, there is none; see `beamstream key list`")
        if self._directory is None or not _ID.fullmatch(name):
            raise missing
        try:
            self._path(name).unlink()
            _sync(self._directory)
        except FileNotFoundError:
            raise missing from None
        except OSError as error:
            raise ArchiveError(f"keys: {self._path(name)} cannot be removed: {error.strerror}; remove it") from error

    def _path(self, name: str) -> Path:
        assert self._directory is not None
        return self._directory / f"{name}.json"

    def _listed(self, name: str) -> Key:
        try:
            document, used = self._load(name)
        except (OSError, ValueError) as error:
            return Key(name, trouble=f"{self._path(name)}: {error}")
        about = {key: document[key] for key in ("note", "created", "expires")}
        return Key(name, tuple(document["scopes"]), used=used or None, **about)

    def _read(self, name: str) -> dict[str, Any] | None:
        if self._directory is None or not _ID.fullmatch(name):
            return None
        try:
            return self._load(name)[0]
        except (OSError, ValueError):  # `list` has the reason
            return None

    def _load(self, name: str) -> tuple[dict[str, Any], float]:
        """Return what a key's file holds, and when the key was last used (0.0: never).

        Raises
        ------
        ValueError
            Somebody else could have written it, or it is no file of ours.
        """
        try:
            fd = open_own(self._path(name), others=(self._owner(),))
        except UntrustedFile as error:
            raise ValueError(f"{error}; revoke it") from None
        with os.fdopen(fd, "rb") as file:
            about, document = os.fstat(fd), json.loads(file.read(_LARGEST))
        if not _is_key(document):
            raise ValueError("it is no key of ours; revoke it")
        return document, about.st_mtime

    def _owner(self) -> int:
        """Return who owns the archive."""
        assert self._archive is not None
        return self._archive.stat().st_uid

    def _write(self, name: str, document: dict[str, Any]) -> None:
        """Keep a key: whole, durable, readable for the archive's owner alone.

        Raises
        ------
        FileExistsError
            There is a key of that id.
        ArchiveError
            It cannot be kept.
        """
        if self._directory is None:
            raise ArchiveError("keys: a key to be kept, but there is no archive; name its directory")
        hidden = self._directory / f".{name}.new"
        try:
            if not self._directory.is_dir():
                self._directory.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise ArchiveError(f"keys: {self._directory} cannot be made: {error.strerror}; make room for it") from error
        try:
            with os.fdopen(os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(document, file)
                file.flush()
                os.utime(hidden, (0, 0))  # its time says when the key was used: never
                os.fsync(file.fileno())
            if os.geteuid() == 0:  # made by the administrator, read by the user whose archive it is
                for path in (self._directory, hidden):
                    os.chown(path, self._owner(), -1)
            os.link(hidden, self._path(name))
            hidden.unlink()
            _sync(self._directory)
        except FileExistsError:
            hidden.unlink(missing_ok=True)
            raise
        except OSError as error:
            hidden.unlink(missing_ok=True)
            raise ArchiveError(f"keys: a key cannot be kept in {self._directory}: {error.strerror}") from error

    def _note_use(self, name: str) -> None:
        with contextlib.suppress(OSError):  # read only, or somebody else's: the key is good all the same
            if time.time() - self._path(name).stat().st_mtime > _USED_PERIOD:
                os.utime(self._path(name))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()  # 256 random bits need no slow hash


def _same(first: bytes, second: bytes) -> bool:
    return hmac.compare_digest(first, second)


def _living(name: str, document: Mapping[str, Any]) -> Known | None:
    """Return what a key's file says; None if its time is over."""
    if document["expires"] is not None and document["expires"] <= time.time():
        return None
    scopes = frozenset(document["scopes"])
    return Known(name, scopes.union(*(_IMPLIED.get(scope, set()) for scope in scopes)))


def _is_key(document: Any) -> bool:
    match document:
        case {"hash": str(digest), "scopes": [*scopes], "note": str(), "created": int() | float(), "expires": end}:
            whole = re.fullmatch(r"[0-9a-f]{64}", digest) and set(scopes) <= set(SCOPES)
            return bool(whole) and (end is None or isinstance(end, int | float))
    return False


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
