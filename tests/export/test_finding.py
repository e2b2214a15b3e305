"""A run is found in its journal: by uid, by the beginning of it, by scan id, and as the newest."""

import os
import time

import pytest

from beamstream.errors import ArchiveError
from beamstream.export import find_journal

AGO = 1_700_000_000.0


@pytest.fixture
def three(runs):
    """Three runs: one filed, one refused, one that was just closed; the middle one was touched last."""
    uids = ["aaaa1111-0", "aaaa2222-0", "bbbb3333-0"]
    for n, uid in enumerate(uids):
        runs.record(1, uid=uid, time=AGO + n, scan_id=7 if n < 2 else 12345)
    for uid, folder in zip(uids, ("filed", "refused"), strict=False):
        (runs.journal / folder).mkdir()
        (runs.journal / f"{uid}.jsonl").rename(runs.journal / folder / f"{uid}.jsonl")
    os.utime(runs.journal / "refused" / "aaaa2222-0.jsonl", (time.time() + 60,) * 2)
    return runs


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("aaaa1111-0", "aaaa1111-0"),
        ("aaaa2", "aaaa2222-0"),
        ("bbbb", "bbbb3333-0"),
        ("-1", "bbbb3333-0"),
        ("-2", "aaaa2222-0"),
        ("-3", "aaaa1111-0"),
        ("7", "aaaa2222-0"),
        ("12345", "bbbb3333-0"),
    ],
)
def test_a_run_is_found(three, asked, found):
    assert find_journal(three.journal, asked).stem == found


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("aaaa", r"run aaaa asked for, 2 begin like that: aaaa1111-0, aaaa2222-0; write more of it"),
        ("cccc", "there is none in .*journal; see `beamstream runs list`"),
        ("bbb", "of a uid write 4 or more"),
        ("-4", "there are 3 in"),
        ("8", "none of this scan id"),
        ("../../etc", "a run is a uid, its beginning, a scan id, or -1"),
        ("*", "a run is a uid, its beginning, a scan id, or -1"),
    ],
)
def test_what_is_not_there_or_several_is_said(three, asked, words):
    with pytest.raises(ArchiveError, match=words):
        find_journal(three.journal, asked)


def test_the_newest_of_many_is_found_without_reading_all_of_them(runs, monkeypatch):
    for n in range(30):
        uid = runs.record(1, uid=f"{n:08d}-many", time=AGO + n)
        os.utime(runs.journal / f"{uid}.jsonl", (AGO + n + 0.5,) * 2)
    from beamstream.export import finding

    read: list[str] = []
    decode = finding.decode
    monkeypatch.setattr(finding, "decode", lambda line: read.append(line) or decode(line))
    assert find_journal(runs.journal, "-1").stem == "00000029-many"
    assert len(read) == 1


def test_a_digit_uid_is_no_scan_id(runs):
    uid = runs.record(1, uid="12345678-9abc", scan_id=3)
    assert find_journal(runs.journal, "12345678").stem == uid
    assert find_journal(runs.journal, "1234").stem == uid


def test_an_empty_archive_is_said(tmp_path):
    with pytest.raises(ArchiveError, match="there are 0 in"):
        find_journal(tmp_path / "journal", "-1")


def test_the_copy_that_an_upload_made_is_not_the_newest_run(three):
    uid = three.record(1, uid="cccc4444-0", time=AGO + 9, plan_name="ingest")
    assert find_journal(three.journal, "-1").stem == "bbbb3333-0"
    assert find_journal(three.journal, uid).stem == uid
