"""No key is sent to another user of the machine who listens where the server of an archive was."""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # for impostor
from impostor import become_nobody, impostor, redirecting

from beamstream.archive.address import Address, find_server, server_and_key
from beamstream.archive.catalog import connect
from beamstream.archive.layout import Layout, make_key, read_key
from beamstream.archive.process import ask, running_server
from beamstream.archive.server import ArchiveServer
from beamstream.cli.archive import Archive
from beamstream.errors import ArchiveError, BeamstreamError
from beamstream.live.beside import ArchiveServer as ArchiveBeside
from beamstream.locks import open_locked, unlock
from beamstream.network.address import new_secret
from beamstream.network.proof import PATH, Prover, answer_to, proved_connection


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "archive")
    layout.prepare()
    return layout


def open_as_before(layout: Layout) -> None:
    """Make an archive as open as those of earlier versions were."""
    layout.directory.chmod(0o755)
    layout.lock.chmod(0o644)


def killed(layout: Layout, clients: Callable[[Address], None] = lambda _: None) -> Address:
    """Serve an archive, and kill its server; return where that was."""
    with running_server(layout.directory, feed=False) as address:
        clients(address)
        os.kill(address.pid, signal.SIGKILL)
    return address


def test_no_client_sends_a_key_to_another_user_who_took_the_port_and_the_lock_of_a_killed_server(
    place, connected, monkeypatch
):
    layout = Layout(place / "archive")
    before: list[Any] = []
    address = killed(layout, lambda _: before.extend([connected(layout.directory), Archive(layout.directory)]))
    open_as_before(layout)
    key = read_key(layout.key)
    (layout.directory / "uploads").mkdir()
    port = int(address.url.rpartition(":")[2])
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_TIMEOUT", 0.5)
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 1)
    with impostor(port, lock=layout.lock) as other:
        for client in (find_server, server_and_key, lambda layout: connect(layout.directory)):
            with pytest.raises(ArchiveError, match="cannot prove to be the server that was started there"):
                client(layout)
        with pytest.raises(ArchiveError, match="cannot prove"):
            Archive(layout.directory)
        with pytest.raises(ArchiveError):
            connect(layout.directory, key=key)
        beside = ArchiveBeside(layout.directory)
        beside.document()
        beside.uploads(address.url)
        assert ask(Address(address.url, 1, new_secret()), "/api/v1/", key, 5.0) is None
        # clients that were connected when the server lived
        tiled, http_client = before
        with pytest.raises(Exception):  # noqa: B017, tiled's
            list(tiled)
        with pytest.raises(OSError, match="cannot prove"):
            tiled.subscribe()._websocket.connect(key)  # as one that was open connects again
        with http_client, pytest.raises(ArchiveError, match="cannot prove"):
            http_client.get("/search/")
        received = other.close()
    assert PATH.encode() in received, "no client demanded a proof"
    assert key.encode() not in received


def test_a_session_does_not_send_the_key_of_its_environment_to_where_an_archive_was_expected(tmp_path, monkeypatch):
    from beamstream.config import Config
    from beamstream.instrument.access import ArchiveAccess

    monkeypatch.setenv("BEAMSTREAM_API_KEY", "k" * 32)
    with impostor() as other:
        archive = {"directory": tmp_path / "archive", "port": other.port, "start": "no"}
        access = ArchiveAccess(Config.model_validate({"archive": archive}))
        with pytest.raises(ArchiveError, match="nobody serves"):
            access.client()
        access.close()
        assert b"kkkk" not in other.close()


def test_a_question_that_is_passed_on_to_the_true_server_elsewhere_proves_nothing(layout):
    with ArchiveServer(layout.directory, feed=False) as server:
        true = Address.read(layout.address)
        proved_connection(true, 10.0).close()
        port = int(server.url.rpartition(":")[2])
        with impostor(relay=port) as other:  # at an address that the server had once
            stale = Address(f"http://127.0.0.1:{other.port}", true.pid, true.secret)
            with pytest.raises(OSError, match="cannot prove"):
                proved_connection(stale, 10.0)
            assert PATH.encode() in other.close()


def test_who_serves_is_found_whatever_its_process_number_is_here_and_without_its_lock(layout):
    """As from another container: there it has another number, and locks of another kernel are not seen."""
    with ArchiveServer(layout.directory, feed=False) as server:
        true = Address.read(layout.address)
        Address(true.url, 1, true.secret).write(layout.address)
        layout.lock.rename(layout.lock.with_suffix(".away"))
        assert find_server(layout).url == server.url
        layout.lock.with_suffix(".away").rename(layout.lock)


def test_an_address_of_an_earlier_version_is_refused_by_name(layout):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        layout.address.write_text(f'{{"url": "http://127.0.0.1:{sock.getsockname()[1]}", "pid": 1}}\n')
        layout.address.chmod(0o600)
        lock = open_locked(layout.lock)
        with pytest.raises(ArchiveError, match="earlier version; start that server again"):
            find_server(layout)
        unlock(lock)


@pytest.mark.parametrize("mode", [0o644, 0o606, 0o666])
def test_an_address_that_others_can_read_or_write_is_not_believed(layout, mode):
    Address("http://127.0.0.1:9", 1, new_secret()).write(layout.address)
    assert layout.address.stat().st_mode & 0o777 == 0o600
    layout.address.chmod(mode)
    with pytest.raises(ArchiveError, match=rf"has mode {mode:o}, others may have read it"):
        find_server(layout)


def test_an_archive_that_everybody_may_write_in_has_no_secrets(layout):
    make_key(layout.key)
    layout.directory.chmod(0o777)
    for act in (lambda: read_key(layout.key), lambda: make_key(layout.live_key), ArchiveServer(layout.directory).start):
        with pytest.raises(ArchiveError, match="has mode 777, everybody may replace what is in it"):
            act()
    Address("http://127.0.0.1:9", 1, new_secret()).write(layout.address)
    with pytest.raises(ArchiveError, match="has mode 777"):
        find_server(layout)


def test_a_directory_of_another_user_is_no_place_for_a_key(layout):
    if os.geteuid():
        pytest.fail("only root can give a directory away: run this as root")
    os.chown(layout.directory, 65534, -1)
    with pytest.raises(ArchiveError, match="belongs to user 65534"):
        ArchiveServer(layout.directory).start()
    assert not layout.key.exists()
    Address("http://127.0.0.1:9", 1, new_secret()).write(layout.address)
    with pytest.raises(ArchiveError, match="belongs to user 65534"):
        connect(layout.directory, key="k" * 32)


def test_a_key_that_another_user_made_is_refused_and_a_fifo_is_not_waited_for(layout):
    if os.geteuid():
        pytest.fail("only root can give a file away: run this as root")
    make_key(layout.key)
    os.chown(layout.key, 65534, -1)
    with pytest.raises(ArchiveError, match="belongs to user 65534, who may have made it"):
        read_key(layout.key)
    os.mkfifo(layout.live_key, 0o600)
    with pytest.raises(ArchiveError, match="is no file"):
        read_key(layout.live_key)


def test_a_server_that_does_not_answer_is_not_waited_for(layout):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        Address(f"http://127.0.0.1:{silent.getsockname()[1]}", 1, new_secret()).write(layout.address)
        with pytest.raises(ArchiveError, match="has ended"):
            find_server(layout, timeout=0.2)


def test_a_redirect_takes_no_key_to_another_server(monkeypatch):
    key = "k" * 32
    with impostor() as other, redirecting(f"http://127.0.0.1:{other.port}/api/v1/") as url:
        with contextlib.suppress(BeamstreamError), Archive(url, key) as archive:
            archive.get("/search/")
        with contextlib.suppress(ArchiveError):
            connect(url, key=key)
        assert key.encode() not in other.close()


@pytest.mark.parametrize("bad", ["", "short", "a" * 101, "a b", "\0" * 20])
def test_a_server_computes_nothing_for_what_is_no_nonce(bad):
    import asyncio
    from urllib.parse import quote

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def nothing(*_: Any) -> None:
        raise AssertionError("passed on")

    scope = {"type": "http", "path": PATH, "method": "GET", "query_string": f"nonce={quote(bad)}".encode()}
    address = Address("http://127.0.0.1:9", 1, "secret")
    asyncio.run(Prover(nothing, address)(scope, nothing, send))
    assert sent[0]["status"] == 400
    assert answer_to(bad, address).encode() not in sent[1]["body"]


def test_another_user_cannot_hold_the_locks_of_an_archive(place):
    layout = Layout(place / "archive")
    layout.prepare()
    layout.directory.chmod(0o755)
    unlock(open_locked(layout.lock))
    assert layout.lock.stat().st_mode & 0o777 == 0o600
    if not (pid := os.fork()):
        try:
            become_nobody()
            os.open(layout.lock, os.O_RDONLY)
        except PermissionError:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == (0 if os.geteuid() == 0 else 1)
