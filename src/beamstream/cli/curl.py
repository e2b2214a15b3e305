"""Lines for curl that ask an archive; what is printed works as it stands, in bash and zsh."""

import shlex
from pathlib import Path


def header(key: Path | None) -> str:
    """Return curl with the key, which goes from its file through a pipe; None needs no key.

    It stands in no command's arguments, which every user of the machine can read.
    """
    if key is None:
        return "curl -sg"
    return f"curl -sg -H @<(sed 's/^/Authorization: Apikey /' {shlex.quote(str(key))})"


def search_line(url: str, key: Path | None) -> str:
    """Return the line for the newest run's metadata."""
    return f"{header(key)} '{url}/api/v1/search/?page[limit]=1&sort=-start.time'"


def run_lines(url: str, key: Path | None, uid: str, image: str | None, lossy: bool = False) -> dict[str, str]:
    """Return lines for one run, by what they ask for.

    Parameters
    ----------
    image : str or None
        ``stream/data_key`` of frames; None when the run has none.
    """
    api, curl = f"{url}/api/v1", header(key)
    lines = {
        "metadata": f"{curl} {api}/metadata/{uid}",
        "documents": f"{curl} '{api}/container/full/{uid}?format=application/json-seq'",
        "ledger": f"{curl} '{api}/table/full/{uid}/ledger/internal?format=text/csv'",
    }
    if image:
        array = f"{api}/array/full/{uid}/{image}"
        lines["frame as PNG"] = f"{curl} '{array}?slice=0&format=image/png' -o frame.png"
        lines["frames as bytes"] = f"{curl} '{array}?slice=0:2&format=application/octet-stream' -o frames.raw"
        ids = f"{api}/array/full/{uid}/{image.removesuffix('_image')}_unique_id"
        lines["unique_ids"] = f"{curl} '{ids}?format=text/csv'"
    return lines
