"""A disk that fails once at one document of a journal: the run fails, and recovery names every frame of its files."""

import errno
import json
import os
from pathlib import Path

import bluesky.plans as bp
import h5py
import pytest
from bluesky import RunEngine
from counting_detector import CountingDetector, CountingSource
from recording_session import SHAPE
from test_recovered_recordings import documents, ledger_event, named_rows

from beamstream.archive.recovery import recover
from beamstream.callbacks.chain import Chain
from beamstream.callbacks.journal import Journal, encode
from beamstream.errors import ArchiveError, CallbackFailed
from beamstream.ingest.journal import ResumableJournal
from beamstream.ledger import from_event
from plans.ledger import ledger_wrapper
from plans.record import record

LEDGER = {"uid": "l", "run_start": "r", "name": "ledger", "data_keys": {}}
STOP = {"uid": "s", "run_start": "r", "time": 1.0, "exit_status": "success"}


@pytest.fixture
def fails_once(monkeypatch):
    """Let one system call of a journal fail: of its document so-and-so, the n-th of them."""

    def arrange(call: str, wanted: str, number: int = 1) -> list[str]:
        real = {"write": os.write, "fdatasync": os.fdatasync}
        written: list[str] = []
        failed: list[str] = []

        def fault(now: str) -> None:
            if now == call and not failed and written.count(wanted) == number and written[-1] == wanted:
                failed.append(wanted)
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        def write(fd, data):
            if Path(f"/proc/self/fd/{fd}").readlink().name.endswith((".jsonl", ".new")):
                line = json.loads(bytes(data).partition(b"\n")[0])  # recovery writes several
                written.append(f"{line['doc'].get('name', '')} {line['name']}".strip())
                fault("write")
            return real["write"](fd, data)

        def fdatasync(fd):
            if Path(f"/proc/self/fd/{fd}").readlink().name.endswith(".jsonl"):
                fault("fdatasync")
            return real["fdatasync"](fd)

        monkeypatch.setattr(os, "write", write)
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        return failed

    return arrange


@pytest.fixture
def camera(tmp_path):
    camera = CountingDetector(
        "", CountingSource(SHAPE), name="cam", directory=tmp_path / "recordings", ring_memory=2**20
    )
    yield camera
    camera.destroy()


@pytest.mark.parametrize("call", ["write", "fdatasync"])
@pytest.mark.parametrize(
    ("plan", "document", "number"),
    [
        ("record", "primary descriptor", 1),
        ("record", "stream_resource", 1),
        ("record", "stream_resource", 3),
        ("record", "stream_datum", 1),
        ("record", "stream_datum", 6),
        ("record", "ledger descriptor", 1),
        ("record", "event", 1),
        ("record", "stop", 1),
        ("count", "stream_resource", 2),
        ("count", "stream_datum", 9),
        ("count", "event", 3),
    ],
)
def test_a_document_that_the_disk_did_not_take_fails_the_run_and_recovery_names_all_frames_once(
    tmp_path, camera, fails_once, plan, document, number, call
):
    engine = RunEngine({}, call_returns_result=False, context_managers=[])
    engine.preprocessors.append(ledger_wrapper)
    engine.subscribe(Chain(Journal(tmp_path / "journal")))
    failed = fails_once(call, document, number)
    with pytest.raises(ArchiveError, match=r"Input/output error; .*then run `beamstream recover`"):
        engine(record([camera], num=60, flush_period=0.05) if plan == "record" else bp.count([camera], num=5))
    assert failed == [document]
    (result,) = recover(tmp_path / "journal")
    (file,) = (tmp_path / "recordings").rglob("*.h5")
    found = documents(result.path)
    for key in ("cam_image", "cam_unique_id", "cam_timestamp", "cam_received"):
        assert named_rows(found, key) == list(range(rows_of(file))), key
    name, stop = found[-1]
    assert (name, stop["exit_status"]) == ("stop", "fail")
    ledger = from_event(ledger_event(found)["data"])["cam"]
    assert ledger["recorded"] == rows_of(file)
    assert ledger["received"] == ledger["recorded"] + ledger["discarded"] + ledger["lost"]
    assert recover(tmp_path / "journal") == []


@pytest.mark.parametrize("number", range(1, 5))
def test_a_required_callback_fails_the_run_when_all_arrays_are_named_as_far_as_each_other(tmp_path, camera, number):
    engine = RunEngine({}, call_returns_result=False, context_managers=[])
    engine.preprocessors.append(ledger_wrapper)
    chain = Chain(Journal(tmp_path / "journal"))
    seen: list[str] = []

    def fail(name, _doc):
        seen.append(name)
        if name == "stream_datum" and seen.count(name) == number:
            raise ValueError("the callback's own mistake")

    chain.add(fail, required=True)
    engine.subscribe(chain)
    with pytest.raises(CallbackFailed, match="the callback's own mistake"):
        engine(record([camera], num=60, flush_period=0.05))
    (path,) = (tmp_path / "journal").glob("*.jsonl")
    (file,) = (tmp_path / "recordings").rglob("*.h5")
    found = documents(path)
    for key in ("cam_image", "cam_unique_id", "cam_timestamp", "cam_received"):
        assert named_rows(found, key) == list(range(rows_of(file))), key
    assert "cam_interrupted" not in [doc["name"] for name, doc in found if name == "descriptor"]
    assert found[-1][1]["exit_status"] == "fail"


def rows_of(path: Path) -> int:
    with h5py.File(path, "r", swmr=True) as file:
        return len(file["entry/data/unique_id"])


def test_only_the_account_follows_a_document_that_is_missing_and_the_run_stays_open_for_recovery(tmp_path, fails_once):
    journal = Journal(tmp_path)
    fails_once("write", "primary descriptor")
    journal("start", {"uid": "r", "time": 0.0})
    with pytest.raises(ArchiveError, match="Input/output error"):
        journal("descriptor", {"uid": "d", "run_start": "r", "name": "primary", "data_keys": {}})
    journal("descriptor", LEDGER)
    with pytest.raises(ArchiveError, match="Input/output error"):
        journal("stream_resource", {"uid": "i", "run_start": "r", "data_key": "cam_image"})
    journal("event", {"uid": "e", "descriptor": "l", "data": {}})
    with pytest.raises(ArchiveError, match="Input/output error"):
        journal("stop", STOP)
    assert journal.open_runs == ()
    assert [name for name, _ in documents(tmp_path / "r.jsonl")] == ["start", "descriptor", "event"]
    (result,) = recover(tmp_path)
    assert result.outcome == "closed"
    assert documents(tmp_path / "r.jsonl")[-1][1]["exit_status"] == "fail"


def test_what_is_written_by_who_repeats_a_refused_document_goes_on_with_it(tmp_path, fails_once):
    journal = ResumableJournal(tmp_path)
    fails_once("fdatasync", "primary descriptor")
    journal("start", {"uid": "r", "time": 0.0})
    descriptor = {"uid": "d", "run_start": "r", "name": "primary", "data_keys": {}}
    with pytest.raises(ArchiveError, match="Input/output error"):
        journal("descriptor", descriptor)
    journal("descriptor", descriptor)
    journal("stop", STOP)
    assert [name for name, _ in documents(tmp_path / "r.jsonl")] == ["start", "descriptor", "stop"]


def test_a_journal_that_refers_to_what_it_lacks_is_reported_and_does_not_hold_up_the_others(tmp_path):
    datum = {"uid": "i/0", "stream_resource": "i", "descriptor": "d"}
    ranges = {"indices": {"start": 0, "stop": 1}, "seq_nums": {"start": 1, "stop": 2}}
    for uid, more in (("a", encode("stream_datum", datum | ranges)), ("b", b"")):
        (tmp_path / f"{uid}.jsonl").write_bytes(encode("start", {"uid": uid, "time": 1.0}) + more)
    first, second = recover(tmp_path)
    assert (first.outcome, second.outcome) == ("damaged", "closed")
    assert "stream_datum i/0 refers to 'i', which is not there" in first.notes[0]
