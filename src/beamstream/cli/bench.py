"""`beamstream bench`: the measurements of tests/benchmarks."""

import subprocess
from typing import Annotated

import typer

from beamstream.children import python_module
from beamstream.cli.checkout import checkout
from beamstream.errors import ConfigurationError


def bench(
    arguments: Annotated[list[str] | None, typer.Argument(help="Go to pytest, after `--`.")] = None,
) -> None:
    """Measure what this machine can record, on simulated cameras; minutes long.

    Runs the benchmarks of the checkout. Examples:

    `beamstream bench`

    `beamstream bench -- -k lossless`
    """
    root = checkout()
    if root is None or not (root / "tests" / "benchmarks").is_dir():
        raise ConfigurationError("bench: tests/benchmarks asked for, this is no checkout; clone the repository")
    command = python_module("pytest", "tests/benchmarks", "-m", "benchmark and not soak", "-s", "--timeout=900")
    raise typer.Exit(subprocess.run([*command, *(arguments or [])], cwd=root, check=False).returncode)
