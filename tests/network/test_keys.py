"""Keys on the disk: their scopes, their end, and files that others could have written."""

import json
import multiprocessing
import os
import socket
import stat
import time
from pathlib import Path

import pytest

from beamstream.errors import ArchiveError
from beamstream.network.keys import Keys
from beamstream.network.peers import ELSEWHERE, peer_of
from beamstream.network.rules import CONTROL, READ, SCOPES, UPLOAD, WRITE
from beamstream.network.sessions import LIFETIME, Sessions
from beamstream.network.tickets import Tickets, new_ticket, ticket_page


@pytest.fixture
def keys(tmp_path) -> Keys:
    return Keys(tmp_path)


def file_of(keys_of: Path, text: str) -> Path:
    return keys_of / "keys" / f"{text[:8]}.json"


def test_a_key_has_the_scope_it_was_made_for_and_to_write_or_control_is_to_read(keys):
    may = {scope: keys.check(keys.create([scope])) for scope in SCOPES}
    assert may == {READ: {READ}, WRITE: {WRITE, READ}, UPLOAD: {UPLOAD}, CONTROL: {CONTROL, READ}}
    assert keys.check(keys.create([UPLOAD, READ])) == {UPLOAD, READ}


def test_other_texts_are_no_keys(keys):
    text = keys.create([READ])
    wrong = ["", text[:-1], f"{text}0", text[:8], text[:8] + "0" * 56, text.upper(), "../" + text, "\ud800", "é" * 64]
    assert [keys.check(each) for each in wrong] == [None] * len(wrong)
    assert Keys(None).check(text) is None
    assert Keys(None, {"": SCOPES}).check("") is None


def test_a_key_ends_by_its_time_or_when_it_is_revoked_and_for_everybody(tmp_path, keys, wait_for):
    server = Keys(tmp_path)  # another process has an object of its own
    short, long = keys.create([READ], time.time() + 0.5), keys.create([READ], time.time() + 60)
    assert server.check(short) == server.check(long) == {READ}
    wait_for(lambda: server.check(short) is None, what="the end of the key")
    keys.revoke(long[:8])
    assert server.check(long) is None
    assert [(key.id, key.expired) for key in keys.list()] == [(short[:8], True)]
    with pytest.raises(ArchiveError, match=rf"key '{long[:8]}' to be revoked, there is none; see"):
        keys.revoke(long[:8])
    with pytest.raises(ArchiveError, match="there is none"):
        keys.revoke("../../x")


def test_a_file_holds_only_the_hash_of_its_key_and_only_its_owner_can_read_it(tmp_path, keys):
    text = keys.create([READ], note="Ana's notebook")
    file = file_of(tmp_path, text)
    assert text not in file.read_text()
    assert text[8:] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("wrong", ["mode", "link", "fifo", "owner", "cut", "scope"])
def test_a_file_that_others_could_have_written_or_that_is_none_of_ours_is_no_key(tmp_path, keys, wrong):
    text = keys.create([READ])
    file = file_of(tmp_path, text)
    match wrong:
        case "mode":
            file.chmod(0o620)
        case "link":
            file.symlink_to(file.rename(tmp_path / "elsewhere"))
        case "fifo":
            file.unlink()
            os.mkfifo(file, 0o600)
        case "owner":
            os.chown(file, 12345, -1)  # tests run as root
        case "cut":
            file.write_text(file.read_text()[:50])
        case "scope":
            file.write_text(json.dumps(json.loads(file.read_text()) | {"scopes": ["everything"]}))
    assert keys.check(text) is None
    (listed,) = keys.list()
    assert str(file) in listed.trouble


def test_the_administrators_keys_belong_to_whose_archive_it_is(tmp_path):
    (tmp_path / "archive").mkdir()
    os.chown(tmp_path / "archive", 12345, 12345)
    text = Keys(tmp_path / "archive").create([READ])
    file = file_of(tmp_path / "archive", text)
    assert file.stat().st_uid == file.parent.stat().st_uid == 12345
    assert Keys(tmp_path / "archive").check(text) == {READ}


def test_when_a_key_was_used_is_known(keys):
    used, unused = keys.create([READ], note="used"), keys.create([READ], note="unused")
    before = time.time()
    keys.check(used)
    keys.check(unused[:8] + "0" * 56)
    listed = {key.note: key for key in keys.list()}
    assert listed["used"].used == pytest.approx(before, abs=5)
    assert listed["unused"].used is None


@pytest.mark.parametrize(
    ("scopes", "note", "words"),
    [(["root"], "", "'root' asked for; there are read"), ([], "", "no scope given"), ([READ], "a\nb", "one line")],
)
def test_a_key_that_cannot_be_made_is_refused_with_a_reason(keys, scopes, note, words):
    with pytest.raises(ArchiveError, match=words):
        keys.create(scopes, note=note)
    assert keys.list() == []


def test_where_nothing_can_be_kept_there_is_no_key(tmp_path, keys):
    (tmp_path / "keys").write_text("a file")
    with pytest.raises(ArchiveError, match="keys cannot be made"):
        keys.create([READ])


def _create(directory: Path) -> str:
    return Keys(directory).create([READ])


def test_many_can_make_keys_at_a_time(tmp_path, keys):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        made = pool.map(_create, [tmp_path] * 40)
    assert {key.id for key in keys.list()} == {text[:8] for text in made}
    assert all(keys.check(text) for text in made)


# sessions


def cookie_of(session: str) -> str:
    return session.partition(";")[0]


def test_a_session_has_no_more_scopes_than_its_key_and_ends_with_it(keys):
    sessions = Sessions(keys, "beamstream-test")
    text = keys.create([CONTROL])
    reading = sessions.open(keys.identify(text), {READ})
    assert text not in reading
    assert "; HttpOnly; SameSite=Strict" in reading
    assert "Secure" not in reading
    assert sessions.open(keys.identify(text), {READ}, secure=True).endswith("; Secure")
    assert sessions.check(f"a=b; {cookie_of(reading)}; c=d") == {READ}
    assert sessions.check(cookie_of(sessions.open(keys.identify(text), {READ, CONTROL, WRITE}))) == {READ, CONTROL}
    keys.revoke(text[:8])
    assert sessions.check(cookie_of(reading)) is None


def test_a_session_is_for_who_opened_it(keys):
    sessions = Sessions(keys, "beamstream-test")
    cookie = cookie_of(sessions.open(keys.identify(keys.create([READ])), {READ}, peer="user 1000"))
    assert sessions.check(cookie, "user 1000") == {READ}
    assert sessions.check(cookie, "user 1001") is sessions.check(cookie, ELSEWHERE) is None


def test_the_kernel_knows_whose_a_connection_is_as_long_as_it_is_open():
    for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        with (
            socket.create_server((host, 0), family=family) as server,
            socket.create_connection(server.getsockname()[:2]) as client,
        ):
            scope = {"client": client.getsockname()[:2], "server": server.getsockname()[:2]}
            assert peer_of(scope) == f"user {os.geteuid()}"
            accepted, _ = server.accept()
            with accepted:
                client.close()
                assert peer_of(scope) == ELSEWHERE
    for scope in (
        {},
        {"client": ("192.0.2.1", 9), "server": ("127.0.0.1", 9)},
        {"client": ("x", 1), "server": ("y", 1)},
    ):
        assert peer_of(scope) == ELSEWHERE


def test_a_session_is_short_and_of_no_use_elsewhere():
    now = 0.0
    keys = Keys(None, {"the key of two servers": (READ,)})
    first, second = (Sessions(keys, "beamstream-test", lambda: now) for _ in range(2))
    known = keys.identify("the key of two servers")
    cookie = cookie_of(first.open(known, {READ}))
    assert first.check(cookie) == {READ}
    assert second.check(cookie) is None
    assert first.check(cookie[:-1]) is None
    assert first.check(cookie.replace("beamstream-test", "other")) is None
    now = LIFETIME
    assert first.check(cookie) is None


def test_who_opens_many_sessions_takes_no_memory_for_ever():
    keys = Keys(None, {"key": (READ,)})
    sessions = Sessions(keys, "beamstream-test")
    cookies = [cookie_of(sessions.open(keys.identify("key"), {READ})) for _ in range(3000)]
    assert sessions.check(cookies[-1]) == {READ}
    assert sessions.check(cookies[0]) is None


# tickets


def test_a_ticket_is_for_one_server_and_for_once():
    here, there = Tickets("key", 8712), Tickets("key", 8713)
    ticket = new_ticket("key", 8712)
    assert not there.take(ticket)
    assert not here.take(ticket.replace(".8712.", ".0."))
    assert here.take(ticket)
    assert not here.take(ticket)
    assert not Tickets("", 8712).take(new_ticket("", 8712))


def test_a_ticket_is_in_a_file_that_only_its_owner_can_read(tmp_path):
    file = tmp_path / "a page?.html"
    ticket = new_ticket("key", 8712)
    for stream in ("cam", "cam2"):
        address = ticket_page(file, "http://127.0.0.1:8712/", ticket, stream)
        assert address.startswith("file:///")
        assert ticket not in address
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert 'action="http://127.0.0.1:8712/enter"' in file.read_text()
        assert f'value="{stream}"' in file.read_text()
