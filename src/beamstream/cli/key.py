"""`beamstream key`: keys of an archive with scope and end, for others than its owner."""

import re
import sys
import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from beamstream.archive.layout import Layout
from beamstream.cli.archive import chosen_archive
from beamstream.cli.console import out, print_json, table
from beamstream.network.keys import Key, Keys
from beamstream.network.rules import CONTROL, READ, UPLOAD, WRITE

app = typer.Typer(
    no_args_is_help=True,
    help="Make, list and revoke keys of an archive: for reading, writing, uploading, controlling the live page.",
    rich_markup_mode="markdown",
)

Where = Annotated[
    Path | None, typer.Option("--archive", metavar="DIR", help="Archive directory; otherwise the configuration's.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_PERIOD = re.compile(r"(\d{1,6})([smhdwy])")


class Scope(StrEnum):
    """The scopes of keys; typer 0.29 takes no list of a `Literal`."""

    READ, WRITE, UPLOAD, CONTROL = READ, WRITE, UPLOAD, CONTROL


@app.command()
def create(
    scope: Annotated[
        list[Scope], typer.Option(help="What it may; repeat it. To write or to control is to read as well.")
    ],
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="How long it lives: 90m, 12h, 30d, 8w, 1y, or never.")
    ] = "30d",
    note: Annotated[str, typer.Option(help="Who has it, and what for.")] = "",
    where: Where = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once: only its hash is kept.

    It is valid at once, for all servers of the archive, whether they run already or not. Standard output gets nothing
    but the key. Examples:

    `beamstream key create --scope read --note "Ana's notebook"`

    `beamstream key create --scope upload --expires 12h > upload_key`

    `beamstream key create --scope control --scope write --expires 1y --json`
    """
    end = _end(expires)
    Layout(chosen_archive(where)).prepare()
    keys = _keys(where)
    text = keys.create(scope, end, note)
    if as_json:
        key = next(key for key in keys.list() if key.id == text[:8])
        print_json({"key": text, **_as_json(key)})
    else:
        sys.stdout.write(text + "\n")


@app.command("list")
def list_(where: Where = None, as_json: AsJson = False) -> None:
    """List the keys that are not revoked, without the keys themselves.

    The archive's own keys (files api_key, ingest_key, live_key) are none of these: they do not end. Delete the
    file and start the server again for a new one.
    """
    found = _keys(where).list()
    if as_json:
        print_json([_as_json(key) for key in found])
    elif not found:
        out().print("no key")
    else:
        _show(found)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="As `beamstream key list` shows it.")],
    where: Where = None,
) -> None:
    """Make a key useless, at once; sessions of browsers that were opened with it end too."""
    _keys(where).revoke(key)
    out().print(f"key {key} is revoked", markup=False)


def _keys(where: Path | None) -> Keys:
    return Keys(chosen_archive(where))


def _end(text: str) -> float | None:
    """Return when a key ends, s since 1970-01-01 UTC; None: never."""
    if text == "never":
        return None
    found = _PERIOD.fullmatch(text)
    if found is None or not int(found[1]):
        raise typer.BadParameter(f"--expires {text!r} given; write a number and s, m, h, d, w or y, like 30d, or never")
    return time.time() + int(found[1]) * _UNITS[found[2]]


def _as_json(key: Key) -> dict[str, Any]:
    return asdict(key) | {"expired": key.expired}


def _show(found: list[Key]) -> None:
    made = table("id", "scopes", "created", "expires", "last used", "note")
    for key in found:
        expires = "never" if key.expires is None else _local(key.expires) + (" (over)" if key.expired else "")
        cells = (key.id, " ".join(key.scopes), _local(key.created), expires, _local(key.used))
        made.add_row(
            *cells, Text(key.trouble or key.note), style="red" if key.trouble else "dim" if key.expired else ""
        )
    out().print(made)


def _local(when: float | None) -> str:
    return "never" if when is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(when))
