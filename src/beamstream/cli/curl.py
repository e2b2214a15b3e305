"""Lines for curl that ask an archive; what is printed works as it stands, whatever a run calls its data."""

import shlex
from pathlib import Path
from urllib.parse import quote

from beamstream.terminal import Terminal


def header(key: Path | None) -> str:
    """Return curl with the key, which goes from its file through a pipe; None needs no key.

    It stands in no command's arguments, which every user of the machine can read.
    """
    if key is None:
        return "curl -sg"
    return f"curl -sg -H @<(sed 's/^/Authorization: Apikey /' {shlex.quote(str(key))})"


def search_line(url: str, key: Path | None) -> str:
    """Return the line for the newest run's metadata."""
    return f"{header(key)} {shlex.quote(f'{url}/api/v1/search/?page[limit]=1&sort=-start.time')}"


def print_lines(console: Terminal, lines: dict[str, str]) -> None:
    """Print lines for curl, what each asks for above it."""
    for what, line in lines.items():
        console.print(f"# {what}", soft_wrap=True)
        console.print(line, soft_wrap=True)


def run_lines(url: str, key: Path | None, uid: str, image: str | None, *, plane: str = "") -> dict[str, str]:
    """Return lines for one run, by what they ask for.

    Parameters
    ----------
    image : str or None
        ``stream/data_key`` of frames; None when the run has none.
    plane : str
        Which plane of a stack becomes a picture, as a slice has it behind the frame: ``",3"``.
    """
    curl, run = header(key), quote(uid, safe="")

    def line(route: str, options: str = "", file: str = "") -> str:
        address = shlex.quote(f"{url}/api/v1/{route}{'?' if options else ''}{options}")
        return f"{curl} {address}{f' -o {file}' if file else ''}"

    lines = {
        "metadata": line(f"metadata/{run}"),
        "documents": line(f"container/full/{run}", "format=application/json-seq"),
        "ledger": line(f"table/full/{run}/ledger/internal", "format=text/csv"),
    }
    if image:
        array = f"array/full/{run}/{quote(image)}"
        ids = f"array/full/{run}/{quote(image.removesuffix('_image'))}_unique_id"
        lines["frame as PNG"] = line(array, f"slice=0{plane}&format=image/png", "frame.png")
        lines["frames as bytes"] = line(array, "slice=0:2&format=application/octet-stream", "frames.raw")
        lines["unique_ids"] = line(ids, "format=text/csv")
    return lines
