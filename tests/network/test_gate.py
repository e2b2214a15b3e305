"""Requests that the gate admits, and those that it refuses before a byte of their body is read."""

import json

import httpx
import psutil
import pytest
from serving import KEY, KEYS, READ_KEY, connect, gated, head, serving, status_of
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as websocket

from beamstream.network.sessions import Sessions

with_key = {"Authorization": f"Apikey {KEY}"}
with_read_key = {"X-API-KEY": READ_KEY}


@pytest.fixture
def address(app):
    with serving(gated(app)) as address:
        yield address


@pytest.fixture
def open_address(app):
    with serving(gated(app, anonymous_read=True)) as address:
        yield address


def test_what_is_named_and_open_takes_no_key_and_everything_else_does(address, app):
    assert httpx.get(f"http://{address}/").status_code == 200
    for method, path in (
        ("GET", "/data/a"),
        ("HEAD", "/data/a"),
        ("POST", "/"),
        ("GET", "/data"),
        ("GET", "/new/in/the/next/version"),
        ("OPTIONS", "/data/a"),
        ("TRACE", "/"),
        ("PUT", "/large"),
    ):
        for headers in (
            {},
            {"Authorization": f"Apikey {KEY[:-1]}"},
            {"Authorization": "Basic eDp5"},
            {"X-API-KEY": "wrong"},
        ):
            answer = httpx.request(method, f"http://{address}{path}", headers=headers)
            assert answer.status_code == 401, (method, path, headers)
            assert "www-authenticate" in answer.headers
    assert app.reached == ["GET /"]


def test_a_key_opens_what_its_scope_allows_and_shows_the_application_what_it_may(address):
    url = f"http://{address}"
    for headers, query in ((with_read_key, ""), ({}, f"?api_key={READ_KEY}")):
        assert httpx.get(f"{url}/data/a{query}", headers=headers).json()["scopes"] == ["read"]
        refused = httpx.put(f"{url}/data/a{query}", headers=headers, content=b"x")
        assert (refused.status_code, "may write" in refused.json()["detail"]) == (403, True)
    assert httpx.put(f"{url}/data/a", headers=with_key, content=b"xyz").json()["came"] == 3
    assert httpx.get(f"{url}/nothing", headers=with_key).status_code == 404
    answer = httpx.delete(f"{url}/data/a", headers=with_key)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST, PUT")


def test_open_reading_opens_what_is_meant_and_nothing_else(open_address):
    url = f"http://{open_address}"
    assert httpx.get(f"{url}/data/a").json()["scopes"] == ["read"]
    assert httpx.get(f"{url}/raw/a").status_code == 401
    assert httpx.put(f"{url}/data/a", content=b"x").status_code == 401
    assert httpx.get(f"{url}/data/a", headers={"X-API-KEY": "wrong"}).status_code == 401
    assert httpx.get(f"{url}/nothing").status_code == 404


@pytest.mark.parametrize("path", ["/data/../raw/x", "/data/%2e%2e/raw/x", "/data/a\\b", "/data/%00", "/data/./x"])
def test_a_path_that_leads_elsewhere_is_none(open_address, app, path):
    with connect(open_address) as connection:
        connection.sendall(head(open_address, f"GET {path}"))
        assert status_of(connection) == 404
    assert app.reached == []


def test_slashes_that_are_doubled_count_as_one_and_lead_to_no_other_rule(open_address, app):
    for path in ("//data//a", "/data/%2Fetc/passwd"):
        with connect(open_address) as connection:
            connection.sendall(head(open_address, f"GET {path}"))
            assert status_of(connection) == 200
    assert app.reached == ["GET /data/a", "GET /data/etc/passwd"]


@pytest.mark.parametrize("key", [{}, with_key])
def test_other_names_and_no_name_are_refused_with_and_without_a_key(app, key):
    with serving(gated(app, anonymous_read=True, hosts=["beamline-7"])) as address:
        port = address.rpartition(":")[2]
        for host in (
            "evil.example",
            f"evil.example:{port}",
            "127.0.0.1.evil.example",
            "localhost@evil",
            "[",
            "10.0.0.1",
        ):
            answer = httpx.get(f"http://{address}/data/a", headers={**key, "Host": host})
            assert answer.status_code == 421, host
            assert "allowed_hosts" in answer.json()["detail"]
            assert httpx.get(f"http://{address}/", headers={"Host": host}).status_code == 421
        for host in ("localhost", f"LOCALHOST.:{port}", "127.0.0.1:1", "[::1]:80", "Beamline-7:8710"):
            assert httpx.get(f"http://{address}/data/a", headers={**key, "Host": host}).status_code == 200, host
        for lines in ([], ["Host: localhost", "Host: evil.example"]):
            with connect(address) as connection:
                connection.sendall("\r\n".join(["GET /data/a HTTP/1.1", *lines, "", ""]).encode())
                assert status_of(connection) == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_from_elsewhere_changes_nothing_and_gets_no_socket(open_address, app, origin):
    headers = {**with_key, "Origin": origin}
    assert httpx.put(f"http://{open_address}/data/a", headers=headers, content=b"x").status_code == 403
    with pytest.raises(InvalidStatus, match="403"), websocket(f"ws://{open_address}/ws", origin=origin):
        pass
    assert app.reached == []
    with websocket(f"ws://{open_address}/ws", origin=f"http://{open_address}") as page:
        page.send("hello")
        assert page.recv(timeout=20) == "hello"


def test_a_websocket_takes_a_key_and_its_refusal_is_words(address):
    with pytest.raises(InvalidStatus) as refused, websocket(f"ws://{address}/ws"):
        pass
    response = refused.value.response
    assert (response.status_code, "wants its key" in json.loads(response.body)["detail"]) == (403, True)
    with websocket(f"ws://{address}/ws", additional_headers=with_read_key) as page:
        page.send("hello")
        assert page.recv(timeout=20) == "hello"


def test_a_session_is_for_our_own_pages_alone(app):
    sessions = Sessions(KEYS, "session")
    known = KEYS.identify(READ_KEY)
    assert known is not None
    token = sessions.open(known, ("read",)).partition(";")[0]
    with serving(gated(app, sessions=lambda cookies, _scope: sessions.check(cookies))) as address:
        url, cookie = f"http://{address}/data/a", {"Cookie": f"a=b; {token}"}
        assert httpx.get(url, headers=cookie).json()["scopes"] == ["read"]
        assert httpx.get(url, headers={"Cookie": token[:-1]}).status_code == 401
        assert httpx.get(url, headers={**cookie, "Origin": "http://127.0.0.1:1"}).status_code == 401
        assert httpx.put(url, headers={**cookie, "Origin": f"http://{address}"}).status_code == 403
        assert httpx.get(url, headers={**cookie, "X-API-KEY": "wrong"}).status_code == 401


@pytest.mark.parametrize("length", ["Content-Length: 300000000", "Transfer-Encoding: chunked"])
def test_a_large_body_without_a_key_is_refused_before_it_comes_and_costs_no_memory(address, app, length):
    before = psutil.Process().memory_info().rss
    with connect(address) as connection:
        connection.sendall(head(address, "PUT /large", length))
        assert status_of(connection) == 401  # nothing of it was sent yet
        piece = (b"100000\r\n" if "chunked" in length else b"") + bytes(1 << 20)
        piece += b"\r\n" if "chunked" in length else b""
        try:
            for _ in range(280):
                connection.sendall(piece)
        except ConnectionError:
            pass  # it has waited long enough
        assert psutil.Process().memory_info().rss - before < 50 << 20
    assert app.reached == []
    assert httpx.get(f"http://{address}/").status_code == 200


def test_a_body_that_is_larger_than_its_rule_allows_is_refused_with_and_without_a_length(address, app):
    url = f"http://{address}/data/a"
    refused = httpx.put(url, headers=with_key, content=bytes((1 << 20) + 1))
    assert (refused.status_code, "send less" in refused.json()["detail"]) == (413, True)
    assert app.reached == []
    assert httpx.put(url, headers=with_key, content=bytes(1 << 20)).json()["came"] == 1 << 20
    assert httpx.put(url, headers=with_key, content=(bytes(1000) for _ in range(1000))).json()["came"] == 1_000_000
    refused = httpx.put(url, headers=with_key, content=(bytes(1 << 16) for _ in range(40)))
    assert refused.status_code == 413
    assert httpx.get(f"http://{address}/").status_code == 200


def test_a_client_that_expects_100_continue_is_refused_without_a_key(address):
    with connect(address) as connection:
        connection.sendall(head(address, "PUT /large", "Content-Length: 5", "Expect: 100-continue"))
        assert status_of(connection) == 401
    with connect(address) as connection:
        connection.sendall(
            head(address, "PUT /large", "Content-Length: 5", "Expect: 100-continue", f"X-API-KEY: {KEY}")
        )
        assert status_of(connection) == 100
