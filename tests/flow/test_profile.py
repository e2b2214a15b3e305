"""The session that a scientist starts: IPython with our profile, in a terminal, beside a simulated beamline."""

import json
import os
import re
import shutil
import sys
import time
import urllib.request
from pathlib import Path

import h5py
import pexpect
import psutil
import pytest

from beamstream.archive.address import find_server
from beamstream.archive.layout import Layout
from beamstream.archive.process import is_up
from beamstream.config import load
from beamstream.errors import ArchiveError
from beamstream.frames import Geometry
from beamstream.instrument.access import ArchiveAccess
from beamstream.instrument.engine import ScanIds
from beamstream.instrument.page import find_page
from beamstream.sim.beamline import Beamline, CameraSpec, MotorSpec
from beamstream.sim.loopback import loopback_environment
from beamstream.sim.process import SimProcess
from beamstream.watching.presence import present

PROFILE = Path(__file__).resolve().parents[2] / "profile"
PROMPT = r"In \[\d+\]: "
READY = 5.0  # s from the start of the process to the prompt
WAITING = 1.0  # s of them for devices
CONFIG = """
[archive]
directory = "../archive"
port = 0
start = "{start}"
[devices.cam]
kind = "pva_detector"
pv = "SIM:CAM:Pva1:Image"
control = "SIM:CAM:cam1:"
[devices.motor]
kind = "motor"
pv = "SIM:MTR1"
[devices.shutter]
kind = "signal"
pv = "SIM:CAM:sim1:Shutter"
"""


class Terminal:
    """A session in a terminal of 200 columns, with a copy of our profile."""

    def __init__(
        self, directory: Path, start: str = "no", config: str = CONFIG, epics: dict[str, str] | None = None
    ) -> None:
        self.archive = Layout(directory / "archive")
        profile = directory / "profile"
        shutil.copytree(PROFILE / "startup", profile / "startup", ignore=shutil.ignore_patterns("__pycache__"))
        (profile / "beamstream.toml").write_text(config.format(start=start))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("BEAMSTREAM_")}
        environment |= {"IPYTHONDIR": str(directory / "ipython"), "TERM": "xterm", "NO_COLOR": "1"} | (epics or {})
        command = ["-m", "IPython", f"--profile-dir={profile}", "--simple-prompt", "--no-banner"]
        self.began = time.monotonic()
        self.child = pexpect.spawn(
            sys.executable,
            command,
            env=environment,
            cwd=directory,
            dimensions=(50, 200),
            encoding="utf-8",
            timeout=30,
            echo=False,
        )

    def until(self, pattern: str, timeout: float = 30) -> str:
        """Return what was written up to and with the pattern."""
        self.child.expect(pattern, timeout=timeout)
        return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", self.child.before + self.child.after)

    def type(self, line: str, timeout: float = 30) -> str:
        """Return what a line of Python wrote."""
        self.child.sendline(line)
        return self.until(PROMPT, timeout)

    def end(self) -> int | None:
        """Press Ctrl-D, say yes; return the exit status."""
        self.child.sendeof()
        self.until(r"exit \(\[y\]/n\)\?")
        self.child.sendline("y")
        self.child.expect(pexpect.EOF)
        self.child.wait()
        return self.child.exitstatus

    def took(self) -> float:
        """Return the time to the prompt, s, as it would be if nobody else used the processors."""
        passed = time.monotonic() - self.began
        times = psutil.Process(self.child.pid).cpu_times()
        print(f"prompt after {passed:.2f} s, {times.user + times.system:.2f} s of them at work")  # noqa: T201
        return min(passed, times.user + times.system + WAITING)

    def documents(self) -> list[tuple[str, dict]]:
        """Return the documents of the only run, wherever its journal is by now."""
        (journal,) = self.archive.journal.rglob("*.jsonl")
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        return [(line["name"], line["doc"]) for line in lines]


@pytest.fixture(scope="module")
def beamline():
    camera = CameraSpec(geometry=Geometry((64, 96), "<u2"), scene="beam")
    with SimProcess(Beamline((camera,), (MotorSpec(velocity=20.0),))) as running:
        yield running


@pytest.fixture
def terminal(tmp_path):
    opened: list[Terminal] = []

    def start(**options) -> Terminal:
        opened.append(Terminal(tmp_path, **options))
        return opened[-1]

    yield start
    for session in opened:
        session.child.close(force=True)


def test_a_session_is_ready_in_five_seconds_records_and_ends_with_status_0(beamline, terminal):
    session = terminal()
    said = session.until(PROMPT)
    took = session.took()
    assert re.search(r"cam +connected +SIM:CAM:Pva1:Image, control SIM:CAM:cam1:", said)
    assert re.search(r"motor +connected +SIM:MTR1", said)
    assert "RE(record([cam], num=100))" in said
    assert took < READY

    shown = session.type("RE(record([cam], num=20))")
    assert "20/20" in shown, "the bar"
    assert re.search(r"cam +20 +0 +20 ", shown), "the ledger"
    assert session.end() == 0

    names = [name for name, _ in session.documents()]
    assert (names[0], names[-1]) == ("start", "stop")
    (path,) = (session.archive.recordings).rglob("*.h5")
    with h5py.File(path) as file:
        rows: dict[str, int] = {}
        file.visititems(
            lambda name, node: rows.update({name: len(node)}) if isinstance(node, h5py.Dataset) and node.shape else None
        )
    del rows["entry/instrument/NDAttributes/changes"]  # bytes
    assert set(rows.values()) == {20}


def test_process_pools_work_and_end_in_a_session_that_has_recorded(beamline, terminal):
    session = terminal()
    session.until(PROMPT)
    session.type("RE(record([cam], num=3))")
    session.type("import math, multiprocessing, concurrent.futures")
    session.type("pool = multiprocessing.Pool(2)")
    assert "[1.0, 2.0]" in session.type("pool.map(math.sqrt, [1, 4])")
    session.type("pool.close(); pool.join()")
    session.type("pool = concurrent.futures.ProcessPoolExecutor(2)")
    assert "[3.0]" in session.type("list(pool.map(math.sqrt, [9]))")
    session.type("pool.shutdown()")
    session.type("RE(record([cam], num=3))")  # nothing was taken away from us
    assert session.end() == 0


def test_every_plan_and_name_that_people_expect_is_there(beamline, terminal):
    session = terminal()
    session.until(PROMPT)
    assert "True" in session.type(
        "all(callable(f) for f in (record, monitor, count, scan, grid_scan, list_scan, spiral, bp.count, bps.mv))"
    )
    assert "3.0" in session.type("RE(mv(motor, 3)); print(motor.position)")
    assert "scan_id=1" in session.type("RE(count([cam], 2)); print(f'scan_id={RE.md[\"scan_id\"]}')")
    shown = session.type("RE(scan([cam], motor, 0, 1, 3)); print(f'scan_id={RE.md[\"scan_id\"]}')")
    assert "scan_id=2" in shown
    assert re.search(r"cam +3 +0 ", shown)
    assert session.end() == 0


def test_watch_says_where_the_page_is_others_see_the_run_and_both_end_with_the_session(
    beamline, terminal, wait_for, monkeypatch
):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    session = terminal()
    assert "watch(cam) shows it live" in session.until(PROMPT)
    said = session.type("watch(cam)")
    url = re.search(r"page +(http://127\.0\.0\.1:(\d+)/)streams/cam/", said)
    assert url, said
    assert f"ssh -L {url[2]}:127.0.0.1:{url[2]} " in said
    with urllib.request.urlopen(f"{url[1]}state", timeout=10) as answer:
        (seen,) = json.load(answer)["sessions"]
    assert (seen["pid"], seen["state"], seen["run"]) == (session.child.pid, "idle", None)
    session.child.sendline("RE(record([cam], seconds=3))")

    def running() -> bool:
        runs = [said["run"] for said in present(session.archive.directory) if said["run"]]
        return bool(runs) and runs[0]["plan"] == "record" and runs[0]["done"] > 10

    wait_for(running, what="the run to be seen")
    session.until(PROMPT)
    page = find_page(session.archive)
    assert session.end() == 0
    assert not psutil.pid_exists(page.pid)
    assert present(session.archive.directory) == []
    assert not session.archive.live_address.exists()


def test_the_tour_of_the_flat_field_works_as_the_readme_has_it(beamline, terminal):
    session = terminal()
    session.until(PROMPT)
    session.type("close, open_again = lambda: bps.mv(shutter, 'Closed'), lambda: bps.mv(shutter, 'Open')")
    assert re.search(r"reference: 5 frames", session.type("RE(darks(cam, 5, before=close, after=open_again))"))
    assert re.search(r"reference: 5 frames", session.type("RE(flats(cam, 5, motor=motor, out=6))"))
    assert "'dark', 'flat'" in session.type("print(sorted(r.kind for r in references.list()))")
    session.type("callbacks.add(FlatField(dark='latest', references=references))")
    session.type("callbacks.add(Recorder(config.recording.directory / 'exports', stream='corrected'))")
    shown = session.type("RE(record([cam], num=20))")
    assert "corrected: 20 frames" in shown
    assert "recorder: 20 frames" in shown
    assert "Open" in session.type("print(shutter.get())")
    assert session.end() == 0
    assert len(list(session.archive.recordings.rglob("frame_000*.tiff"))) == 20


def test_a_session_without_a_beamline_is_ready_in_time_and_says_what_is_missing(terminal):
    session = terminal(epics=loopback_environment())
    said = session.until(PROMPT)
    took = session.took()
    assert re.search(r"cam +NOT CONNECTED", said)
    assert re.search(r"motor +NOT CONNECTED", said)
    assert "not served" in said
    assert took < READY
    assert session.end() == 0


def test_a_key_that_is_not_known_ends_the_session_with_one_line_and_status_1(terminal):
    session = terminal(config='[archive]\ndirektory = "x"\n')
    session.child.expect(pexpect.EOF)
    session.child.wait()
    assert "did you mean directory?" in session.child.before
    assert "Traceback" not in session.child.before
    assert session.child.exitstatus == 1


def test_ctrl_d_in_a_paused_run_closes_the_run_and_ends_with_status_0(beamline, terminal):
    session = terminal()
    session.until(PROMPT)
    session.child.sendline("RE(record([cam], seconds=60))")
    session.until(r"[1-9]\d* frames")
    session.child.sendintr()
    session.until("Ctrl\\+C again|deferred pause")
    session.child.sendintr()
    session.until(PROMPT)
    assert "paused" in session.type("print(RE.state)")
    assert session.end() == 0

    name, stop = session.documents()[-1]
    assert name == "stop"
    assert stop["exit_status"] == "abort"
    ledger = next(d["data"] for n, d in reversed(session.documents()) if n == "event")
    assert ledger["cam_ledger_recorded"] > 0
    assert ledger["cam_ledger_lost"] == 0


def test_what_was_recorded_is_read_back_through_the_archive_that_the_session_started(beamline, terminal, wait_for):
    session = terminal(start="process")
    said = session.until(PROMPT)
    assert "starting on a free port" in said
    assert f"key in {session.archive.key}" in said
    session.type("uid, = RE(record([cam], num=20))")
    session.type("from beamstream.archive.catalog import wait_for_run")
    assert "success 20" in session.type("s = wait_for_run(cat, uid); print(s.exit_status, s.recorded)", timeout=60)
    assert "(20, 64, 96)" in session.type("print(cat[uid]['primary/cam_image'].read().shape)")
    assert "record" in session.type("print(db[-1].start['plan_name'])", timeout=60)
    key = session.archive.key.read_text().strip()
    assert key not in said
    server = find_server(session.archive)
    assert session.end() == 0
    wait_for(lambda: not is_up(server.url), what="the server to end with its session")


def test_ctrl_c_pauses_the_run_and_leaves_the_archive_alone(beamline, terminal, wait_for):
    session = terminal(start="process")
    session.until(PROMPT)
    wait_for(lambda: served(session.archive), timeout=60, what="the archive")
    server = find_server(session.archive)
    session.child.sendline("RE(record([cam], seconds=60))")
    session.until(r"[1-9]\d* frames")
    session.child.sendintr()
    session.child.sendintr()
    session.until(PROMPT)
    session.type("RE.stop()")
    session.type("uid, = RE(record([cam], num=20))")
    session.type("from beamstream.archive.catalog import wait_for_run")
    assert "success" in session.type("print(wait_for_run(cat, uid).exit_status)", timeout=60)
    assert find_server(session.archive) == server
    assert session.end() == 0


def served(layout: Layout) -> bool:
    try:
        return is_up(find_server(layout).url)
    except ArchiveError:
        return False


def test_sessions_share_one_archive_and_the_second_serves_it_when_the_first_ends(tmp_path, wait_for):
    file = tmp_path / "beamstream.toml"
    file.write_text('[archive]\ndirectory = "archive"\nport = 0\n')
    first, second = ArchiveAccess(load(file)), ArchiveAccess(load(file))
    try:
        first.start()
        wait_for(lambda: first.url, timeout=60, what="the first to serve")
        second.start()
        assert second.url == first.url
        server = find_server(first.layout)
        first.close()
        wait_for(lambda: served(second.layout), timeout=60, what="the second to serve")
        assert find_server(second.layout).pid != server.pid
        assert second.client() is not None
    finally:
        first.close()
        second.close()
    wait_for(lambda: second.url is None)


def test_two_sessions_never_give_the_same_number_to_a_run(tmp_path):
    here, there = ScanIds(tmp_path / "scan_id"), ScanIds(tmp_path / "scan_id")
    numbers = [here({}), there({}), here({"scan_id": 1}), there({"scan_id": 1000}), here({"scan_id": 3})]
    assert numbers == [1, 2, 3, 1001, 1002]


def test_a_number_that_cannot_be_kept_does_not_cost_the_run(tmp_path, caplog):
    (tmp_path / "scan_id").write_text("not a number")
    assert ScanIds(tmp_path / "scan_id")({"scan_id": 7}) == 8
    assert "cannot be used" in caplog.text
