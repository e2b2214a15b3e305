"""No process of ours imports from the directory that it is started in: others may have written there."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from beamstream.archive.process import is_up, running_server
from beamstream.children import PYTHON, python_module
from beamstream.live.process import LiveServer
from beamstream.sim.spectra_process import SpectraSim
from beamstream.watching.child import Child
from beamstream.watching.streams import spec_of_uri

SOURCE = Path(__file__).parents[1] / "src" / "beamstream"
BIN = Path(sys.executable).parent
HOSTILE = ("json", "numpy", "socket", "tempfile", "orjson", "zmq", "beamstream", "IPython", "pytest", "tiled")
NAMED = "import sys, json, numpy; print([m.__file__ for m in (json, numpy)], '' in sys.path)"


@pytest.fixture
def hostile(tmp_path, monkeypatch) -> Path:
    """The working directory: somebody put modules there, which leave a file `ran` when they are imported."""
    place = tmp_path / "hostile"
    place.mkdir()
    for name in HOSTILE:
        (place / f"{name}.py").write_text(f"open({str(place / 'ran')!r}, 'a').write({name!r})\nraise SystemExit(66)\n")
    monkeypatch.chdir(place)
    return place


def test_the_modules_would_be_run_by_a_python_that_looks_there(hostile):
    assert subprocess.run([sys.executable, "-m", "beamstream.plots"], check=False, timeout=60).returncode == 66
    assert (hostile / "ran").exists()


def _live_page(wait_for: Callable[..., None]) -> None:
    with LiveServer("none", port=0) as page:
        assert page.alive


def _spectrometer(wait_for: Callable[..., None]) -> None:
    with SpectraSim() as sim:
        assert sim.running


def _viewers_source(wait_for: Callable[..., None]) -> None:
    child = Child("beamstream.watching.tap", spec_of_uri("zmq://127.0.0.1:9").to_dict() | {"present": True})
    try:
        wait_for(lambda: "connected" in child.look(), timeout=60, what="the child to report")
    finally:
        child.close()


def _archive(wait_for: Callable[..., None]) -> None:
    with running_server("archive") as address:
        assert is_up(address.url)


@pytest.mark.parametrize("start", [_live_page, _spectrometer, _viewers_source, _archive])
def test_a_child_started_in_a_directory_of_hostile_modules_runs_ours(hostile, start, wait_for):
    start(wait_for)
    assert not (hostile / "ran").exists()


def test_every_python_is_started_without_the_working_directory():
    starting = re.compile(r"sys\.executable|[\"']-m[\"'],\s*[\"']beamstream")
    found = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if starting.search(path.read_text())}
    assert found == {"children.py", "cli/checks/software.py"}, "start it by beamstream.children.python_module"
    assert python_module("x", "y") == [sys.executable, "-P", "-m", "x", "y"]
    assert (sys.executable, "-P") == PYTHON


@pytest.mark.parametrize("how", ["beamstream session", "ipython --profile-dir"])
def test_a_session_in_a_directory_of_hostile_modules_runs_ours(hostile, tmp_path, how):
    profile = tmp_path / "profile"
    (profile / "startup").mkdir(parents=True)
    (profile / "startup" / "00-base.py").write_text("import json, numpy\n")
    settings = Path(__file__).parents[1] / "profile" / "ipython_config.py"
    (profile / "ipython_config.py").write_text(settings.read_text() if how.startswith("ipython") else "")
    options = ["--no-banner", "--colors=NoColor", "-c", NAMED]
    command = [BIN / "ipython", f"--profile-dir={profile}", *options]
    if how.startswith("beamstream"):
        command = [BIN / "beamstream", "session", "--profile", profile, "--", *options]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hostile" not in done.stdout
    assert done.stdout.rstrip().endswith("False")
    assert not (hostile / "ran").exists()


def test_the_command_runs_ours_in_a_directory_of_hostile_modules(hostile):
    done = subprocess.run([BIN / "beamstream", "pipeline", "list"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "median" in done.stdout
    assert not (hostile / "ran").exists()
