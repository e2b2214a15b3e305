"""An archive is its owner's alone, or a group's that was named; one that is open already stays so, with a warning."""

import grp
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # for impostor
from archive_session import Camera, fly, make_engine
from impostor import become_nobody

from beamstream.archive.address import find_server
from beamstream.archive.catalog import wait_for_run
from beamstream.archive.layout import Layout, read_key
from beamstream.archive.process import running_server
from beamstream.archive.server import ArchiveServer
from beamstream.cli.checks.archive import archive as check
from beamstream.config import Config
from beamstream.errors import ArchiveError
from beamstream.ingest.process import IngestProcess
from beamstream.private import make_directories
from beamstream.watching.presence import PresenceFile

KEYS = ("api_key", "ingest_key", "live_key")


def modes(directory: Path) -> dict[str, int]:
    """Return the modes of all that is in a directory, by name from there."""
    found = [directory, *directory.rglob("*")]
    return {str(path.relative_to(directory)): stat.S_IMODE(path.stat().st_mode) for path in found}


def as_nobody(act: Callable[[], object], groups: tuple[int, ...] = ()) -> str:
    """Return what another user gets of something: its text, or the name of the error."""
    if os.geteuid():
        pytest.fail("only root can act as somebody else: run this as root")
    ours, theirs = os.pipe()
    if not (pid := os.fork()):
        try:
            become_nobody(groups)
            result = str(act())
        except BaseException as error:
            result = f"{type(error).__name__}: {error}"
        os.write(theirs, result.encode()[:4000])
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        result = pipe.read()
    os.waitpid(pid, 0)
    return result


def used(layout: Layout, connected: Callable[..., object]) -> dict[str, int]:
    """Record a run into an archive that is served, with all that services and sessions make; return `modes`."""
    session = PresenceFile(layout.directory)
    session.write("idle", None)
    camera = Camera("cam", layout.recordings, num=4)
    (uid,) = make_engine(layout.journal)(fly([camera]))  # pyright: ignore[reportGeneralTypeIssues]
    with IngestProcess(layout.directory):
        wait_for_run(connected(layout.directory), uid)
    found = modes(layout.directory)
    session.remove()
    return found


def test_all_that_services_and_sessions_make_is_for_its_owner_alone(tmp_path, connected):
    layout = Layout(tmp_path / "new" / "archive")
    before = os.umask(0o022)
    try:
        with running_server(layout.directory):
            found = used(layout, connected)
    finally:
        os.umask(before)
    assert found["."] == found["recordings"] == found["journal"] == found["sessions"] == found["ingest"] == 0o700
    recorded = {name for name in found if name.startswith("recordings/")}
    assert recorded, "nothing was recorded"
    for name in ("catalog.db", "tables.duckdb", "server.lock", "server.log", "server.json", "ingest/lock", *KEYS[:2]):
        assert found[name] == 0o600, name
    assert not {name: oct(mode) for name, mode in found.items() if mode & 0o077 and name not in recorded}


def test_a_group_that_was_named_has_all_but_the_keys_and_other_users_nothing(place, connected):
    group = grp.getgrgid(1)
    layout = Layout(place / "archive")
    with running_server(layout.directory, group=group.gr_name):
        found = used(layout, connected)
        assert found["."] == found["journal"] == found["sessions"] == found["recordings"] == 0o2770
        assert all(found[name] == 0o600 for name in KEYS[:2])
        assert found["server.json"] == found["server.lock"] == found["catalog.db"] == found["ingest/lock"] == 0o660
        assert not [name for name, mode in found.items() if mode & 0o007 and not name.startswith("recordings/")]
        assert layout.catalog.stat().st_gid == group.gr_gid
        (recorded,) = layout.recordings.rglob("*.h5")
        assert as_nobody(recorded.stat).startswith("PermissionError")
        assert as_nobody(layout.address.read_text).startswith("PermissionError")
        member = (group.gr_gid,)
        assert as_nobody(lambda: find_server(layout).pid, member) == str(find_server(layout).pid)
        assert as_nobody(layout.key.read_text, member).startswith("PermissionError")
        assert as_nobody(lambda: (layout.journal / "theirs").touch(), member) == "None"


def test_an_archive_that_was_private_can_be_given_to_a_group_and_a_group_that_is_none_is_named(tmp_path):
    layout = Layout(tmp_path / "archive")
    layout.prepare()
    file = layout.journal / "some.jsonl"
    file.touch(0o600)
    layout.key.touch(0o600)
    layout.prepare(grp.getgrgid(1).gr_name)
    assert (modes(layout.directory)["journal/some.jsonl"], file.stat().st_gid) == (0o660, 1)
    assert (modes(layout.directory)["api_key"], layout.key.stat().st_gid) == (0o600, os.getegid())
    layout.prepare()
    assert modes(layout.directory)["."] == 0o2770, "a start without a group closes it"
    with pytest.raises(ArchiveError, match="group 'no such group' asked for, this machine has none"):
        layout.prepare("no such group")


def test_an_archive_that_is_open_to_others_stays_so_with_a_warning_but_for_its_secrets(
    tmp_path, connected, caplog, wait_for
):
    layout = Layout(tmp_path / "archive")
    before = os.umask(0o022)
    try:
        for directory in (layout.directory, layout.recordings, layout.journal):
            directory.mkdir()
        layout.lock.touch(0o644)
        with ArchiveServer(layout.directory) as server:
            camera = Camera("cam", layout.recordings, num=4)
            (uid,) = make_engine(layout.journal)(fly([camera]))
            wait_for_run(connected(layout.directory), uid)
            filed = layout.journal / "filed" / f"{uid}.jsonl"
            wait_for(filed.exists, timeout=30, what="the run to be filed")
            found = modes(layout.directory)
    finally:
        os.umask(before)
    assert server.url
    assert (
        f"{layout.directory} has mode 755, other users of this machine can read its runs; chmod 700 it" in caplog.text
    )
    assert (found["."], found[f"journal/filed/{uid}.jsonl"]) == (0o755, 0o644)
    assert (found["server.lock"], found["server.json"], found["api_key"]) == (0o600, 0o600, 0o600)
    assert camera.path.stat().st_mode & 0o777 == 0o644


def test_the_doctor_names_an_archive_that_is_open_to_others(tmp_path):
    layout = Layout(tmp_path / "archive")
    layout.prepare()
    config = Config.model_validate({"archive": {"directory": layout.directory, "port": 0}})
    assert not [finding for finding in check(config) if "mode 755" in finding.text]
    layout.directory.chmod(0o755)
    (found,) = [finding for finding in check(config) if "mode 755" in finding.text]
    assert "chmod 700 it" in found.advice


def test_recordings_in_a_directory_of_their_own_keep_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        chosen = tmp_path / "chosen"
        chosen.mkdir()
        make_directories(chosen / "2026" / "11")
    finally:
        os.umask(before)
    assert modes(chosen) == {".": 0o755, "2026": 0o755, "2026/11": 0o755}


def test_a_directory_for_everybody_with_the_sticky_bit_is_safe_for_secrets(tmp_path):
    layout = Layout(tmp_path / "archive")
    layout.prepare()
    layout.directory.chmod(0o1777)  # what a file system in memory begins with
    with ArchiveServer(layout.directory, feed=False) as server:
        assert find_server(layout).url == server.url
    layout.key.unlink()
    layout.key.write_text("a" * 64)
    layout.key.chmod(0o600)
    os.chown(layout.key, 65534, 65534)
    with pytest.raises(ArchiveError, match="belongs to user 65534"):
        read_key(layout.key)
