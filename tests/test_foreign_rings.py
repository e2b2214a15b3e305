"""In shared memory a name proves nothing: readers take rings of ours that are whole, and nothing else."""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from beamstream import readers
from beamstream.errors import RingError
from beamstream.frames import Frame, Geometry
from beamstream.readers import RingView
from beamstream.references.capture import capture
from beamstream.ring import Ring
from beamstream.segment import PREFIX, SHM, is_written, ring_files, sweep
from beamstream.watching.candidates import Candidates
from beamstream.watching.streams import StreamSpec, rings

GEOMETRY = Geometry((64, 64), "<u2")
NOBODY = 65534
_names = count()


@pytest.fixture
def name(monkeypatch) -> str:
    monkeypatch.setattr(readers, "_warned", set())
    return f"foreign{os.getpid()}_{next(_names)}"


@pytest.fixture
def ring(name) -> Iterator[Ring]:
    ring = Ring(name, slots=4)
    ring.put(_frame(7))
    yield ring
    ring.close()


def _frame(value: int) -> Frame:
    return Frame(np.full(GEOMETRY.shape, value, GEOMETRY.dtype), GEOMETRY, value, 1.0, 1.0)


def _pipe(path: Path, whole: bytes) -> None:
    os.mkfifo(path, 0o600)


def _socket(path: Path, whole: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def _directory(path: Path, whole: bytes) -> None:
    path.mkdir()


def _link(path: Path, whole: bytes) -> None:
    path.with_name("." + path.name).write_bytes(whole)
    path.with_name("." + path.name).chmod(0o600)
    path.symlink_to(path.with_name("." + path.name))


def _second_name(path: Path, whole: bytes) -> None:
    path.with_name("." + path.name).write_bytes(whole)
    path.with_name("." + path.name).chmod(0o600)
    path.hardlink_to(path.with_name("." + path.name))


def _somebody_elses(path: Path, whole: bytes) -> None:
    path.write_bytes(whole)
    path.chmod(0o600)
    os.chown(path, NOBODY, NOBODY)


def _for_all(path: Path, whole: bytes) -> None:
    path.write_bytes(whole)
    path.chmod(0o666)


def _for_the_group(path: Path, whole: bytes) -> None:
    path.write_bytes(whole)
    path.chmod(0o660)


def _written(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


def _empty(path: Path, whole: bytes) -> None:
    _written(path, b"")


def _cut_off(path: Path, whole: bytes) -> None:
    _written(path, whole[: len(whole) - 4096])


def _cut_off_in_its_header(path: Path, whole: bytes) -> None:
    _written(path, whole[:80])


def _with_header(path: Path, whole: bytes, header: bytes) -> None:
    _written(path, whole[:64] + len(header).to_bytes(8, sys.byteorder) + header + bytes(len(whole)))


def _claims_more(path: Path, whole: bytes) -> None:
    length = int.from_bytes(whole[64:72], sys.byteorder)
    header = json.loads(whole[72 : 72 + length]) | {"capacity": 2**40}
    _with_header(path, whole, json.dumps(header).encode())


def _deep_header(path: Path, whole: bytes) -> None:
    _with_header(path, whole, b"[" * 3000)


def _other_header(path: Path, whole: bytes) -> None:
    _with_header(path, whole, b'{"geometry": [], "capacity": "many"}')


def _noise(path: Path, whole: bytes) -> None:
    _written(path, b"\xff" * len(whole))


NOT_OURS: list[Callable[[Path, bytes], None]] = [
    _pipe,
    _socket,
    _directory,
    _link,
    _second_name,
    _somebody_elses,
    _for_all,
    _for_the_group,
]
DAMAGED: list[Callable[[Path, bytes], None]] = [
    _empty,
    _cut_off,
    _cut_off_in_its_header,
    _claims_more,
    _deep_header,
    _other_header,
    _noise,
]


def _by(function: Callable[[Path, bytes], None]) -> str:
    return function.__name__.strip("_").replace("_", " ")


@pytest.fixture(params=[*NOT_OURS, *DAMAGED], ids=_by)
def foreign(request, ring, name) -> Iterator[Path]:
    """The youngest file of the ring's name, and of its process; it is none of ours, or damaged."""
    (ours,) = ring_files(f"{name}.")
    path = SHM / f"{PREFIX}{name}.{os.getpid()}-9999-{ring.token}"
    request.param(path, ours.read_bytes())
    if not path.is_symlink():
        os.utime(path, (2e9, 2e9))
    yield path
    for left in (path, path.with_name("." + path.name)):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)


def _within(seconds: float, function: Callable[[], object]) -> object:
    """Return what a function returns; a failure when it does not within a deadline."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(function()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, f"no answer within {seconds} s"
    return found[0]


def test_a_reader_passes_over_what_is_not_a_ring_of_ours(ring, name, foreign):
    view = _within(30, lambda: RingView(name, os.getpid()))
    assert isinstance(view, RingView)
    assert view.frame(0).unique_id == 7
    assert view.alive
    ring.put(_frame(8))
    assert (view.frame(1).image == 8).all()
    view.close()


def test_a_reader_follows_its_writer_past_what_is_not_a_ring_of_ours(ring, name, foreign):
    view = RingView(name, token=ring.token)
    ring.put(Frame(np.ones((4, 4), "|u1"), Geometry((4, 4), "|u1"), 9, 1.0, 1.0))
    assert _within(30, lambda: view.wait(1, timeout=20))
    assert view.frame(1).unique_id == 9
    view.close()


def test_the_list_of_rings_and_the_viewers_pass_over_what_is_not_a_ring_of_ours(ring, name, foreign):
    assert _within(30, rings)[name] == [os.getpid()]  # pyright: ignore[reportIndexIssue]
    candidates = Candidates(StreamSpec(name))
    _within(30, lambda: candidates.find() or True)
    view = candidates.view(candidates.choose(None))
    assert view is not None
    assert view.frame(0).unique_id == 7
    candidates.close()


@pytest.mark.parametrize("foreign", NOT_OURS, ids=_by, indirect=True)
def test_the_sweep_at_a_rings_start_leaves_alone_what_is_not_ours(ring, name, foreign):
    assert _within(30, lambda: sweep(PREFIX + name)) == []
    assert os.path.lexists(foreign)
    assert not is_written(foreign)


@pytest.mark.parametrize("foreign", DAMAGED, ids=_by, indirect=True)
def test_the_sweep_at_a_rings_start_removes_what_is_damaged_and_not_written(ring, name, foreign):
    assert _within(30, lambda: sweep(PREFIX + name)) == [foreign]
    assert len(ring_files(f"{name}.")) == 1


@pytest.mark.parametrize("foreign", [*NOT_OURS, *DAMAGED[1:]], ids=_by, indirect=True)
def test_what_is_passed_over_is_named_once(ring, name, foreign, caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            RingView(name).close()
    words = [record.getMessage() for record in caplog.records if foreign.name in record.getMessage()]
    assert len(words) == 1


def test_without_a_ring_of_ours_the_error_names_what_was_ignored(name):
    path = SHM / f"{PREFIX}{name}.1-0-0"
    path.write_bytes(b"BEAMRING" + bytes(8192))
    path.chmod(0o600)
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(RingError, match=rf"{name}: no ring of this name.*it belongs to uid {NOBODY}, not to us"):
        RingView(name)
    path.unlink()


def test_a_name_cannot_write_to_the_terminal(name, caplog):
    path = SHM / f"{PREFIX}{name}.1-\x1b]0;title\x07\n"
    path.mkdir()
    with pytest.raises(RingError, match="no ring of this name") as raised, caplog.at_level(logging.WARNING):
        RingView(name)
    assert "\x1b" not in str(raised.value) + caplog.text
    assert str(raised.value).isprintable()
    path.rmdir()


def test_so_many_foreign_files_that_they_could_fill_the_log_are_named_in_part(ring, name, caplog):
    paths = [SHM / f"{PREFIX}{name}.1-{number}-0" for number in range(200)]
    for path in paths:
        path.mkdir()
    with caplog.at_level(logging.WARNING):
        RingView(name).close()
    assert len(caplog.records) <= 50
    for path in paths:
        path.rmdir()


def test_a_flat_is_captured_from_our_ring_although_a_younger_foreign_one_has_its_name(ring, name):
    (ours,) = ring_files(f"{name}.")
    path = SHM / f"{PREFIX}{name}.1-0-0"
    _somebody_elses(path, ours.read_bytes())
    os.utime(path, (2e9, 2e9))
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.01):
            ring.put(_frame(5))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        flat = capture(name, "flat", 3)
    finally:
        done.set()
        writer.join()
        path.unlink()
    assert (flat.mean == 5).all()


def test_rings_of_users_that_are_named_count_as_ours(name):
    ring = Ring(name, slots=4)
    ring.put(_frame(3))
    (path,) = ring_files(f"{name}.")
    os.chown(path, NOBODY, NOBODY)
    code = "import sys; from beamstream.readers import RingView; print(RingView(sys.argv[1]).frame(0).unique_id)"
    command = [sys.executable, "-c", code, name]
    for owners, expected in (("", 1), ("1000," + str(NOBODY), 0)):
        environment = os.environ | {"BEAMSTREAM_RING_OWNERS": owners}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == expected, done.stderr
    ring.close()
