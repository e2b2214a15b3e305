"""Find the service that an upload goes to."""

from pathlib import Path

from beamstream.errors import UploadError
from beamstream.locks import is_locked
from beamstream.network.address import Address
from beamstream.rheed.options import Destination, UploadOptions


def destination_for(options: UploadOptions, archive: Path, expected: str = "") -> Destination:
    """Return where an upload goes: what was asked for, otherwise the ingest of the archive.

    Parameters
    ----------
    options : UploadOptions
    archive : Path
        Its directory.
    expected : str
        URL at which the ingest of the archive will be, where it does not run yet.

    Raises
    ------
    UploadError
        None was asked for, and the archive has no ingest.
    """
    key_file = None if options.key_file is None else str(Path(options.key_file).expanduser().absolute())
    own = ingest_of(archive) or expected
    if options.endpoint and options.endpoint != own:
        return Destination(options.endpoint, key_file)
    url = options.endpoint or own
    if not url:
        raise UploadError(
            f"upload: no endpoint asked for, and no ingest runs for {archive}; start `beamstream serve --ingest`, or "
            'name a service: endpoint = "http://host:port"'
        )
    return Destination(url, key_file or str(ingest_key(archive)), str(ingest_address(archive)))


def ingest_of(archive: Path) -> str | None:
    """Return the URL of the ingest that runs for an archive; None when none does."""
    try:
        address = Address.read(ingest_address(archive))
        return address.url if is_locked(archive / "ingest" / "lock") else None
    except OSError:
        return None


def ingest_address(archive: Path) -> Path:
    """Return where an archive's ingest writes its address."""
    return archive / "ingest" / "server.json"


def ingest_key(archive: Path) -> Path:
    """Return where the key of an archive's ingest is."""
    return archive / "ingest_key"
