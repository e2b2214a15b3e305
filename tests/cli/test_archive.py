"""`beamstream serve` and `beamstream runs` against each other, over HTTP."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from cli_commands import CONTROLLED, GEOMETRY, Done, environment, image, started

from beamstream.cli.archive import Archive
from beamstream.cli.comparison import compare, filed
from beamstream.errors import ArchiveError
from beamstream.frames import Geometry
from beamstream.sim.pattern import Pattern

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@dataclass
class Served:
    """An archive with two runs, served by the command."""

    directory: Path
    url: str
    whole: str
    lossy: str


@pytest.fixture(scope="module")
def served(tmp_path_factory, beamline) -> Iterator[Served]:
    from caproto.sync.client import write
    from cli_commands import COMMAND

    tmp = tmp_path_factory.mktemp("served")
    record = [*COMMAND, "record", "camera", "--num", "20", "--json", "--md"]

    def recorded(md: str) -> str:
        done = subprocess.run([*record, md], cwd=tmp, env=environment(tmp), capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout)["uid"]

    with started(tmp, "serve", "--json") as server:
        ready = json.loads(server.line())
        whole = recorded("sample=quartz")
        write("CLI:CAM:sim1:SkipEvery", 10, notify=True, timeout=5, repeater=False)
        lossy = recorded("sample=mica")
        write("CLI:CAM:sim1:ClearFaults", 1, notify=True, timeout=5, repeater=False)
        directory = Path(ready["archive"])
        with Archive(directory) as archive:
            filed(archive, whole)
            filed(archive, lossy)
        yield Served(directory, ready["url"], whole, lossy)
        assert server.end(signal.SIGINT).status == 0
        assert "Traceback" not in server.err


def listed(done: Done) -> list[str]:
    assert done.status == 0, done.err
    return [run["uid"] for run in done.json]


def test_serve_says_where_it_is_and_a_second_one_is_refused(beamstream, served):
    assert served.url.startswith("http://127.0.0.1:")
    second = beamstream("serve", "--archive", served.directory, "--port", 0)
    second.failed_with(f"{served.directory} is served already by process", f"at {served.url}; use it or end it first")


def test_serve_refuses_a_port_that_is_taken_and_readers_without_a_key_beyond_loopback(beamstream, served, tmp_path):
    port = served.url.rpartition(":")[2]
    beamstream("serve", "--archive", tmp_path / "a", "--port", port).failed_with(
        f"127.0.0.1:{port} cannot be listened on"
    )
    beamstream("serve", "--host", "0.0.0.0", "--anonymous").failed_with("would show every run to the network")
    beamstream("serve", "--archive", "/proc/nowhere").failed_with("/proc/nowhere cannot be made")


def test_runs_are_listed_newest_first_and_filtered(beamstream, served):
    where = ("--archive", served.directory, "--json")
    assert listed(beamstream("runs", "list", *where)) == [served.lossy, served.whole]
    assert listed(beamstream("runs", "list", "--limit", 1, *where)) == [served.lossy]
    assert listed(beamstream("runs", "list", "--lossy", "--days", 1, *where)) == [served.lossy]
    assert listed(beamstream("runs", "list", "--plan", "record", "--text", "quartz", *where)) == [served.whole]
    assert listed(beamstream("runs", "list", "--plan", "scan", *where)) == []
    table = beamstream("runs", "list", "--archive", served.directory)
    assert table.status == 0
    assert served.whole[:8] in table.out
    assert "\x1b" not in table.out


@pytest.mark.parametrize("how", ["uid", "prefix", "scan id", "newest", "before the newest"])
def test_a_run_is_found_by(beamstream, served, how):
    words = {
        "uid": (served.whole, served.whole),
        "prefix": (served.lossy[:13], served.lossy),
        "scan id": ("1", served.whole),
        "newest": ("-1", served.lossy),
        "before the newest": ("-2", served.whole),
    }
    run, uid = words[how]
    done = beamstream("runs", "show", run, "--archive", served.directory, "--json")
    assert done.status == 0, done.err
    assert done.json["uid"] == uid


def test_a_run_that_is_not_there_is_said_so(beamstream, served):
    where = ("--archive", served.directory)
    beamstream("runs", "show", "ffffffff-0000", *where).failed_with("there is none; see `beamstream runs list`")
    beamstream("runs", "show", "99", *where).failed_with("there is none")
    beamstream("runs", "show", "-9", *where).failed_with("there is none")
    beamstream("runs", "show", "a%b", *where).failed_with("a run is a uid, its beginning, a scan id, or -1")


def test_show_tells_metadata_streams_and_the_ledger(beamstream, served):
    done = beamstream("runs", "show", served.lossy, "--archive", served.directory)
    assert done.status == 0, done.err
    for word in ("mica", "camera_image", "18 × 128 × 160", "<u2", "2 after" if "2 after" in done.out else "missing"):
        assert word in done.out
    shown = beamstream("runs", "show", served.lossy, "--archive", served.directory, "--json").json
    assert (shown["recorded"], shown["lost"]) == (18, 2)
    assert shown["streams"]["primary"]["camera_image"] == {"shape": [18, 128, 160], "dtype": "<u2"}


def test_every_curl_line_that_is_shown_works(beamstream, served, tmp_path):
    lines = beamstream("runs", "show", served.whole, "--archive", served.directory, "--json").json["curl"]
    got = {}
    for what, line in lines.items():
        assert served.directory.joinpath("api_key").read_text().strip() not in line
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, timeout=30)
        assert done.returncode == 0, done.stderr
        got[what] = done.stdout
    assert json.loads(got["metadata"])["data"]["id"] == served.whole
    documents = [
        json.loads(line) for line in got["documents"].decode().replace("\x1e", "").splitlines() if line.strip()
    ]
    assert [documents[0]["name"], documents[-1]["name"]] == ["start", "stop"]
    assert b"camera_ledger_lost" in got["ledger"].splitlines()[0]
    ids = [int(float(word)) for word in got["unique_ids"].decode().replace(",", " ").split()]
    assert len(ids) == 20
    assert image(tmp_path / "frame.png").size == GEOMETRY.shape[::-1]
    frames = np.fromfile(tmp_path / "frames.raw", "<u2").reshape(2, *GEOMETRY.shape)
    assert np.array_equal(frames, [Pattern(GEOMETRY).image(n) for n in ids[:2]])


def test_a_frame_is_saved_as_png(beamstream, served, tmp_path):
    file = tmp_path / "seventh.png"
    done = beamstream("runs", "show", "-1", "--png", file, "--frame", 7, "--archive", served.directory)
    assert done.status == 0, done.err
    assert image(file).size == GEOMETRY.shape[::-1]
    far = beamstream("runs", "show", "-1", "--png", file, "--frame", 700, "--archive", served.directory)
    far.failed_with("400 answered")


def test_a_url_wants_the_key_from_the_environment(beamstream, served):
    beamstream("runs", "list", "--archive", served.url).failed_with("no key was given; set BEAMSTREAM_API_KEY")
    key = (served.directory / "api_key").read_text().strip()
    assert (
        len(listed(beamstream("runs", "list", "--archive", served.url, "--json", env={"BEAMSTREAM_API_KEY": key}))) == 2
    )
    wrong = beamstream("runs", "list", "--archive", served.url, env={"BEAMSTREAM_API_KEY": "abc"})
    wrong.failed_with("the key given is wrong")


def test_an_archive_that_nobody_serves_is_said_so(beamstream, tmp_path):
    beamstream("runs", "list").failed_with(f"nobody serves {tmp_path / 'archive'}; start `beamstream serve`")
    beamstream("runs", "list", "--archive", "http://127.0.0.1:9").failed_with("does not answer")


def test_the_comparison_of_the_demo_finds_what_is_different(served):
    with Archive(served.directory) as archive:
        seen: list[int] = []
        same = compare(archive, served.whole, "camera", GEOMETRY, seen.append)
        other = compare(archive, served.whole, "camera", Geometry(GEOMETRY.shape, "<i2"), seen.append)
        assert (same.frames, same.different, same.nbytes) == (20, 0, 20 * GEOMETRY.nbytes)
        assert (other.frames, other.different) == (20, 20)
        assert seen == [20, 20]
        with pytest.raises(ArchiveError, match=r"is not there after 0\.2 s"):
            filed(archive, "0" * 36, timeout=0.2)


def test_the_key_is_not_in_the_process_list(served):
    key = (served.directory / "api_key").read_text().strip()
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        try:
            assert key not in Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        except OSError:
            continue
    assert CONTROLLED.prefix
