"""What sessions say that they do, and who is believed."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from beamstream.watching.presence import PresenceFile, present

WRITER = """
import sys
from beamstream.watching.presence import PresenceFile
PresenceFile(sys.argv[1]).write("running", {"uid": "abc", "started": 1.0})
print("there", flush=True)
sys.stdin.read()
"""


def test_what_a_session_says_is_read_by_others_until_it_goes(tmp_path):
    assert present(tmp_path) == []
    file = PresenceFile(tmp_path)
    file.write("idle", None)
    (said,) = present(tmp_path)
    assert (said["pid"], said["state"], said["run"]) == (os.getpid(), "idle", None)
    assert abs(said["time"] - time.time()) < 5
    file.write("running", {"uid": "abc", "started": 2.0})
    assert present(tmp_path)[0]["run"]["uid"] == "abc"
    file.remove()
    assert present(tmp_path) == []
    assert list((tmp_path / "sessions").iterdir()) == []


def test_a_session_that_was_killed_is_not_believed_and_the_next_takes_its_file_away(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout.readline() == b"there\n"
        assert [said["pid"] for said in present(tmp_path)] == [child.pid]
        child.kill()
        child.wait()
    assert present(tmp_path) == []
    assert len(list((tmp_path / "sessions").glob("*.json"))) == 1
    PresenceFile(tmp_path).remove()
    assert list((tmp_path / "sessions").glob("*.json")) == []


def test_another_process_with_the_number_of_a_dead_one_is_not_taken_for_it(tmp_path):
    file = PresenceFile(tmp_path)
    file.write("idle", None)
    text = file.path.read_text()
    (tmp_path / "sessions" / "0.json").write_text(text)  # of a version without a lock
    assert len(present(tmp_path)) == 2
    (tmp_path / "sessions" / "0.json").write_text(json.dumps(json.loads(text) | {"began": 1}))
    assert len(present(tmp_path)) == 1
    (tmp_path / "sessions" / "0.json").write_text(text)
    (tmp_path / "sessions" / "0.lock").touch()  # left by a killed one that had our number
    assert len(present(tmp_path)) == 1
    file.remove()
    assert list((tmp_path / "sessions").iterdir()) == []


def test_a_session_of_another_container_is_believed_and_keeps_its_file_though_it_has_our_number(tmp_path):
    theirs, ours = PresenceFile(tmp_path), PresenceFile(tmp_path)  # same number, other locks
    theirs.write("idle", None)
    said = json.loads(theirs.path.read_text())
    theirs.path.write_text(json.dumps(said | {"began": 1, "time": 1.0}))
    ours.write("running", {"uid": "abc", "started": 1.0})
    assert theirs.path != ours.path
    assert [each["state"] for each in present(tmp_path)] == ["running", "idle"]
    ours.remove()
    assert [each["state"] for each in present(tmp_path)] == ["idle"]
    theirs.remove()


@pytest.mark.parametrize(("ago", "believed"), [(1.0, True), (60.0, False)])
def test_a_session_of_another_machine_is_believed_for_a_moment(tmp_path, ago, believed):
    file = PresenceFile(tmp_path)
    file.write("running", {"uid": "abc", "started": 1.0})
    said = json.loads(file.path.read_text())
    assert said["host"] == socket.gethostname()
    file.remove()
    file.path.write_text(json.dumps(said | {"host": "elsewhere", "pid": 2**22 + 1, "time": time.time() - ago}))
    assert bool(present(tmp_path)) is believed


SAID = {"pid": 1, "time": 1.0, "state": "idle", "run": None}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"pid": 1}', "\0"]
    + [json.dumps(SAID | wrong) for wrong in ({"pid": "x"}, {"time": None}, {"run": {}}, {"run": "none"})],
)
def test_what_is_no_word_of_a_session_is_passed_over(tmp_path, text):
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions" / "1.json").write_text(text)
    assert present(tmp_path) == []


def test_the_youngest_run_comes_first(tmp_path):
    file = PresenceFile(tmp_path)
    file.write("running", {"uid": "old", "started": 1.0})
    said = json.loads(file.path.read_text())
    other = said | {"run": {"uid": "new", "started": 2.0}}
    (tmp_path / "sessions" / "0.json").write_text(json.dumps(other))
    assert [each["run"]["uid"] for each in present(tmp_path)] == ["new", "old"]


def _link_to_another(path, text):
    path.with_name("another").write_text(text)
    path.symlink_to(path.with_name("another"))


def _pipe(path, text):
    os.mkfifo(path)


def _deep(path, text):
    path.write_text("[" * 100_000)


def _endless(path, text):
    path.write_text(text[:-2] + " " * (1 << 21) + "}")


@pytest.mark.parametrize("put", [_link_to_another, _pipe, _deep, _endless])
def test_what_is_no_plain_file_of_a_session_is_passed_over(tmp_path, put):
    file = PresenceFile(tmp_path)
    file.write("idle", None)
    put(tmp_path / "sessions" / "0.json", file.path.read_text())
    os.mkfifo(tmp_path / "sessions" / "0.lock")
    assert [said["pid"] for said in present(tmp_path)] == [os.getpid()]
    file.remove()


def test_a_session_writes_through_no_link_that_waits_for_it(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("precious")
    file = PresenceFile(tmp_path)
    file.path.parent.mkdir()
    file.path.with_suffix(".new").symlink_to(mine)
    file.write("idle", None)
    assert mine.read_text() == "precious"
    assert len(present(tmp_path)) == 1
    file.remove()
