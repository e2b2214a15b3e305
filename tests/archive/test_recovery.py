"""Sessions that were killed: every frame on disk is announced, every run is closed, once."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import event_model
import h5py
import numpy as np
import pytest
from archive_session import SHAPE, Camera, fly, frame, make_engine

from beamstream.archive.catalog import run_summary, wait_for_run
from beamstream.archive.documents import decode
from beamstream.archive.recovery import recover
from beamstream.callbacks.journal import Journal
from beamstream.errors import ArchiveError
from beamstream.file_uri import path_of

SESSION = Path(__file__).with_name("archive_session.py")


def documents(path: Path) -> list[tuple[str, dict]]:
    return [tuple(decode(line)) for line in path.read_bytes().splitlines(keepends=True)]


def validate(path: Path) -> None:
    """Every document must be what event-model says, rows follow each other, and so do the numbers in a stream."""
    rows: dict[str, int] = {}
    numbers: dict[tuple[str, str], int] = {}
    for name, doc in documents(path):
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
        if name == "stream_datum":
            resource, stream = doc["stream_resource"], (doc["stream_resource"], doc["descriptor"])
            expected = rows.get(resource, 0), numbers.get(stream, 1)
            assert (doc["indices"]["start"], doc["seq_nums"]["start"]) == expected
            rows[resource], numbers[stream] = doc["indices"]["stop"], doc["seq_nums"]["stop"]


@pytest.fixture
def killed(tmp_path, wait_for):
    """The directory of a session that was killed with -9 after 25 frames were announced, more recorded."""
    return kill_a_session(tmp_path, wait_for)


def kill_a_session(directory: Path, wait_for) -> Path:
    for name in ("journal", "recordings"):
        (directory / name).mkdir(exist_ok=True)
    session = subprocess.Popen([sys.executable, str(SESSION), str(directory)])
    try:
        wait_for(lambda: recorded(directory) > 40, timeout=30, what="frames beyond the announced ones")
        (open_run,) = (directory / "journal").glob("*.jsonl")
        wait_for(lambda: announced(open_run) == 25, what="25 frames to be announced")
        (alive,) = [r for r in recover(directory / "journal") if r.path == open_run]
        assert alive.outcome == "alive"
    finally:
        session.send_signal(signal.SIGKILL)
        session.wait()
    return directory


def recorded(directory: Path) -> int:
    files = list((directory / "recordings").glob("cam-*.h5"))
    try:
        with h5py.File(max(files), "r", swmr=True, locking=False) as file:
            return len(file["entry/data/data"])
    except (OSError, KeyError, ValueError):
        return 0


def announced(path: Path) -> int:
    return max((d["indices"]["stop"] for n, d in documents(path) if n == "stream_datum"), default=0)


def test_a_killed_session_gets_a_marked_stop_and_all_its_frames(killed):
    (path,) = (killed / "journal").glob("*.jsonl")
    in_file = recorded(killed)
    (result,) = recover(killed / "journal")
    assert result.outcome == "closed"
    assert result.frames_added == {"cam_image": in_file - 25}
    assert result.notes == ()
    validate(path)
    name, stop = documents(path)[-1]
    assert (name, stop["exit_status"]) == ("stop", "fail")
    assert stop["reason"].startswith("interrupted:")
    assert stop["num_events"] == {"primary": in_file}
    assert stop["beamstream_recovered"]["frames_added"] == in_file - 25


def test_the_recording_opens_with_plain_h5py_afterwards(killed):
    (recording,) = (killed / "recordings").glob("*.h5")
    with pytest.raises(OSError):
        h5py.File(recording, "r")
    (result,) = recover(killed / "journal")
    assert result.files == (recording,)
    with h5py.File(recording, "r") as file:
        images = file["entry/data/data"][()]
    assert np.array_equal(images, [frame(n) for n in range(len(images))])
    assert len(images) == result.num_events["primary"]


def test_recovering_twice_changes_nothing_more(killed):
    (path,) = (killed / "journal").glob("*.jsonl")
    recover(killed / "journal")
    before = path.read_bytes()
    assert recover(killed / "journal") == []
    assert path.read_bytes() == before


def test_a_recovered_run_is_filed_and_read_over_http(archive, wait_for):
    base = archive.layout.directory
    others = set((base / "recordings").iterdir())
    kill_a_session(base, wait_for)
    (recording,) = set((base / "recordings").iterdir()) - others
    results = [r for r in recover(base / "journal") if r.outcome == "closed"]
    (result,) = [r for r in results if recording in r.files]
    summary = wait_for_run(archive.client, result.uid)
    assert (summary.exit_status, summary.recovered) == ("fail", True)
    raw = archive.get(f"/array/full/{result.uid}/primary/cam_image").content
    images = np.frombuffer(raw, "<u2").reshape(-1, *SHAPE)
    assert len(images) == result.num_events["primary"] > 40
    assert np.array_equal(images, [frame(n) for n in range(len(images))])
    assert run_summary(archive.client[result.uid].metadata).frames == len(images)


@pytest.fixture
def flown(tmp_path):
    """The journal of a complete run of 12 frames with two cameras, to be cut at will."""
    journal, recordings = tmp_path / "journal", tmp_path / "recordings"
    recordings.mkdir()
    cameras = [Camera("a", recordings, num=12), Camera("b", recordings, num=9)]
    (uid,) = make_engine(journal)(fly(cameras))
    return journal / f"{uid}.jsonl"


def test_a_journal_that_ends_at_any_byte_is_closed_and_valid(flown, tmp_path):
    whole = flown.read_bytes()
    first = whole.index(b"\n") + 1
    ends = {*range(first, len(whole), 97), *(i + d for i, c in enumerate(whole) if c == 10 for d in (0, 1, 2))}
    for end in sorted(e for e in ends if first <= e <= len(whole)):
        directory = tmp_path / f"cut-{end}"
        directory.mkdir()
        path = directory / flown.name
        path.write_bytes(whole[:end])
        results = recover(directory)
        validate(path)
        assert documents(path)[-1][0] == "stop"
        cut = path.with_suffix(".cut").read_bytes() if path.with_suffix(".cut").exists() else b""
        assert path.read_bytes().startswith(whole[: end - len(cut)])
        assert whole[:end].endswith(cut)
        assert recover(directory) == []
        if results:
            assert results[0].bytes_cut == len(cut)
        shutil.rmtree(directory)


def test_of_two_detectors_as_many_frames_go_on_as_both_have_and_the_others_are_named_beside(flown):
    lines = flown.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if decode(line).name in ("start", "descriptor", "stream_resource")]
    kept = [line for line in kept if decode(line).doc.get("name") != "ledger"]
    flown.write_bytes(b"".join(kept))
    (result,) = recover(flown.parent)
    assert result.frames_added == {"a_image": 12, "b_image": 9}
    assert result.num_events == {"primary": 9, "a_interrupted": 3}
    validate(flown)


def test_a_recording_that_is_gone_still_lets_the_run_be_closed(flown):
    lines = flown.read_bytes().splitlines(keepends=True)
    flown.write_bytes(b"".join(lines[:-1]))
    for _, doc in documents(flown):
        if "uri" in doc:
            path_of(doc["uri"]).unlink()
    (result,) = recover(flown.parent)
    assert result.outcome == "closed"
    assert any("cannot be read" in note for note in result.notes)
    validate(flown)


def test_what_cannot_be_read_in_the_middle_is_left_alone_and_said(flown):
    lines = flown.read_bytes().splitlines(keepends=True)
    damaged = b"".join([lines[0], b'{"name": "descr\n', *lines[2:]])
    flown.write_bytes(damaged)
    (result,) = recover(flown.parent)
    assert result.outcome == "damaged"
    assert "is not a document" in result.notes[0]
    assert flown.read_bytes() == damaged


def test_zeros_after_a_power_cut_are_cut_and_kept_beside(flown):
    lines = flown.read_bytes().splitlines(keepends=True)
    flown.write_bytes(b"".join(lines[:3]) + bytes(500))
    (result,) = recover(flown.parent)
    assert (result.outcome, result.bytes_cut) == ("closed", 500)
    assert flown.with_suffix(".cut").read_bytes() == bytes(500)


def test_a_living_session_is_not_touched(tmp_path):
    journal = Journal(tmp_path)
    journal("start", {"uid": "r", "time": 1.0})
    before = (tmp_path / "r.jsonl").read_bytes()
    (result,) = recover(tmp_path)
    assert (result.outcome, result.uid) == ("alive", "r")
    assert (tmp_path / "r.jsonl").read_bytes() == before
    journal.close()
    (result,) = recover(tmp_path)
    assert result.outcome == "closed"


def test_a_step_scan_keeps_its_events_and_frames_without_one_are_named_beside(tmp_path):
    camera = Camera("cam", tmp_path, num=1)
    import bluesky.plans as bp

    (uid,) = make_engine(tmp_path / "journal")(bp.count([camera], 3))
    path = tmp_path / "journal" / f"{uid}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:6]))  # start, descriptor, resource, datum, event, datum
    assert [n for n, _ in documents(path)][-2:] == ["event", "stream_datum"]
    (result,) = recover(tmp_path / "journal")
    assert (result.frames_added, result.num_events) == ({"cam_image": 1}, {"primary": 1, "cam_interrupted": 1})
    validate(path)
    (beside,) = [d for n, d in documents(path) if n == "descriptor" and d["name"] == "cam_interrupted"]
    (datum,) = [d for n, d in documents(path) if n == "stream_datum" and d["descriptor"] == beside["uid"]]
    assert datum["indices"] == {"start": 2, "stop": 3}


def test_a_stop_document_of_recovery_is_json_without_nan(flown):
    lines = flown.read_bytes().splitlines(keepends=True)
    flown.write_bytes(b"".join(lines[:2]))
    recover(flown.parent)
    json.loads(flown.read_bytes().splitlines()[-1], parse_constant=pytest.fail)


def test_a_directory_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ArchiveError, match="is no directory"):
        recover(tmp_path / "nowhere")


def test_recovery_needs_no_server_and_no_tiled(tmp_path):
    code = "import sys; import beamstream.archive.recovery; assert not {'tiled', 'h5py', 'httpx'} & set(sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=30).returncode == 0
