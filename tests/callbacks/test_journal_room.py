"""A journal on a full disk, or deleted: its run fails, account and stop document are kept, nothing stays open."""

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest
from bluesky import RunEngine
from ophyd.sim import SynSignal

from beamstream.archive.documents import decode, is_complete
from beamstream.archive.recovery import recover
from beamstream.callbacks import journal_room
from beamstream.callbacks.chain import Chain
from beamstream.callbacks.journal import ROOM, Journal
from beamstream.errors import ArchiveError

START = {"uid": "r", "time": 0.0}
PRIMARY = {"uid": "d", "run_start": "r", "name": "primary", "data_keys": {}}
STOP = {"uid": "s", "run_start": "r", "time": 1.0, "exit_status": "fail"}


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.close()


@pytest.fixture
def full(monkeypatch):
    """Let the disk become full: ``full()``; what a journal holds by then, it has."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return lambda: monkeypatch.setattr(journal_room, "_allocate", refuse)


def names(directory) -> list[str]:
    (path,) = directory.glob("*.jsonl")
    return [decode(line).name for line in path.read_bytes().splitlines()]


def give(journal, documents) -> None:
    for name, doc in documents:
        journal(name, doc)


def taken(directory) -> int:
    return sum(path.stat().st_blocks * 512 for path in directory.iterdir())


@pytest.mark.parametrize("beside", [False, True])
def test_room_for_the_end_is_held_while_the_run_goes_on_and_returned_afterwards(journal, monkeypatch, beside):
    if beside:  # as on a filesystem without fallocate
        monkeypatch.setattr(journal_room, "_allocate", lambda *_: False)
    journal("start", START)
    journal("descriptor", PRIMARY)
    assert taken(journal.directory) >= ROOM
    assert sum(path.stat().st_size for path in journal.directory.glob("*.jsonl")) < 1000
    journal("stop", STOP)
    assert taken(journal.directory) < ROOM // 8
    assert [path.name for path in journal.directory.iterdir()] == ["r.jsonl"]


def test_a_run_is_refused_at_its_start_where_there_is_no_room_for_its_end(journal, full):
    full()
    with pytest.raises(ArchiveError, match=r"r\.jsonl cannot be written: No space left"):
        journal("start", START)
    assert list(journal.directory.iterdir()) == []
    assert journal.open_runs == ()


def test_on_a_full_disk_a_run_fails_once_and_what_ends_it_is_kept(journal, full):
    journal("start", START)
    journal("descriptor", PRIMARY)
    full()
    events = (("event", {"uid": str(n), "descriptor": "d", "text": "x" * 300}) for n in count())
    with pytest.raises(ArchiveError, match="the disk is full, the run ends while its account still fits"):
        give(journal, events)
    _, following = next(events)
    assert names(journal.directory).count("event") == int(following["uid"]), (
        "that of the failure is kept like the others"
    )
    for detector in ("a", "b", "c", "d"):  # an account may be large: a thousand gaps each
        journal("descriptor", {"uid": detector, "run_start": "r", "name": "ledger", "data_keys": {}})
        journal("event", {"uid": f"e{detector}", "descriptor": detector, "gaps": "x" * 60_000})
    journal("stop", STOP)
    assert is_complete(journal.directory / "r.jsonl")


def test_frames_that_belong_together_are_in_the_journal_before_a_full_disk_fails_the_run(journal, full):
    journal("start", START)
    journal("descriptor", PRIMARY)
    for key in ("image", "unique_id"):
        journal("stream_resource", {"uid": key, "run_start": "r", "data_key": key, "pad": "x" * 200_000})
    full()
    journal("stream_datum", {"uid": "i/0", "stream_resource": "image", "descriptor": "d", "pad": "x" * 100_000})
    keys = (key for _ in count() for key in ("image", "unique_id"))
    with pytest.raises(ArchiveError, match="the disk is full"):
        give(journal, (("stream_datum", {"uid": key, "stream_resource": key, "descriptor": "d"}) for key in keys))
    assert next(keys) == "image"
    assert names(journal.directory)[-2:] == ["stream_datum", "stream_datum"]
    journal("stop", STOP)


def test_a_full_disk_fails_the_plan_and_not_the_callback_whose_document_comes_next(journal, full):
    journal("start", START)
    journal("descriptor", PRIMARY)
    journal("stream_resource", {"uid": "raw", "run_start": "r", "uri": "file://localhost/raw.h5"})
    journal("stream_resource", {"uid": "derived", "run_start": "r", "uri": "file://localhost/derived.h5"})
    full()
    datum = {"uid": "1", "stream_resource": "derived", "descriptor": "d", "pad": "x" * 200_000}
    with ThreadPoolExecutor(1) as callback:
        callback.submit(journal, "stream_datum", datum).result()
    with pytest.raises(ArchiveError, match="the disk is full, the run ends"):
        journal("stream_datum", datum | {"stream_resource": "raw", "pad": ""})
    journal("stop", STOP)
    assert names(journal.directory)[-3:] == ["stream_datum", "stream_datum", "stop"]


def test_room_beside_the_file_is_freed_for_the_document_that_does_not_fit(journal, monkeypatch, full):
    monkeypatch.setattr(journal_room, "_allocate", lambda *_: False)
    journal("start", START)
    journal("descriptor", PRIMARY)
    real, refused = os.write, []

    def write(fd, data):
        if (journal.directory / ".r.room").exists():
            refused.append(len(data))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    full()
    with pytest.raises(ArchiveError, match="the disk is full, the run ends"):
        journal("event", {"uid": "e", "descriptor": "d"})
    journal("stop", STOP)
    assert len(refused) == 1
    assert names(journal.directory) == ["start", "descriptor", "event", "stop"]


def test_a_run_whose_stop_document_cannot_be_written_can_be_recovered_while_its_session_goes_on(tmp_path):
    code = f"""
        import resource, subprocess, sys
        from beamstream.callbacks.journal import Journal
        from beamstream.errors import ArchiveError
        j = Journal({str(tmp_path)!r})
        j("start", {START!r})
        j("descriptor", {PRIMARY!r})
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((j.directory / "r.jsonl").stat().st_size + 5, before[1]))
        try:
            j("stop", {STOP!r})
        except ArchiveError as error:
            assert "cannot be written" in str(error), error
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert j.open_runs == ()
        recover = "import sys; from beamstream.archive.recovery import recover; print(recover(sys.argv[1])[0].outcome)"
        print(subprocess.run([sys.executable, "-c", recover, {str(tmp_path)!r}], capture_output=True, text=True).stdout)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=60, capture_output=True, text=True)
    assert done.stdout.strip() == "closed", done.stderr
    assert names(tmp_path) == ["start", "descriptor", "stop"]


def test_half_a_line_that_could_not_be_taken_back_is_cut_by_the_next_document(journal):
    journal("start", START)
    with (journal.directory / "r.jsonl").open("ab") as file:
        file.write(b'{"name": "eve')
    journal("descriptor", PRIMARY)
    journal("stop", STOP)
    assert names(journal.directory) == ["start", "descriptor", "stop"]


@pytest.mark.parametrize("what", ["deleted", "moved"])
def test_a_journal_that_is_deleted_or_moved_in_mid_run_fails_the_run(journal, tmp_path, what):
    engine = RunEngine({}, call_returns_result=False, context_managers=[])
    stops = []
    engine.subscribe(lambda _, doc: stops.append(doc), "stop")
    engine.subscribe(Chain(journal))

    @bpp.run_decorator()
    def plan():
        signal = SynSignal(name="s", func=lambda: 1)
        yield from bps.trigger_and_read([signal])
        if what == "deleted":
            shutil.rmtree(journal.directory)
        else:
            journal.directory.rename(tmp_path / "elsewhere")
        yield from bps.trigger_and_read([signal])

    with pytest.raises(ArchiveError, match="was deleted or moved while its run goes on"):
        engine(plan())
    assert [stop["exit_status"] for stop in stops] == ["fail"]
    assert journal.open_runs == ()
    if what == "moved":
        (result,) = recover(tmp_path / "elsewhere")
        assert (result.outcome, result.num_events) == ("closed", {"primary": 1})


def test_a_journal_that_fails_while_the_callbacks_account_is_kept_still_gets_the_stop_document():
    kept = []

    def journal(name, doc):
        if doc.get("name") == "callbacks":
            raise ArchiveError("journal: no room")
        kept.append(name)

    chain = Chain(journal)
    chain.add(lambda _name, _doc: 1 / 0)
    chain("start", START)
    with pytest.raises(ArchiveError, match="no room"):
        chain("stop", STOP)
    assert kept == ["start", "stop"]
