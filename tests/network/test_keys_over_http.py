"""Keys at real servers: archive, ingest and live page of one archive, asked as their clients ask."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import httpx
import numpy as np
import psutil
import pytest
from tiled.client import from_uri
from tiled.client.utils import ClientError
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as websocket

from beamstream.archive.layout import Layout, make_key, read_key
from beamstream.archive.process import running_server
from beamstream.archive.server import ArchiveServer
from beamstream.ingest.process import IngestProcess
from beamstream.live.hub_settings import HubSettings
from beamstream.live.page import LivePage
from beamstream.network.keys import Keys
from beamstream.network.tickets import new_ticket, ticket_page

BEYOND = "0.0.0.0"


@dataclass
class Servers:
    """One archive with everything that answers for it."""

    archive: SimpleNamespace
    ingest: IngestProcess
    page: LivePage
    network_page: LivePage
    keys: Keys

    def read(self, key: str | None) -> int:
        return self._ask("GET", "/api/v1/search/", key)

    def write(self, key: str | None) -> int:
        node = {"structure_family": "container", "metadata": {}, "data_sources": [], "specs": []}
        return self._ask("POST", "/api/v1/metadata/", key, json=node)

    def upload(self, key: str | None) -> int:
        return httpx.get(f"{self.ingest.url}/tags/", headers={"X-API-KEY": key} if key else {}).status_code

    def look(self, key: str | None) -> int:
        """Ask a page that listens beyond loopback."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.get(f"http://127.0.0.1:{self.network_page.port}/streams", headers=headers).status_code

    def controls(self, key: str | None = None, cookie: str = "") -> bool:
        """Return whether the page allows to capture and record."""
        headers = {"Authorization": f"Bearer {key}"} if key else {"Cookie": cookie}
        address = f"ws://127.0.0.1:{self.page.port}/streams/cam/ws"
        try:
            page = websocket(address, additional_headers=headers, proxy=None)
        except InvalidStatus:
            return False  # a key that is none, or is for something else
        with page:
            page.send(json.dumps({"do": "stop", "id": 1}))
            return next(text["words"] for text in _texts(page) if text["is"] == "answer") != (
                "this takes the key; unlock the page"
            )

    def _ask(self, method: str, path: str, key: str | None, **more) -> int:
        headers = {"Authorization": f"Apikey {key}"} if key else {}
        return httpx.request(method, f"{self.archive.url}{path}", headers=headers, **more).status_code


def _texts(page) -> Iterator[dict]:
    while True:
        message = page.recv(timeout=30)
        if isinstance(message, str):
            yield json.loads(message)


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[Servers]:
    directory = tmp_path_factory.mktemp("archive")
    layout, stream = Layout(directory), {"name": "cam", "about": {}}
    layout.prepare()
    with (
        running_server(directory) as address,
        IngestProcess(directory) as ingest,
        LivePage(_settings(layout, stream)) as page,
        LivePage(_settings(layout, stream, host=BEYOND)) as network_page,
    ):
        archive = SimpleNamespace(url=address.url, layout=layout)
        yield Servers(archive, ingest, page, network_page, Keys(directory))


def _settings(layout: Layout, *streams: dict, host: str = "127.0.0.1") -> HubSettings:
    return HubSettings(streams, host, 0, make_key(layout.live_key), str(layout.directory))


@pytest.fixture
def tiled_client(servers) -> Iterator[Callable]:
    made = []

    def client(key: str, path: str = ""):
        made.append(from_uri(f"{servers.archive.url}/api/v1{path}", api_key=key))
        return made[-1]

    yield client
    for each in made:
        each.context.close()


REFUSED = (401, 403)


@pytest.mark.parametrize("scope", ["read", "write", "upload", "control"])
def test_a_key_does_what_it_is_for_and_nothing_else(servers, scope):
    key = servers.keys.create([scope])
    reads = scope != "upload"
    assert servers.read(key) == 200 if reads else servers.read(key) in REFUSED
    assert servers.look(key) == 200 if reads else servers.look(key) in REFUSED
    assert servers.write(key) == 200 if scope == "write" else servers.write(key) in REFUSED
    assert servers.upload(key) == 200 if scope == "upload" else servers.upload(key) in REFUSED
    assert servers.controls(key) == (scope == "control")


def test_the_keys_of_the_archive_itself_do_what_they_did(servers):
    layout = servers.archive.layout
    key, ingest_key, live_key = map(read_key, (layout.key, layout.ingest_key, layout.live_key))
    assert (servers.read(key), servers.write(key), servers.upload(ingest_key), servers.look(live_key)) == (200,) * 4
    assert servers.controls(live_key)
    for other in (None, ingest_key, live_key, "f" * 64, key[:-1]):
        assert servers.read(other) in REFUSED
        assert servers.write(other) in REFUSED
    for other in (None, live_key, "f" * 64):
        assert servers.upload(other) in REFUSED
    assert not servers.controls(ingest_key)


@pytest.mark.parametrize("end", ["expired", "revoked"])
def test_a_key_that_is_over_is_refused_by_all_servers_at_once(servers, end, wait_for, tmp_path):
    key = servers.keys.create(["read", "write", "upload", "control"])
    assert (servers.read(key), servers.write(key), servers.upload(key), servers.look(key)) == (200,) * 4
    assert servers.controls(key)
    end_key(servers, key, end)
    assert {servers.read(key), servers.write(key), servers.upload(key), servers.look(key)} <= set(REFUSED)
    assert not servers.controls(key)


@pytest.mark.leaks_by_intention  # tiled's client keeps a thread that has written
def test_tileds_own_client_reads_with_a_key_that_reads_and_cannot_write(servers, tiled_client):
    write, read = (servers.keys.create([scope]) for scope in ("write", "read"))
    tiled_client(write).write_array(np.arange(6), key="numbers", metadata={"a": 1})
    writer, reader = (tiled_client(key, "/metadata/numbers") for key in (write, read))
    assert reader.read().tolist() == [0, 1, 2, 3, 4, 5]
    catalog = tiled_client(read)
    for attempt in (
        lambda: catalog.write_array(np.arange(3), key="more"),
        lambda: reader.update_metadata({"a": 2}),
        lambda: catalog.delete_contents("numbers"),
        lambda: reader.write(np.zeros(6, int)),
    ):
        with pytest.raises(ClientError, match=r"401|403"):
            attempt()
    assert writer.refresh().metadata["a"] == 1
    assert writer.read().tolist() == [0, 1, 2, 3, 4, 5]


def test_a_key_that_reads_follows_a_run_and_another_does_not(servers):
    address = f"{servers.archive.url.replace('http', 'ws')}/api/v1/stream/single/"

    def opened(**headers: str) -> bool:
        try:
            with websocket(address, additional_headers=headers, proxy=None) as socket:
                socket.ping().wait(10)
                return True
        except InvalidStatus:
            return False

    assert opened(Authorization=f"Apikey {servers.keys.create(['read'])}")
    assert not opened(Authorization=f"Apikey {servers.keys.create(['upload'])}")
    assert not opened(Authorization=f"Apikey {'f' * 64}")
    cookie = session(servers, servers.keys.create(["read"])).headers["set-cookie"].partition(";")[0]
    assert opened(Cookie=cookie)
    assert opened(Cookie=cookie, Origin=servers.archive.url)
    assert not opened(Cookie=cookie, Origin="http://127.0.0.1:1"), "a page of another port"


@pytest.mark.parametrize("shown", ["key", "session"])
@pytest.mark.parametrize("end", ["expired", "revoked"])
def test_a_subscription_that_is_open_ends_with_its_key(servers, shown, end):
    key = servers.keys.create(["read"])
    other = servers.keys.create(["read"])
    cookie = session(servers, key).headers["set-cookie"].partition(";")[0]
    headers = {"Cookie": cookie} if shown == "session" else {"Authorization": f"Apikey {key}"}
    address = f"{servers.archive.url.replace('http', 'ws')}/api/v1/stream/single/"
    stays = {"Authorization": f"Apikey {other}"}
    with (
        websocket(address, additional_headers=headers, proxy=None) as socket,
        websocket(address, additional_headers=stays, proxy=None) as staying,
    ):
        end_key(servers, key, end)
        assert closed(socket) == 1008
        staying.ping().wait(30)
        servers.keys.revoke(other[:8])
        assert closed(staying) == 1008


def test_a_page_that_is_open_beyond_this_machine_ends_with_its_session(servers):
    key = servers.keys.create(["control"])
    looking = httpx.post(f"http://127.0.0.1:{servers.network_page.port}/unlock", json={"key": key})
    headers = {"Cookie": looking.headers["set-cookie"].partition(";")[0]}
    address = f"ws://127.0.0.1:{servers.network_page.port}/streams/cam/ws"
    with websocket(address, additional_headers=headers, proxy=None) as page:
        servers.keys.revoke(key[:8])
        assert closed(page) == 1008


def end_key(servers: Servers, key: str, end: str) -> None:
    if end == "revoked":
        servers.keys.revoke(key[:8])
    else:
        file = servers.archive.layout.directory / "keys" / f"{key[:8]}.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"expires": 1.0}))


def closed(socket) -> int | None:
    """Return the code with which the server closes a websocket, whatever it sends before."""
    try:
        while True:
            socket.recv(timeout=60)
    except ConnectionClosed as end:
        return end.rcvd and end.rcvd.code


# sessions of browsers


def session(servers: Servers, key: str) -> httpx.Response:
    return httpx.post(f"{servers.archive.url}/uploads/session", headers={"Authorization": f"Apikey {key}"})


def test_the_cookie_of_the_archive_reads_does_not_hold_the_key_and_is_worthless_elsewhere(servers, tmp_path):
    key = read_key(servers.archive.layout.key)
    answer = session(servers, key)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly; SameSite=Strict" in cookie
    assert key not in str(answer.headers)
    cookies = {"Cookie": cookie.partition(";")[0]}
    url = servers.archive.url
    assert httpx.get(f"{url}/api/v1/search/", headers=cookies).status_code == 200
    assert httpx.get(f"{url}/uploads/status", headers=cookies).status_code == 200
    node = {"structure_family": "container", "metadata": {}, "data_sources": [], "specs": []}
    for way in ("POST", "PUT", "PATCH", "DELETE"):
        assert httpx.request(way, f"{url}/api/v1/metadata/", headers=cookies, json=node).status_code in (*REFUSED, 405)
    assert httpx.get(f"{servers.ingest.url}/tags/", headers=cookies).status_code == 401
    assert httpx.get(f"http://127.0.0.1:{servers.network_page.port}/streams", headers=cookies).status_code == 401
    assert not servers.controls(cookie=cookies["Cookie"])
    with ArchiveServer(tmp_path / "other", feed=False) as other:
        renamed = cookies["Cookie"].partition("=")[2]
        name = session_name(other)
        for cookie in (cookies["Cookie"], f"{name}={renamed}"):
            assert httpx.get(f"{other.url}/api/v1/search/", headers={"Cookie": cookie}).status_code == 401


def session_name(server: ArchiveServer) -> str:
    answer = httpx.post(
        f"{server.url}/uploads/session", headers={"Authorization": f"Apikey {read_key(server.layout.key)}"}
    )
    return answer.headers["set-cookie"].partition("=")[0]


def test_another_user_of_this_machine_has_no_use_for_a_cookie_that_he_got_hold_of(servers):
    cookie = session(servers, read_key(servers.archive.layout.key)).headers["set-cookie"].partition(";")[0]
    live = httpx.post(f"{servers.page.url}unlock", json={"key": read_key(servers.archive.layout.live_key)})
    beyond = f"http://127.0.0.1:{servers.network_page.port}/"
    looking = httpx.post(f"{beyond}unlock", json={"key": read_key(servers.archive.layout.live_key)})

    def status(url: str, cookie: str, user: int) -> str:
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*"]
        command += ["-H", f"Cookie: {cookie}", url]
        return subprocess.run(command, user=user, group=user, capture_output=True, text=True, timeout=30).stdout

    for url, cookie_of in (
        (f"{servers.archive.url}/api/v1/search/", cookie),
        (f"{beyond}streams", looking.headers["set-cookie"].partition(";")[0]),
    ):
        assert status(url, cookie_of, os.geteuid()) == "200"
        assert status(url, cookie_of, 12345) == "401"
    assert servers.controls(cookie=live.headers["set-cookie"].partition(";")[0])


@pytest.mark.parametrize("page", ["/", "/ui/", "/ui/browse/x", "/uploads"])
def test_a_key_in_the_address_of_a_page_is_removed_from_it(servers, page):
    key = servers.keys.create(["read"])
    with httpx.Client(base_url=servers.archive.url) as browser:
        answer = browser.get(page, params={"api_key": key, "a": "b"})
        assert answer.status_code == 303
        assert key not in str(answer.headers)
        assert answer.next_request.url.path == page
        assert dict(answer.next_request.url.params) == {"a": "b"}
        assert browser.get("/api/v1/search/").status_code == 200, "by its session"
        servers.keys.revoke(key[:8])
        assert browser.get("/api/v1/search/").status_code == 401, "which ends with the key"


def test_a_key_in_the_address_of_an_answer_opens_no_session(servers):
    key = read_key(servers.archive.layout.key)
    answer = httpx.get(f"{servers.archive.url}/api/v1/search/", params={"api_key": key})
    assert answer.status_code == 200
    assert key not in str(answer.headers)
    assert "beamstream" not in str(answer.headers.get_list("set-cookie"))


def test_a_page_of_somebody_else_gets_no_session(servers):
    headers = {"Authorization": f"Apikey {servers.keys.create(['read'])}", "Origin": "http://evil.example"}
    answer = httpx.post(f"{servers.archive.url}/uploads/session", headers=headers)
    assert answer.status_code == 403
    assert session(servers, servers.keys.create(["upload"])).status_code == 403


def test_control_ends_with_the_key_of_the_session_while_the_page_is_open(servers):
    key = servers.keys.create(["control"])
    answer = httpx.post(f"{servers.page.url}unlock", json={"key": key})
    assert answer.json() == {"may_control": True}
    cookie = answer.headers["set-cookie"].partition(";")[0]
    assert servers.controls(cookie=cookie)
    address = f"ws://127.0.0.1:{servers.page.port}/streams/cam/ws"
    with websocket(address, additional_headers={"Cookie": cookie}, proxy=None) as page:
        assert next(text["may_control"] for text in _texts(page) if text["is"] == "status")
        servers.keys.revoke(key[:8])
        assert any(not text["may_control"] for text in _texts(page) if text["is"] == "status")
        page.send(json.dumps({"do": "stop", "id": 1}))
        assert next(text for text in _texts(page) if text["is"] == "answer")["words"].startswith("this takes the key")
    looking = httpx.post(f"{servers.page.url}unlock", json={"key": servers.keys.create(["read"])})
    assert looking.json() == {"may_control": False}
    assert not servers.controls(cookie=looking.headers["set-cookie"].partition(";")[0])
    assert httpx.post(f"{servers.page.url}unlock", json={"key": servers.keys.create(["upload"])}).status_code == 403


def test_no_secret_is_in_a_log_or_on_a_command_line(servers, caplog):
    layout = servers.archive.layout
    made = [servers.keys.create([scope]) for scope in ("read", "write", "upload", "control")]
    for key in made:
        servers.read(key), servers.write(key), servers.upload(key), servers.look(key)
        httpx.get(f"{servers.archive.url}/ui", params={"api_key": key})
        httpx.get(f"{servers.archive.url}/nowhere", params={"api_key": key})
    secrets = [*made, *map(read_key, (layout.key, layout.ingest_key, layout.live_key))]
    ours = psutil.Process().children(recursive=True)
    shown = [command_line(process) for process in [psutil.Process(os.getpid()), *ours]]
    shown += [path.read_text(errors="replace") for path in layout.directory.rglob("*.log*")]
    shown += [servers.page.error_output(), servers.network_page.error_output(), servers.ingest.error_output()]
    shown += [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    shown += [path.read_text() for path in (layout.address, layout.ingest_address)]
    for text in shown:
        assert not any(secret in text for secret in secrets)


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended
        return ""


# the browser that opens by itself


@pytest.mark.leaks_by_intention  # the browser of all tests has other processes afterwards
@pytest.mark.parametrize("beyond", [False, True], ids=["loopback", "network"])
def test_a_browser_that_opens_the_file_has_control_and_no_secret_is_left(servers, browser, tmp_path, beyond):
    port = (servers.network_page if beyond else servers.page).port
    url, key = f"http://127.0.0.1:{port}/", read_key(servers.archive.layout.live_key)
    ticket = new_ticket(key, port)
    file = ticket_page(tmp_path / "open.html", url, ticket, "cam")
    first, second = browser.new_context(), browser.new_context()
    tab, asked, received = first.new_page(), [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("websocket", lambda socket: socket.on("framereceived", lambda text: received.append(str(text))))
    tab.goto(file)
    tab.wait_for_url(f"{url}streams/cam/")
    tab.wait_for_function("document.getElementById('recording') !== null")
    deadline = time.monotonic() + 30
    while not any('"may_control":true' in text for text in received):
        assert time.monotonic() < deadline, received
        tab.wait_for_timeout(50)  # playwright receives frames only while it waits
    shown = [*asked, str(first.cookies()), tab.url, tab.evaluate("JSON.stringify([localStorage, sessionStorage])")]
    assert not any(secret in text for text in shown for secret in (ticket, key))
    late = second.new_page()
    late.goto(file)
    late.wait_for_url(f"{url}streams/cam/")
    assert second.cookies() == [], "the ticket is of no use any more"
    first.close()
    second.close()
