"""The journal: on disk before anybody else sees it, locked while its owner lives."""

import fcntl
import json
import math
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky import RunEngine
from ophyd.sim import SynAxis, SynGauss, SynSignal

from beamstream.archive.documents import Tail, decode, is_complete
from beamstream.callbacks.journal import Journal, encode
from beamstream.errors import ArchiveError


@pytest.fixture
def engine():
    return RunEngine({}, call_returns_result=False)


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.close()


def lines(path: Path) -> list[tuple[str, dict]]:
    return [tuple(decode(line)) for line in path.read_bytes().splitlines(keepends=True)]


def is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_run_becomes_one_file_with_every_document_in_order(engine, journal):
    seen = []
    engine.subscribe(journal)
    engine.subscribe(lambda name, doc: seen.append((name, dict(doc))))
    motor = SynAxis(name="motor")
    (uid,) = engine(bp.scan([SynGauss("det", motor, "motor", center=0, Imax=1)], motor, -1, 1, 5))
    kept = lines(journal.directory / f"{uid}.jsonl")
    assert kept == [tuple(pair) for pair in json.loads(json.dumps(seen))]
    assert [name for name, _ in kept] == ["start", "descriptor", *["event"] * 5, "stop"]


def test_every_document_is_in_the_file_before_the_next_subscriber_sees_it(engine, journal):
    behind = []

    def look(name, doc):
        path = journal.directory / f"{doc.get('run_start', doc['uid'])}.jsonl" if name != "event" else None
        path = path or next(journal.directory.glob("*.jsonl"))
        last_name, last = lines(path)[-1]
        if (last_name, last["uid"]) != (name, doc["uid"]):
            behind.append(name)

    engine.subscribe(journal)
    engine.subscribe(look)
    engine(bp.count([SynSignal(name="s", func=lambda: 1.5)], 4))
    assert behind == []


def test_numpy_values_and_floats_that_json_does_not_know_come_back(journal):
    doc = {
        "uid": "r",
        "time": np.float64(2.5),
        "counts": np.arange(6, dtype="u2").reshape(2, 3),
        "bad": [math.nan, math.inf, -math.inf],
        "row": np.array([1.0, np.nan], dtype="f4"),
        "nested": {"deep": (np.int64(3), np.bool_(True), None)},
    }
    line = encode("start", doc)
    json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    back = decode(line).doc
    assert back["counts"] == [[0, 1, 2], [3, 4, 5]]
    assert math.isnan(back["bad"][0])
    assert back["bad"][1:] == [math.inf, -math.inf]
    assert back["row"][0] == 1.0
    assert math.isnan(back["row"][1])
    assert back["nested"] == {"deep": [3, True, None]}
    assert back["time"] == 2.5


def test_a_value_that_json_cannot_carry_fails_the_run_and_names_the_place(engine, journal):
    engine.subscribe(journal)
    with pytest.raises(ArchiveError, match=r"start\['sample'\]\['made'\] is a set, which JSON cannot carry"):
        engine(bp.count([SynSignal(name="s", func=lambda: 1)]), sample={"made": {1, 2}})


def test_interleaved_runs_go_to_their_own_files(engine, journal):
    engine.subscribe(journal)
    signal_ = SynSignal(name="s", func=lambda: 7)

    def both():
        for key in ("a", "b"):
            yield from bpp.set_run_key_wrapper(bps.open_run({"which": key}), key)
        for _ in range(3):
            for key in ("a", "b"):
                yield from bpp.set_run_key_wrapper(bps.trigger_and_read([signal_]), key)
        for key in ("b", "a"):
            yield from bpp.set_run_key_wrapper(bps.close_run(), key)

    uids = engine(both())
    for uid, which in zip(uids, "ab", strict=True):
        kept = lines(journal.directory / f"{uid}.jsonl")
        assert [name for name, _ in kept] == ["start", "descriptor", "event", "event", "event", "stop"]
        assert kept[0][1]["which"] == which
    assert journal.open_runs == ()


def test_the_file_is_locked_until_the_stop_document(journal):
    journal("start", {"uid": "r", "time": 0.0})
    path = journal.directory / "r.jsonl"
    assert is_locked(path)
    assert not is_complete(path)
    journal("stop", {"uid": "s", "run_start": "r", "time": 1.0, "exit_status": "success"})
    assert not is_locked(path)
    assert is_complete(path)


def test_a_killed_owner_leaves_an_unlocked_file_with_whole_lines(tmp_path):
    code = f"""
        import os, signal
        from beamstream.callbacks.journal import Journal
        j = Journal({str(tmp_path)!r})
        j("start", {{"uid": "r", "time": 0.0}})
        j("descriptor", {{"uid": "d", "run_start": "r", "name": "primary"}})
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=30)
    assert done.returncode == -signal.SIGKILL
    path = tmp_path / "r.jsonl"
    assert not is_locked(path)
    assert [name for name, _ in lines(path)] == ["start", "descriptor"]


def test_a_full_disk_fails_the_run_and_leaves_whole_lines(tmp_path):
    code = f"""
        import resource, sys
        from beamstream.callbacks.journal import Journal
        from beamstream.errors import ArchiveError
        j = Journal({str(tmp_path)!r})
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        j("start", {{"uid": "r", "time": 0.0}})
        j("descriptor", {{"uid": "d", "run_start": "r", "name": "primary"}})
        try:
            for n in range(1000):
                j("event", {{"uid": str(n), "descriptor": "d", "text": "x" * 300}})
        except ArchiveError as error:
            print(n, error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=30, capture_output=True, text=True)
    count, message = done.stdout.split(" ", 1)
    assert "cannot be written" in message
    assert "r.jsonl" in message
    kept = lines(tmp_path / "r.jsonl")
    assert len(kept) == 2 + int(count)
    assert kept[-1][1]["uid"] == str(int(count) - 1)


def test_a_directory_that_vanishes_fails_the_run_with_a_clear_error(engine, tmp_path):
    journal = Journal(tmp_path / "journal")
    (tmp_path / "journal").rmdir()
    engine.subscribe(journal)
    with pytest.raises(ArchiveError, match=r"journal: .* cannot be written: No such file"):
        engine(bp.count([SynSignal(name="s", func=lambda: 1)]))


def test_a_directory_below_a_file_is_refused_at_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveError, match="cannot be made"):
        Journal(tmp_path / "file" / "journal")


def test_a_document_of_no_open_run_is_an_error(journal):
    with pytest.raises(ArchiveError, match="belongs to none of the 0 open runs"):
        journal("event", {"uid": "e", "descriptor": "nobody's"})


def test_a_tail_gives_each_document_once_and_never_half_of_one(tmp_path):
    path = tmp_path / "r.jsonl"
    whole = b"".join(encode("event", {"uid": str(n), "x": n / 3}) for n in range(4))
    tail, got = Tail(path), []
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        got += [doc["uid"] for _, doc in tail.read()]
    assert got == ["0", "1", "2", "3"]


def test_children_of_the_session_do_not_hold_the_lock(journal):
    journal("start", {"uid": "r", "time": 0.0})
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        journal.close()
        assert not is_locked(journal.directory / "r.jsonl")
    finally:
        child.communicate()


def test_statistics_count_what_the_caller_waited(journal):
    journal("start", {"uid": "r", "time": 0.0})
    journal("stop", {"uid": "s", "run_start": "r"})
    numbers = journal.statistics()
    assert numbers["documents"] == 2
    assert numbers["bytes"] == (journal.directory / "r.jsonl").stat().st_size
    assert 0 < numbers["slowest"] <= numbers["seconds"]


def test_a_run_that_was_killed_as_it_began_begins_again_and_one_that_just_begins_is_left_alone(journal, tmp_path):
    left = tmp_path / "journal" / ".r.new"
    left.write_text('{"half')
    with left.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ArchiveError, match="cannot be written"):
            journal("start", {"uid": "r", "time": 1.0})
        assert left.read_text() == '{"half'
    journal("start", {"uid": "r", "time": 1.0})
    assert [name for name, _ in lines(tmp_path / "journal" / "r.jsonl")] == ["start"]
    assert not left.exists()


def deep(levels: int) -> dict:
    nested: dict = {}
    for _ in range(levels):
        nested = {"a": nested}
    return nested


def circle() -> dict:
    around: dict = {}
    around["a"] = {"b": around}
    return around


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("cam\udcff.h5", r"start\['v'\] is 'cam\\udcff.h5', which is no Unicode text"),
        ([1, {"x": 2**64}], r"start\['v'\]\[1\]\['x'\] is 18446744073709551616, an integer beyond 64 bits"),
        (-(2**300), r"start\['v'\] is about 2\*\*300, an integer beyond 64 bits"),
        (np.array([1.0, np.nan]), r"start\['v'\]\[1\] is NaN, which the archive cannot keep"),
        ((1.0, -math.inf), r"start\['v'\]\[1\] is -Infinity"),
        ({"a": {1: "one"}}, r"start\['v'\]\['a'\] has the key 1, of type int"),
        ({("a", "b"): 1}, r"start\['v'\] has the key \('a', 'b'\), of type tuple"),
        ({"\ud800": 1}, r"start\['v'\] has the key '\\ud800', which is no Unicode text"),
        ({"a/b": 1}, r"start\['v'\] has the key 'a/b'; keys of metadata cannot be empty"),
        ({"x": {1, 2}}, r"start\['v'\]\['x'\] is a set, which JSON cannot carry"),
        (b"bytes", r"start\['v'\] is a bytes"),
        (deep(200), r"nested deeper than 100 levels"),
        (circle(), r"nested deeper than 100 levels, or contains itself"),
    ],
)
def test_metadata_that_the_archive_could_not_return_as_it_is_are_refused_by_name_before_anything_is_written(
    journal, value, words
):
    with pytest.raises(ArchiveError, match=words):
        journal("start", {"uid": "r", "time": 0.0, "v": value})
    assert list(journal.directory.iterdir()) == []


def test_metadata_at_the_limits_are_taken(journal):
    given = {"ints": [2**64 - 1, -(2**63), 2**53 + 1], "text": "µ 😀 \x00", "float": 1e300, "deep": deep(90)}
    journal("start", {"uid": "r", "time": 0.0, **given})
    ((_, kept),) = lines(journal.directory / "r.jsonl")
    assert {key: kept[key] for key in given} == given


def test_in_mid_run_no_document_is_given_up_for_text_or_integers_that_the_archive_cannot_keep(journal):
    journal("start", {"uid": "r", "time": 0.0})
    journal("descriptor", {"uid": "d", "run_start": "r", "name": "primary"})
    data = {"file": "cam\udcff.h5", "count": 2**70, "pair": "\N{GRINNING FACE}", "digits": "1" * 30}
    journal("event", {"uid": "e", "descriptor": "d", "data": data})
    (_, kept) = lines(journal.directory / "r.jsonl")[-1]
    assert kept["data"] == {"file": "cam\\udcff.h5", "count": 2.0**70, "pair": "😀", "digits": "1" * 30}
    kept["data"]["file"].encode()
