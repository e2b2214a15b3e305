"""Detectors whose session was killed at once: every frame reported is in documents, and counted in a ledger."""

import json
import os
import subprocess
import sys
from pathlib import Path

import event_model
import h5py
import numpy as np
import pytest
from recording_session import attributes_of

from beamstream.archive.announced import RECORDINGS
from beamstream.archive.documents import decode
from beamstream.archive.recovered_ledger import StoredIds, ledger_of
from beamstream.archive.recovery import recover
from beamstream.callbacks.journal import Journal, encode
from beamstream.frames import Frame
from beamstream.ledger import COLUMNS, from_event
from beamstream.recorded import RecordedFrames
from beamstream.segment import PREFIX, sweep
from beamstream.sinks.superblock import clear_consistency_flags
from plans.recordings import KEY

SESSION = Path(__file__).with_name("recording_session.py")
STEPS = ("count", "count, first point", "points, staged inside", "points, staged inside, first point")


def killed(directory: Path, how: str) -> tuple[int, int]:
    """Return the frames that were reported before a session was killed, and those in the file."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, str(SESSION), str(directory), how], env=environment, timeout=120, capture_output=True
    )
    sweep(PREFIX)  # the session's shared memory
    assert done.returncode == -9, done.stderr.decode()
    (path,) = (directory / "recordings").rglob("*.h5")
    with h5py.File(path, "r", swmr=True) as file:
        return int((directory / "reported").read_text()), len(file["entry/data/unique_id"])


def frames_of(directory: Path) -> list[Frame]:
    """Return the recorded frames, without their pixels."""
    (path,) = (directory / "recordings").rglob("*.h5")
    with RecordedFrames(path) as recorded:
        return [frame for batch in recorded.read(0, len(recorded)) for frame in batch]


def documents(path: Path) -> list[tuple[str, dict]]:
    return [tuple(decode(line)) for line in path.read_bytes().splitlines()]


def named_rows(found: list[tuple[str, dict]], data_key: str) -> list[int]:
    """Return the rows of the detector's file that documents name, in streams that are described before."""
    resources = {doc["uid"] for name, doc in found if name == "stream_resource" and doc["data_key"] == data_key}
    rows, streams = [], set()
    for name, doc in found:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
        if name == "descriptor":
            streams.add(doc["uid"])
        if name == "stream_datum" and doc["stream_resource"] in resources:
            assert doc["descriptor"] in streams
            rows += range(doc["indices"]["start"], doc["indices"]["stop"])
    return rows


@pytest.mark.parametrize("how", ["record", "fly", "fly, staged inside", *STEPS])
def test_frames_reported_before_any_document_was_made_of_them_are_recovered(tmp_path, how):
    reported, stored = killed(tmp_path, how)
    (result,) = recover(tmp_path / "journal")
    found = documents(result.path)
    attributes = ("cam_attr_Sample", "cam_attr_Temperature", "cam_attr_Pulse")
    for key in ("cam_image", "cam_unique_id", "cam_timestamp", "cam_received", *attributes):
        assert named_rows(found, key) == list(range(stored)), key
    assert len(frames_of(tmp_path)) == stored
    assert all(frame.attributes == attributes_of(frame.unique_id) for frame in frames_of(tmp_path))
    assert stored >= reported > 0
    assert (result.outcome, result.notes) == ("closed", ())
    streams = {"record": "primary", "fly": "primary", "fly, staged inside": "primary"}
    assert result.num_events[streams.get(how, "cam_interrupted")] == (stored if how in streams else 1)
    ledger = from_event(ledger_event(found)["data"])["cam"]
    assert (ledger["received"], ledger["recorded"]) == (stored, stored)
    assert (ledger["lost"] == 7) == (how in streams), "between points frames pass that nobody asked for"
    assert recover(tmp_path / "journal") == []


def test_rows_of_which_a_kill_left_only_the_numbers_are_neither_in_documents_nor_in_the_account(tmp_path):
    _, stored = killed(tmp_path, "record")
    (path,) = (tmp_path / "recordings").rglob("*.h5")
    clear_consistency_flags(path)
    with h5py.File(path, "r+") as file:
        file["entry/data/data"].resize(stored - 3, axis=0)
    (result,) = recover(tmp_path / "journal")
    found = documents(result.path)
    assert named_rows(found, "cam_unique_id") == named_rows(found, "cam_image") == list(range(stored - 3))
    assert from_event(ledger_event(found)["data"])["cam"]["recorded"] == stored - 3


def ledger_event(found: list[tuple[str, dict]]) -> dict:
    (descriptor,) = [doc for name, doc in found if name == "descriptor" and doc["name"] == "ledger"]
    (event,) = [doc for name, doc in found if name == "event" and doc["descriptor"] == descriptor["uid"]]
    assert set(event["data"]) == set(descriptor["data_keys"])
    return event


@pytest.mark.parametrize(
    ("ids", "gaps", "restarts"),
    [
        ([5, 6, 7], [], 0),
        ([1, 2, 6, 7, 9], [(2, 3), (7, 1)], 0),
        ([1, 3, 2, 4], [], 0),
        ([1, 6, 4, 7], [(1, 2), (4, 1)], 0),
        ([1, 6, 2, 3, 5, 4, 7], [], 0),
        ([1, 2, 3, 1, 2, 4], [(2, 1)], 1),
        ([1, 2, 9, 1, 5, 4], [(2, 6), (1, 2)], 1),
        ([1, 2, 2, 3], [], 1),
        ([], [], 0),
    ],
)
@pytest.mark.parametrize("piece", [1, 2, 100])
def test_gaps_are_those_of_the_numbers_that_never_came_however_late_they_did(ids, gaps, restarts, piece):
    seen = StoredIds()
    for start in range(0, len(ids), piece):
        seen.see(np.array(ids[start : start + piece], np.int64))
    assert (list(seen.gaps()), seen.restarts) == (gaps, restarts)


def test_an_account_from_a_file_has_the_columns_of_a_living_one_and_says_what_it_does_not_know():
    account = ledger_of("cam", 5, [np.array([1, 2, 6, 7, 9])], steps=False)
    assert set(account) == {*COLUMNS, "gaps", "note"}
    assert (account["recorded"], account["lost"]) == (5, 4)
    assert json.loads(account["gaps"])[0] == {"after": 2, "missing": 3, "place": "transport"}
    assert "unknown" in account["note"]
    assert ledger_of("cam", 5, [np.array([1, 2, 6, 7, 9])], steps=True)["lost"] == 0


def test_a_ledger_that_the_session_made_is_left_as_it_is_and_one_that_it_began_is_filled(tmp_path):
    killed(tmp_path, "fly")
    (path,) = (tmp_path / "journal").glob("*.jsonl")
    run = path.stem
    keys = {key: {"source": "s", "dtype": "integer", "shape": []} for key in ("cam_ledger_lost", "other_ledger_lost")}
    begun = {"uid": "made", "run_start": run, "name": "ledger", "time": 1.0, "data_keys": keys, "configuration": {}}
    begun |= {"object_keys": {"cam_ledger": ["cam_ledger_lost"]}, "hints": {}}
    data = dict.fromkeys(keys, 99)
    event = {
        "uid": "e",
        "descriptor": "made",
        "time": 1.0,
        "seq_num": 1,
        "data": data,
        "timestamps": data,
        "filled": {},
    }
    before = path.read_bytes()
    path.write_bytes(before + encode("descriptor", begun))
    recover(tmp_path / "journal")
    assert ledger_event(documents(path))["data"] == {"cam_ledger_lost": 7, "other_ledger_lost": 0}
    path.write_bytes(before + encode("descriptor", begun) + encode("event", event))
    recover(tmp_path / "journal")
    assert ledger_event(documents(path))["data"] == data


def test_a_file_that_another_run_used_is_left_to_that_run(tmp_path):
    _, stored = killed(tmp_path, "count, first point")
    (path,) = (tmp_path / "journal").glob("*.jsonl")
    start = documents(path)[0][1]
    both = Journal(tmp_path / "journal")  # the first of two runs that are open at once: its start names the detector
    both("start", {"uid": "outer", "time": start["time"] - 1, RECORDINGS: start[RECORDINGS]})
    both.close()
    (recording,) = start[RECORDINGS]
    event = {"uid": "e", "descriptor": "d", "time": 1.0, "seq_num": 1, "filled": {}}
    data = {"cam_recorded_to": json.dumps(recording)}
    named = {"uid": "d", "run_start": path.stem, "name": "cam_recording", "time": 1.0, "data_keys": {}, "hints": {}}
    with path.open("ab") as file:
        file.write(encode("descriptor", named) + encode("event", event | {"data": data, "timestamps": {}}))
    results = {result.uid: result for result in recover(tmp_path / "journal")}
    assert results["outer"].frames_added == {}
    assert results[path.stem].frames_added["cam_image"] == stored


def test_the_key_that_plans_write_is_the_one_that_recovery_reads():
    assert KEY == RECORDINGS


def test_a_file_that_was_named_and_is_gone_is_said_and_the_run_is_closed(tmp_path):
    killed(tmp_path, "count, first point")
    (recording,) = (tmp_path / "recordings").rglob("*.h5")
    recording.unlink()
    (result,) = recover(tmp_path / "journal")
    assert result.outcome == "closed"
    assert any(f"{recording} cannot be read" in note for note in result.notes)


def test_recovering_a_long_journal_takes_memory_for_its_streams_alone(tmp_path):
    journal = Journal(tmp_path)
    journal("start", {"uid": "r", "time": 1.0})
    keys = {"cam_image": {"source": "", "dtype": "array", "shape": [2, 2], "external": "STREAM:"}}
    journal("descriptor", {"uid": "d", "run_start": "r", "name": "primary", "time": 1.0, "data_keys": keys})
    resource = {"uid": "i", "run_start": "r", "data_key": "cam_image", "uri": "file://localhost/none.h5"}
    journal("stream_resource", {**resource, "mimetype": "application/x-hdf5", "parameters": {"dataset": "/data"}})
    journal.close()
    number = 50_000
    with (tmp_path / "r.jsonl").open("ab") as file:
        for n in range(number):
            datum = {"uid": f"i/{n}", "stream_resource": "i", "descriptor": "d", "pad": "x" * 300}
            ranges = {"indices": {"start": n, "stop": n + 1}, "seq_nums": {"start": n + 1, "stop": n + 2}}
            file.write(encode("stream_datum", datum | ranges))
    size = (tmp_path / "r.jsonl").stat().st_size
    code = """
import resource, sys, h5py
from beamstream.archive.recovery import recover
used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = used()
(result,) = recover(sys.argv[1])
print(used() - before, result.num_events["primary"])
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120)
    grown, frames = map(int, done.stdout.split())
    assert frames == number
    assert grown < size / 2, f"{grown} bytes for a journal of {size}"
