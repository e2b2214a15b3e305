"""What `/state` says about runs, disk and archive, from the real files of an archive."""

import asyncio
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from beamstream.callbacks.journal import Journal
from beamstream.live.disk import Disk
from beamstream.live.hub_settings import HubSettings
from beamstream.live.last_runs import LastRuns
from beamstream.live.state import State
from beamstream.watching.presence import PresenceFile


def write_run(
    journal: Journal,
    number: int,
    *,
    began: float | None = None,
    events: int = 0,
    ledger: dict[str, int] | None = None,
    stop: str | None = "success",
) -> str:
    """Let the documents of a run pass through a journal; return its uid."""
    uid, began = f"run-{number:04d}", began or 1.7e9 + number
    start = {"uid": uid, "time": began, "scan_id": number, "plan_name": "record", "title": "Kapton"}
    journal("start", start)
    journal("descriptor", {"uid": f"{uid}-d", "run_start": uid, "data_keys": {}, "name": "primary", "time": began})
    journal("descriptor", {"uid": f"{uid}-l", "run_start": uid, "data_keys": {}, "name": "ledger", "time": began})
    for seq in range(events):
        data = {"cam_image": "x" * 400}
        journal("event", {"uid": f"{uid}-{seq}", "descriptor": f"{uid}-d", "data": data, "seq_num": seq + 1})
    if ledger is not None:
        data = {f"cam_ledger_{name}": value for name, value in ledger.items()}
        journal("event", {"uid": f"{uid}-e", "descriptor": f"{uid}-l", "data": data, "seq_num": 1})
    if stop is not None:
        numbers = {"primary": events}
        end = {"uid": f"{uid}-s", "run_start": uid, "time": began + 12.5, "exit_status": stop, "num_events": numbers}
        journal("stop", {**end, "reason": "" if stop == "success" else "the shutter is closed"})
    return uid


@pytest.fixture
def journal(tmp_path) -> Any:
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.close()


def document(archive: Path) -> dict[str, Any]:
    """Return what `/state` says after it has asked the archive's server."""
    return asyncio.run(_asked(State(HubSettings(archive=str(archive)))))


async def _asked(state: State) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while (said := await state.document())["archive"]["words"] == "being asked":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return said


def test_the_last_runs_come_newest_first_with_their_ledgers(journal, tmp_path):
    write_run(journal, 1, events=3)
    write_run(journal, 2, ledger={"received": 102, "recorded": 100, "lost": 2}, stop="fail")
    for number in range(3, 14):
        write_run(journal, number, ledger={"received": 9, "recorded": 9, "lost": 0})
    for path in (tmp_path / "journal").glob("*.jsonl"):  # written within one tick of the clock of files
        os.utime(path, (1.7e9, 1.7e9 + int(path.stem[-4:])))
    runs = LastRuns(tmp_path / "journal")
    newest = runs.newest(12)
    assert [run["scan_id"] for run in newest] == list(range(13, 1, -1))
    lossy = newest[-1]
    assert (lossy["received"], lossy["recorded"], lossy["lost"], lossy["frames"]) == (102, 100, 2, 100)
    assert (lossy["status"], lossy["reason"], lossy["duration"]) == ("failed", "the shutter is closed", 12.5)
    assert (lossy["plan"], lossy["title"], lossy["filed"]) == ("record", "Kapton", False)
    (oldest,) = runs.newest(13)[-1:]
    assert (oldest["frames"], oldest["lost"]) == (3, None), "no ledger: events count"


def test_a_run_that_goes_on_and_one_whose_session_died_differ(journal, tmp_path):
    write_run(journal, 1, stop=None)
    runs = LastRuns(tmp_path / "journal")
    assert [(run["status"], run["duration"]) for run in runs.newest()] == [("running", None)]
    journal.close()  # as when its process ends
    assert [run["status"] for run in runs.newest()] == ["interrupted"]


def test_a_journal_of_megabytes_is_looked_at_from_both_ends(journal, tmp_path):
    path = tmp_path / "journal" / "long.jsonl"
    uid = write_run(journal, 1, stop=None)
    line = json.dumps({"name": "event", "doc": {"descriptor": f"{uid}-d", "data": {"x": "y" * 1000}}}) + "\n"
    head = (tmp_path / "journal" / f"{uid}.jsonl").read_text()
    account = {f"cam_ledger_{name}": 7 for name in ("received", "recorded")} | {"cam_ledger_lost": 0}
    tail = [
        {"name": "event", "doc": {"descriptor": f"{uid}-l", "data": account}},
        {"name": "stop", "doc": {"time": 1.7e9 + 60, "exit_status": "abort", "num_events": {}}},
    ]
    path.write_text(head.replace(uid, "long") + line * 20_000 + "".join(json.dumps(doc) + "\n" for doc in tail))
    runs = LastRuns(tmp_path / "journal")
    began = time.thread_time()
    found = {run["uid"]: run for run in runs.newest()}["long"]
    assert time.thread_time() - began < 0.3
    assert (found["status"], found["recorded"], found["received"]) == ("aborted", 7, 7)


def test_half_lines_strangers_and_runs_that_the_archive_has_are_told_apart(journal, tmp_path):
    directory = tmp_path / "journal"
    uid = write_run(journal, 1)
    (directory / "filed").mkdir()
    (directory / f"{uid}.jsonl").rename(directory / "filed" / f"{uid}.jsonl")
    cut = write_run(journal, 2)
    whole = (directory / f"{cut}.jsonl").read_bytes()
    (directory / f"{cut}.jsonl").write_bytes(whole[:-20])  # its writer died in the middle of the stop document
    (directory / "stranger.jsonl").write_text("no journal\n")
    (directory / "list.jsonl").write_text("[1, 2]\n")
    (directory / "empty.jsonl").touch()
    runs = LastRuns(directory)
    assert [(run["uid"], run["status"], run["filed"]) for run in runs.newest()] == [
        (cut, "interrupted", False),
        (uid, "done", True),
    ]
    (directory / f"{cut}.jsonl").rename(directory / "filed" / f"{cut}.jsonl")
    assert all(run["filed"] for run in runs.newest())


def test_an_archive_that_nobody_serves_is_words_and_runs_are_there_all_the_same(journal, tmp_path):
    uid = write_run(journal, 1)
    (tmp_path / "server.json").write_text('{"url": "http://127.0.0.1:9", "pid": 999999999}')
    said = document(tmp_path)
    assert said["archive"]["words"].startswith("nobody serves it; runs wait in the journal")
    assert (said["archive"]["url"], said["archive"]["waiting"]) == ("", 1)
    assert [(run["uid"], run["link"]) for run in said["runs"]] == [(uid, None)]
    assert said["sessions"] == []
    assert said["disk"]["free"] > 0
    assert said["uploads"] is None


def test_an_archive_that_does_not_answer_keeps_nobody_waiting(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        state = State(HubSettings(archive=str(tmp_path), archive_url=url))

        async def look() -> dict[str, Any]:
            said = await state.document()
            assert said["archive"]["words"] == "being asked"  # and not waited for
            return await _asked(state)

        said = asyncio.run(look())
    assert said["archive"]["words"].startswith(f"{url} does not answer")


def test_what_a_session_does_is_told_while_it_lives(tmp_path):
    presence = PresenceFile(tmp_path)
    run = {"uid": "u", "scan_id": 7, "plan": "record", "title": "", "started": 1.0, "done": 3, "total": 9}
    presence.write("running", {**run, "detectors": {}, "callbacks": []})
    (tmp_path / "sessions" / "nonsense.json").write_text('{"pid": 1')
    (session,) = document(tmp_path)["sessions"]
    assert (session["state"], session["run"]["scan_id"]) == ("running", 7)
    presence.remove()
    assert document(tmp_path)["sessions"] == []


def test_sessions_that_write_nonsense_break_nothing(tmp_path):
    presence = PresenceFile(tmp_path)
    presence.write("running", {"plan": "half of a run"})
    assert document(tmp_path)["sessions"] == []
    said = json.loads(presence.path.read_text())
    presence.path.write_text(json.dumps({**said, "pid": "x", "run": 3}))
    assert document(tmp_path)["sessions"] == []


def test_a_directory_that_is_not_there_yet_has_the_room_of_the_one_above(tmp_path):
    here, there = (Disk(path).document() for path in (tmp_path, tmp_path / "a" / "b"))
    assert here["total"] == there["total"]
    assert there["path"].endswith("/a/b")
    assert here["left"] is None, "one look tells no rate"


def test_without_an_archive_the_state_says_so():
    said = asyncio.run(_asked(State(HubSettings())))
    assert said["archive"]["words"] == "no archive is configured"
    assert said["runs"] == said["sessions"] == []
