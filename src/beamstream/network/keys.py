"""Keys of an archive: what each may do and until when; of a key only its hash is on the disk."""

import contextlib
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from beamstream.errors import ArchiveError
from beamstream.network.key_files import KeyFiles
from beamstream.network.rules import CONTROL, READ, SCOPES, WRITE

_IMPLIED = {WRITE: {READ}, CONTROL: {READ}}
_LONGEST_NOTE = 200  # characters


def digest(text: str) -> bytes:
    """Return the hash by which a key or a session is looked up; 256 random bits need no slow one."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


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
        Why it is not accepted although its time is not over; ``""``: it is accepted.
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
    """The keys of one archive directory, in its `KeyFiles`, which are read whenever a key is shown.

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
        self._files = KeyFiles(Path(archive)) if archive is not None else None
        self._main = [(digest(text), frozenset(scopes)) for text, scopes in (main or {}).items() if text]

    def check(self, text: str) -> frozenset[str] | None:
        """Return the scopes of a key; None if it is unknown, expired or revoked."""
        known = self.identify(text)
        return None if known is None else known.scopes

    def identify(self, text: str) -> Known | None:
        """Return which key a text is, and note that it was used; how long that takes does not depend on the secret."""
        shown = digest(text)
        found = [Known(f"main{i}", may) for i, (main, may) in enumerate(self._main) if hmac.compare_digest(main, shown)]
        if found:
            return found[0]
        document = self._read(text[:8])
        if document is None or not hmac.compare_digest(bytes.fromhex(document["hash"]), shown):
            return None
        if self._files is not None:
            self._files.note_use(text[:8])
        return _living(text[:8], document)

    def living(self, name: str) -> Known | None:
        """Return a key by its id; None if it is unknown, expired or revoked."""
        if name.startswith("main"):
            return Known(name, self._main[int(name[4:])][1])
        document = self._read(name)
        return None if document is None else _living(name, document)

    def create(self, scopes: Collection[str], expires: float | None = None, note: str = "") -> str:
        """Make a key and return it, this once: it cannot be read from the disk.

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
            There is no such scope, the note is long or not one line, or the key cannot be kept.
        """
        if unknown := set(scopes) - set(SCOPES):
            raise ArchiveError(f"keys: scope {min(unknown)!r} asked for; there are {', '.join(SCOPES)}")
        if not scopes:
            raise ArchiveError(f"keys: no scope given, the key could do nothing; there are {', '.join(SCOPES)}")
        if len(note) > _LONGEST_NOTE or not all(map(str.isprintable, note)):
            raise ArchiveError(f"keys: a note of {len(note)} characters given; use one line of at most {_LONGEST_NOTE}")
        if self._files is None:
            raise ArchiveError("keys: a key to be kept, but there is no archive; name its directory")
        about = {"scopes": sorted(scopes, key=SCOPES.index), "note": note, "created": time.time(), "expires": expires}
        while True:
            text = secrets.token_hex(32)
            with contextlib.suppress(FileExistsError):  # another key begins with the same eight letters
                self._files.write(text[:8], {"hash": digest(text).hex(), **about})
                return text

    def list(self) -> list[Key]:
        """Return all keys that are not revoked, the oldest first."""
        if self._files is None:
            return []
        return sorted((_listed(self._files, name) for name in self._files.names()), key=lambda key: key.created)

    def revoke(self, name: str) -> None:
        """Make a key useless, at once and for all servers.

        Raises
        ------
        ArchiveError
            There is none of that id, or its file cannot be removed.
        """
        try:
            if self._files is None:
                raise FileNotFoundError
            self._files.remove(name)
        except FileNotFoundError:
            raise ArchiveError(f"keys: key {name!r} to be revoked, there is none; see `beamstream key list`") from None

    def _read(self, name: str) -> dict[str, Any] | None:
        if self._files is None:
            return None
        try:
            return self._files.load(name)[0]
        except (OSError, ValueError):  # `list` has the reason
            return None


def _listed(files: KeyFiles, name: str) -> Key:
    try:
        document, used = files.load(name)
    except (OSError, ValueError) as error:
        return Key(name, trouble=f"{files.path(name)}: {error}")
    about = {key: document[key] for key in ("note", "created", "expires")}
    return Key(name, tuple(document["scopes"]), used=used or None, **about)


def _living(name: str, document: Mapping[str, Any]) -> Known | None:
    """Return the key of a file; None if its time is over."""
    if document["expires"] is not None and document["expires"] <= time.time():
        return None
    scopes = frozenset(document["scopes"])
    return Known(name, scopes.union(*(_IMPLIED.get(scope, set()) for scope in scopes)))
