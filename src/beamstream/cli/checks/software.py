"""Python and packages: are they those that were tested together?"""

import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path

from beamstream.cli.checkout import checkout
from beamstream.cli.checks.finding import Finding, fail, ok, warn

_MOST_NAMED = 5


def software() -> Iterator[Finding]:
    """Look at Python, at what we need, and at the pins of the checkout."""
    python = f"Python {platform.python_version()}"
    if sys.version_info[:2] == (3, 11):
        yield ok("python", f"{python}, {sys.executable}")
    else:
        yield fail("python", f"{python}, 3.11 is what the stack works with", "make .venv again with Python 3.11")
    yield _needed()
    root = checkout()
    if root is not None and (root / "constraints.txt").is_file():
        yield _pinned(root / "constraints.txt")


def _needed() -> Finding:
    """Compare what our own metadata asks for with what is there."""
    from packaging.requirements import Requirement

    wrong = []
    asked = [Requirement(text) for text in requires("beamstream") or []]
    asked = [r for r in asked if r.marker is None or r.marker.evaluate({"extra": ""})]
    for requirement in asked:
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} missing")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} {installed}, needed {requirement.specifier}")
    if wrong:
        return fail("packages", ", ".join(wrong), "install again: make clean, then make demo")
    return ok("packages", f"all {len(asked)} that are needed")


def _pinned(constraints: Path) -> Finding:
    pins = dict(line.split("==") for line in constraints.read_text().splitlines() if "==" in line)
    installed = {_canonical(d.metadata["Name"]): d.version for d in distributions()}
    there = {_canonical(name): pin for name, pin in pins.items() if _canonical(name) in installed}
    other = [f"{name} {installed[name]}, pinned {pin}" for name, pin in there.items() if installed[name] != pin]
    if not other:
        return ok("versions", f"{len(there)} packages as pinned in constraints.txt")
    named = ", ".join(other[:_MOST_NAMED]) + (f" and {len(other) - _MOST_NAMED} more" * (len(other) > _MOST_NAMED))
    advice = "untested together; pip install --constraint constraints.txt --editable ."
    return warn("versions", named, advice)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
