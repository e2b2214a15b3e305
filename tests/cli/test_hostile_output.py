"""Text of documents, files and servers cannot steer the terminal on which it is shown, whatever the command."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from cli_commands import environment, started
from pseudo_terminal import Shown, in_a_terminal

from beamstream.callbacks.journal import Journal
from beamstream.cli.app import app
from beamstream.frames import Geometry
from beamstream.references import Reference, ReferenceStore

sys.path.insert(0, str(Path(__file__).parents[1] / "archive"))  # for archive_session

# the clipboard, the title, a blinking colour, C1's CSI, the direction of writing, lines that imitate ours, markup
STEERING = (
    "\x1b]52;c;aGk=\x07\x1b]0;owned\x07\x1b[5;7m\x9b5m\x7f\u202e\u2066\u200b\u2028\r\nbeamstream: forged\b[red]:smile:"
)
IN_KEYS = f"k{STEERING}"
TEXT = f"[/x][bold]{STEERING}[/bold] '; touch owned; '"
DETECTOR = f"cam{STEERING}"
FILE = f"film{STEERING}.mkv"
PIPELINE = f"pipe{STEERING}.json"
CONFIGURATION = f"conf{STEERING}.toml"
H = f"x{STEERING}"


@dataclass
class Place:
    """An archive whose runs, files and references were all named by somebody hostile."""

    directory: Path
    uid: str = ""


def _record(archive: Path) -> str:
    from archive_session import Camera, fly, make_engine

    uids: list[str] = []
    recordings = archive / "recordings"
    recordings.mkdir(parents=True)
    engine = make_engine(archive / "journal")
    engine.subscribe(lambda _name, doc: uids.append(doc["uid"]), "start")
    metadata: dict[str, Any] = {"sample": TEXT, IN_KEYS: [TEXT], "plan_name": TEXT, "note": {IN_KEYS: TEXT}}
    engine(fly([Camera(DETECTOR, recordings, num=3)], **metadata))
    return uids[0]


def _journal(archive: Path) -> None:
    """Write a run that no archive takes, one that was never ended, and one that failed."""
    from event_model import compose_run

    for name, failed in (("a/b" + DETECTOR, False), (DETECTOR, True)):
        run, journal = compose_run(metadata={"plan_name": TEXT, "scan_id": 7}), Journal(archive / "journal")
        journal("start", run.start_doc)
        key: Any = {"source": TEXT, "dtype": "number", "shape": [], "units": TEXT}
        stream = run.compose_descriptor(name=name, data_keys={IN_KEYS: key})
        journal("descriptor", stream.descriptor_doc)
        journal("event", stream.compose_event(data={IN_KEYS: 1}, timestamps={IN_KEYS: 1.0}, validate=False))
        if failed:
            journal("stop", run.compose_stop(exit_status="fail", reason=TEXT))
        journal.close()


def _upload(archive: Path) -> None:
    place = archive / "uploads" / f"up{STEERING}"
    place.mkdir(parents=True)
    (place / "job.json").write_text(json.dumps({"kind": TEXT, "run": TEXT}))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Everything hostile that the commands are to show, and a server that serves it."""
    from beamstream.cli.archive import Archive

    tmp = tmp_path_factory.mktemp("hostile")
    archive = tmp / "archive"
    place = Place(tmp, _record(archive))
    _journal(archive)
    _upload(archive)
    reference = Reference(
        kind="flat", mean=np.ones((3, 5)), std=np.ones((3, 5)), number=3, detector="cam", exposure=0.1,
        taken=time.time() - 60, run=f"{STEERING}", geometry=Geometry((3, 5), "<u2"),
    )  # fmt: skip
    environment(tmp)
    ReferenceStore(tmp / "archive" / "recordings" / "references").keep(reference)
    (tmp / CONFIGURATION).write_text("[archive]\nnonsense = 1\n")
    (tmp / PIPELINE).write_text(
        json.dumps(
            {"processors": [{"name": TEXT, "module": TEXT}, {"name": "a", "module": "median", "kwargs": {IN_KEYS: 1}}]}
        )
    )
    (tmp / FILE).write_bytes(b"no film")
    with started(tmp, "serve", "--json") as server:
        assert json.loads(server.line())["ready"]
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(Exception), Archive(archive) as asked:
                if asked.find(place.uid)["attributes"]["metadata"].get("stop"):
                    break
            time.sleep(0.1)
        yield place
        server.end(signal.SIGINT)
    for line in server.err.splitlines():
        assert all(c.isprintable() or c == "\t" for c in line), repr(line)
        assert not line.startswith("beamstream: forged")


# the ways to call each command that have something hostile to show, from documents, files or another's answer;
# what begins with --config goes before the command, and RUN is the run that was recorded
CALLS: Mapping[str, list[list[object]]] = {
    "demo": [["--dir", FILE]],
    "record": [[f"video:{FILE}", "--num", 3], [H, "--num", 1], ["camera", "--num", 3, "--md", "\x1b]52\x07"]],
    "spectra": [["--seconds", 0.5, "--plot-dir", f"{FILE}/x"], ["--polarization", H]],
    "darks": [["--list"], [H, "--num", 1], [H, "--import", FILE]],
    "flats": [["--list"], ["camera", "--import", FILE]],
    "recover": [["--archive", H], []],
    "archive moved": [[H, FILE], [FILE, H, "--dry-run"], [FILE, FILE, "--json"]],
    "serve": [[], ["--archive", FILE]],
    "view": [[H, "--no-browser"], ["--qt", H]],
    "session": [["--profile", H]],
    "doctor": [["--config", CONFIGURATION], ["--config", CONFIGURATION, "--json"]],
    "bench": [[f"--no{H}"]],
    "export": [["RUN", "--to", "npy", "--out", H], ["RUN", "--to", "npy", "--detector", H], [TEXT, "--to", "npy"]],
    "growth-rate": [["RUN"], ["RUN", "--region", "0,0,2,2", "--detector", H]],
    "upload": [["RUN", "--to", "http://127.0.0.1:9", "--detector", H], [TEXT, "--to", "http://127.0.0.1:9"]],
    "uploads": [[]],
    "runs list": [[], ["--plan", TEXT], ["--json"]],
    "runs show": [["RUN"], [TEXT], ["RUN", "--json"]],
    "runs refused": [[], ["--json"]],
    "runs retry": [[H]],
    "key create": [["--scope", "read", "--note", H], ["--scope", H]],
    "key list": [[], ["--json"]],
    "key revoke": [[H]],
    "pipeline check": [[PIPELINE], [PIPELINE, "--json"], [H]],
    "pipeline list": [[]],
    "publish spectra": [["--from", FILE], ["--shape", H]],
    "sim camera": [["--fault", H], ["--shape", H]],
    "sim beamline": [["--shape", H]],
    "sim spectra": [["--fault", H]],
    "sim rheed": [["--growth", H, "--to", f"{FILE}/x"]],
}
# what may have nothing of others to show in this place
SILENT = {("key create", 0), ("key list", 0), ("key list", 1), ("runs refused", 0), ("runs refused", 1), ("darks", 0),
          ("pipeline list", 0), ("recover", 1), ("runs list", 1), ("growth-rate", 0), ("growth-rate", 1), ("upload", 0),
          ("flats", 1), ("serve", 0),
          ("view", 1)}  # fmt: skip


def commands(group: Any = None, above: str = "") -> Iterator[str]:
    """Yield the name of every command that there is."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}"


def test_every_command_is_called_with_something_hostile_to_show():
    assert set(commands()) <= set(CALLS)


@pytest.mark.parametrize(("command", "number"), [(name, n) for name in commands() for n in range(len(CALLS[name]))])
def test_a_command_shows_what_is_hostile_as_plain_text(place, command, number):
    arguments = [place.uid if argument == "RUN" else argument for argument in CALLS[command][number]]
    before = arguments[:2] if arguments[:1] == ["--config"] else []
    shown = in_a_terminal(place.directory, *before, *command.split(), *arguments[len(before) :])
    shown.is_plain(repeats=(command, number) not in SILENT)
    assert shown.status in (0, 1, 2, 4), shown
    assert not (place.directory / "owned").exists()


def test_a_run_is_shown_whole_with_its_hostile_names(place):
    shown = in_a_terminal(place.directory, "runs", "show", place.uid)
    assert shown.status == 0
    for text in ("[/x][bold]", r"cam\x1b]52", r"k\x1b]52;c;aGk=\x07"):
        assert text in shown.dense


def test_what_a_run_is_called_cannot_break_out_of_the_lines_to_copy(place):
    shown = in_a_terminal(place.directory, "runs", "show", place.uid, "--json")
    lines = json.loads(shown.text)["curl"]
    marker = place.directory / "owned"
    for line in lines.values():
        subprocess.run(
            ["bash", "-c", f"curl() {{ :; }}; {line}"], cwd=place.directory, capture_output=True, timeout=30, check=True
        )
    assert lines
    assert not marker.exists()


def in_a_session(tmp: Path, configuration: str, more: str = "", *arguments: str) -> Shown:
    """Run a session whose profile starts the instrument, and does more."""
    startup, file = tmp / "profile" / "startup", tmp / CONFIGURATION
    startup.mkdir(parents=True)
    file.write_text(configuration)
    (startup / "00-base.py").write_text(
        "from pathlib import Path\nfrom beamstream.instrument.startup import start\n"
        f"instrument = start(Path(__file__).resolve().parents[1])\n{more}"
    )
    return in_a_terminal(tmp, "session", "--profile", tmp / "profile", *arguments, BEAMSTREAM_CONFIG=str(file))


def test_a_session_begins_and_ends_with_plain_text(tmp_path):
    in_a_session(tmp_path, "[archive]\nnonsense = 1\n").is_plain()


def test_a_banner_is_plain_text(tmp_path):
    configuration = "[archive]\ndirectory = 'archive'\nstart = 'no'\n[live]\nenabled = false\n"
    more = f"import logging\ninstrument.ready()\nlogging.getLogger('beamstream').warning('%s', {H!r})\n"
    shown = in_a_session(tmp_path, configuration, more, "--", "--no-banner", "-c", "1")
    shown.is_plain()
    assert b"ready in" in shown.raw
    assert shown.raw.count(rb"\x1b]52") >= 2
