"""`beamstream doctor`: is this machine ready to record, and what to do if not."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from beamstream.cli.console import out, print_json
from beamstream.errors import BeamstreamError, ConfigurationError

if TYPE_CHECKING:
    from beamstream.cli.checks.finding import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print a list as JSON.")] = False) -> None:
    """Check software, configuration, cameras, memory, disk and archive; say what to do.

    Starts and changes nothing; writes 256 MB twice into the recording directory and deletes them. Exit status 1 if
    something fails. Examples:

    `beamstream doctor`

    `beamstream --config my.toml doctor --json`
    """
    found: list[Finding] = []
    for finding in examine():
        found.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        print_json([asdict(finding) for finding in found])
    else:
        numbers = [sum(f.level == level for f in found) for level in ("ok", "warn", "fail")]
        out().print("{} ok, {} warnings, {} failures".format(*numbers))
    raise typer.Exit(int(any(finding.level == "fail" for finding in found)))


def examine() -> "Iterator[Finding]":
    """Yield what is found, as it is found."""
    from beamstream.cli.checks.finding import fail, ok
    from beamstream.cli.checks.software import software
    from beamstream.config import apply_environment, load

    yield from software()
    try:
        config = load()
        apply_environment(config)
    except ConfigurationError as error:
        yield fail("config", str(error), "correct the file; nothing else can be looked at before")
        return
    yield ok("config", str(config.file or "no file, the defaults"))
    from beamstream.cli.checks.archive import archive
    from beamstream.cli.checks.callbacks import callbacks
    from beamstream.cli.checks.cameras import devices
    from beamstream.cli.checks.disk import disk, memory

    rates: dict[str, float] = {}
    yield from _safely("devices", lambda: devices(config, rates))
    yield from _safely("callbacks", lambda: callbacks(config))
    yield from _safely("memory", lambda: memory(config))
    yield from _safely("disk", lambda: disk(config, rates))
    yield from _safely("archive", lambda: archive(config))


def _safely(area: str, look: "Callable[[], Iterable[Finding]]") -> "Iterator[Finding]":
    """Turn an error of one look into a finding, so that the next ones are not missed."""
    from beamstream.cli.checks.finding import fail

    try:
        yield from look()
    except (BeamstreamError, OSError) as error:
        yield fail(area, str(error), "see above")


def _show(finding: "Finding") -> None:
    console = out()
    mark = (f"{finding.level:<4}", _COLOURS[finding.level])
    first, *more = finding.text.split("\n")
    console.print(Text.assemble(mark, f"  {finding.area:<10}  {first}"), soft_wrap=True)
    for line in (*more, *([f"→ {finding.advice}"] if finding.advice else [])):
        console.print(f"      {'':<10}  {line}", soft_wrap=True)
