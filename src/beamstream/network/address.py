"""Where a server listens, and the secret that proves it is ours: in a file that no other user can write or read."""

import json
import logging
import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from beamstream.errors import NotOurServer
from beamstream.network.hosts import is_loopback
from beamstream.private import NotPrivate, check_directory, read_private, secret_mode, write_private

log = logging.getLogger(__name__)

KEY_VARIABLE = "BEAMSTREAM_API_KEY"
"""The environment variable that holds the key of an archive."""


def origin_of(url: str) -> tuple[str, int]:
    """Return host and port of a URL."""
    at = urlsplit(url)
    return at.hostname or "", at.port or (443 if at.scheme == "https" else 80)


def warn_unencrypted(url: str, key: str | None) -> None:
    """Log a warning if a key would be sent unencrypted to another machine."""
    at = urlsplit(url)
    if key and at.scheme == "http" and not is_loopback(at.hostname or ""):
        log.warning("archive: the key goes to %s, readable on its way; use https:// or a tunnel", at.netloc)


def new_secret() -> str:
    """Return a secret that one server shares with those who can read its address, from its start to its end."""
    return secrets.token_hex(32)


@dataclass(frozen=True, slots=True)
class Address:
    """Which process serves, and where.

    Parameters
    ----------
    url : str
        ``http://host:port`` or ``https://…``, never with a key.
    pid : int
    secret : str
        See `beamstream.network.proof`; of no use when the server has ended.
    certificate : str
        File of its certificate; "" for a server without TLS.
    """

    url: str
    pid: int
    secret: str = field(default="", repr=False)
    certificate: str = ""

    def write(self, path: Path) -> None:
        """Write or replace the file at once."""
        about = asdict(self) | {"directory": _directory(path)}
        write_private(path, json.dumps(about) + "\n", secret_mode(path.parent))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the address that a server wrote.

        Raises
        ------
        FileNotFoundError
            There is no server, or it has ended.
        NotOurServer
            Another user may have written it, it is of an earlier version, or it cannot be read.
        """
        try:
            check_directory(path.parent)
            document = json.loads(read_private(path, group=True))
            if _is_copied(document.get("directory"), path):
                raise FileNotFoundError
            known = {one.name for one in fields(cls)}
            return cls(**{name: value for name, value in document.items() if name in known})
        except FileNotFoundError:
            raise
        except NotPrivate as error:
            raise NotOurServer(
                f"{error}; act as its owner, or chown or chmod it, then start the server again"
            ) from None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise NotOurServer(f"{path} cannot be read ({why}); start the server again") from None


def _directory(path: Path) -> list[str | int]:
    """Return what distinguishes the directory of a file from a copy of it: its name, and its number on the disk."""
    return [str(path.parent.absolute()), path.parent.stat().st_ino]


def _is_copied(written_in: Any, path: Path) -> bool:
    """Return whether a file came with a copy of its directory: the server that wrote it serves another one.

    A mount elsewhere has another name for the same directory, and some file systems have other numbers for it.
    """
    return bool(written_in) and all(a != b for a, b in zip(written_in, _directory(path), strict=True))
