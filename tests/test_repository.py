"""The repository itself: what is imported from where, what is pinned, what lies at the top."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
TOP = {"pyproject.toml", "README.md", "src", "devices", "plans", "tests", "profile", ".ci", ".gitignore"}
TOP |= {"LICENSE", "CHANGELOG.md", "Makefile", "constraints.txt"}
HEAVY = {
    "ophyd",
    "bluesky",
    "tiled",
    "databroker",
    "h5py",
    "pvaccess",
    "caproto",
    "matplotlib",
    "numba",
    "dask",
}
HOSTS = (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("deb", "debian"))
REGISTRIES = [".".join(parts) for parts in HOSTS]  # in pieces, or this file would name them
VENV_BRINGS = {"pip", "setuptools"}
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def _python(code: str, cwd: Path) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def _files() -> list[Path]:
    """Everything that is in the repository or would be added to it."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def _needed(requirement: Requirement, seen: set[str]) -> Iterator[Requirement]:
    """Yield a requirement and, as far as they are installed, all that it needs in turn."""
    yield requirement
    for extra in {"", *requirement.extras}:
        what = f"{canonicalize_name(requirement.name)}[{extra}]"
        if what in seen:
            continue
        seen.add(what)
        try:
            below = [Requirement(text) for text in requires(requirement.name) or []]
        except PackageNotFoundError:
            continue
        for other in below:
            if other.marker is None or other.marker.evaluate({"extra": extra}):
                yield from _needed(other, seen)


@pytest.mark.parametrize("name", ["beamstream", "devices", "plans"])
def test_our_packages_are_imported_from_this_repository(name):
    file = importlib.import_module(name).__file__
    assert file is not None
    assert Path(file).is_relative_to(ROOT), f"another distribution has a package {name}: {file}"


def test_the_profile_directory_does_not_hide_the_profile_of_the_standard_library():
    assert not (ROOT / "profile" / "__init__.py").exists()
    file, runs = _python("import profile; print(profile.__file__, callable(profile.run))", cwd=ROOT)
    assert not Path(file).is_relative_to(ROOT / "profile")
    assert runs == "True"


@pytest.mark.parametrize("name", ["beamstream", "beamstream.config", "beamstream.errors"])
def test_importing_what_every_command_needs_loads_nothing_heavy(name, tmp_path):
    loaded = _python(f"import sys, {name}; print(*(m for m in sys.modules if '.' not in m))", cwd=tmp_path)
    assert "beamstream" in loaded
    assert not set(loaded) & HEAVY


def test_constraints_are_exact_versions_and_nothing_else():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9][\w.-]*==\d[\w.]*", line)] == []
    names = [canonicalize_name(line.partition("==")[0]) for line in lines]
    assert len(set(names)) == len(names)
    assert "beamstream" not in names


def test_constraints_pin_all_that_is_needed_to_a_version_that_is_allowed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    texts = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    texts += [text for extra in project["project"]["optional-dependencies"].values() for text in extra]
    direct = [r for r in map(Requirement, texts) if r.name != "beamstream"]
    pins, seen = _pins(), set()
    needed = [r for requirement in direct for r in _needed(requirement, seen)]
    assert len(needed) > len(direct)
    assert {canonicalize_name(r.name) for r in needed} - VENV_BRINGS - pins.keys() == set()
    needed = [r for r in needed if canonicalize_name(r.name) not in VENV_BRINGS]
    wrong = [str(r) for r in needed if not r.specifier.contains(pins[canonicalize_name(r.name)], prereleases=True)]
    assert wrong == []


def test_no_file_names_the_host_of_a_package_registry():
    texts = ((path, path.read_bytes().decode(errors="replace")) for path in _files())
    assert [(path, host) for path, text in texts for host in REGISTRIES if host in text] == []


def test_the_top_level_holds_only_what_it_is_meant_to():
    assert {path.relative_to(ROOT).parts[0] for path in _files()} - TOP == set()


def test_ci_runs_the_tests_and_the_linters_and_can_be_executed():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True, timeout=60)
    assert [line for line in script.read_text().splitlines() if line.startswith("make ")] == [
        "make test </dev/null",
        "make lint </dev/null",
    ]


@needs_make
@pytest.mark.parametrize(
    ("target", "extra", "command"),
    [
        ("demo", "'.[rheed]'", ".venv/bin/beamstream demo"),
        ("test", "'.[test]'", ".venv/bin/pytest"),
        ("lint", "'.[dev]'", ".venv/bin/lint-imports"),
        ("bench", "'.[test]'", '.venv/bin/pytest -m "benchmark and not soak"'),
        ("soak", "'.[test]'", ".venv/bin/pytest -m soak"),
    ],
)
def test_make_installs_with_the_constraints_and_only_what_the_target_needs(tmp_path, target, extra, command):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    environ = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "ARGS")}
    make = ["make", "--no-print-directory", "--dry-run", target]
    done = subprocess.run(make, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"--constraint constraints.txt --editable {extra}" in done.stdout
    assert done.stdout.count("pip install") == 1
    assert command in done.stdout


@needs_make
def test_make_tells_which_python_it_found_when_it_is_not_the_right_one(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    other = tmp_path / "python3.99"
    other.write_text("#!/bin/sh\necho 3.99.1\n")
    other.chmod(0o755)
    environ = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL")}
    make = ["make", f"PYTHON={other}", ".venv/bin/pip"]
    done = subprocess.run(make, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert f"needs Python 3.11 with venv, found {other} (3.99.1); install it or make PYTHON=" in done.stderr
    assert not (tmp_path / ".venv").exists()
