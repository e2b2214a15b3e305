"""Where the running viewer is found: a file that only its user can read, with its port and a secret."""

import json
import os
import re
import secrets
import socket
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from beamstream.errors import UntrustedFile
from beamstream.own_files import open_own
from beamstream.private import write_private

_MOST = 4096  # bytes


@dataclass(frozen=True, slots=True)
class Address:
    """How to reach a viewer.

    Parameters
    ----------
    pid : int
        Of its process.
    port : int
        On 127.0.0.1.
    token : str
        To be in every message.
    """

    pid: int
    port: int
    token: str

    @classmethod
    def new(cls, port: int) -> "Address":
        """Return the address of this process, with a secret of its own."""
        return cls(os.getpid(), port, secrets.token_urlsafe(32))


def address_file() -> Path:
    """Return where the viewer of this user, machine and display writes its address.

    The environment variable ``BEAMSTREAM_NAPARI`` names another file.
    """
    if given := os.environ.get("BEAMSTREAM_NAPARI"):
        return Path(given)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    home = Path(runtime) if runtime and _is_private(Path(runtime)) else Path.home() / ".cache"
    display = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY") or "none"
    name = re.sub(r"[^A-Za-z0-9.]+", "_", f"{socket.gethostname()}-{display}")
    return home / "beamstream" / f"napari-{name}.json"


def _is_private(directory: Path) -> bool:
    """Return whether a directory is as XDG_RUNTIME_DIR has to be: ours, and closed to others."""
    try:
        about = directory.stat()
    except OSError:
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o077


def write_address(address: Address, path: Path) -> None:
    """Write the file, mode 600, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, json.dumps(asdict(address)))


def read_address(path: Path) -> Address | None:
    """Return the address in a file; None if there is none, others could have written it, or its process has ended."""
    try:
        with os.fdopen(open_own(path), "rb") as file:
            document = json.loads(file.read(_MOST))
        address = Address(int(document["pid"]), int(document["port"]), str(document["token"]))
    except (OSError, ValueError, KeyError, TypeError, UntrustedFile):
        return None
    return address if alive(address.pid) else None


def forget_address(address: Address, path: Path) -> None:
    """Remove the file if it still has this address; another viewer's stays."""
    if read_address(path) == address:
        path.unlink(missing_ok=True)


def alive(pid: int) -> bool:
    """Return whether a process is there and not just waiting to be buried."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
