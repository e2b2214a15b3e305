"""What anybody may ask of an archive without a key costs those who have one little."""

import select
import socket
from contextlib import ExitStack

import httpx
import pytest

from beamstream.archive.layout import read_key
from beamstream.archive.open_answers import OpenAnswers
from beamstream.archive.process import running_server
from beamstream.network.rules import GRANTED, READ

MANY = 500


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    directory = tmp_path_factory.mktemp("archive")
    with running_server(directory, feed=False) as address:
        yield address.url, read_key(directory / "api_key")


@pytest.mark.parametrize("path", ["/", "/ui/", "/uploads"])
def test_who_shows_a_key_is_answered_before_many_who_show_none(archive, path):
    url, key = archive
    at = httpx.URL(url)
    fresh = 0
    with ExitStack() as stack:
        asked = [stack.enter_context(socket.create_connection((at.host, at.port), 30)) for _ in range(MANY)]
        for connection in asked:
            fresh += 1  # no two requests have the same headers: none is answered by repeating an answer
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {at.netloc.decode()}\r\nX-N: {fresh}\r\n\r\n".encode())
        answer = httpx.get(f"{url}/api/v1/search/", headers={"Authorization": f"Apikey {key}"}, timeout=60)
        assert answer.status_code == 200
        answered = select.select(asked, [], [], 0)[0]
        assert sum(connection.recv(12, socket.MSG_DONTWAIT).endswith(b"200") for connection in answered) < MANY // 2


def test_an_answer_is_repeated_without_what_was_for_one_client(archive):
    url, _ = archive
    for path in ("/", "/healthz", "/api/v1/"):
        first, again = (httpx.get(f"{url}{path}", headers={"Accept-Language": path}) for _ in range(2))
        assert (again.status_code, again.content) == (first.status_code, first.content) == (200, first.content)
        assert "set-cookie" not in again.headers
        assert "x-tiled-request-id" not in again.headers
        assert again.headers["content-type"] == first.headers["content-type"]


class Counting:
    """An application that numbers its answers."""

    def __init__(self, cookie: bytes = b"", status: int = 200, size: int = 1) -> None:
        self.asked = 0
        self._headers = [(b"set-cookie", cookie)] if cookie else []
        self._status, self._size = status, size

    async def __call__(self, _scope, _receive, send) -> None:
        self.asked += 1
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": str(self.asked).encode() * self._size})


async def ask(app, path: str = "/", query: bytes = b"", granted: object = (), **headers: str) -> bytes:
    body = b""

    async def send(message) -> None:
        nonlocal body
        body += message.get("body", b"")

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "scheme": "http", "path": path, "headers": named}
    await app({**scope, "query_string": query, GRANTED: granted}, None, send)
    return body


def test_only_what_depends_on_nothing_else_is_repeated_and_not_for_long():
    import asyncio

    now = [0.0]

    async def asking() -> None:
        app = OpenAnswers(Counting(), ["/"], lambda: now[0])
        assert [await ask(app), await ask(app), await ask(app, user_agent="x")] == [b"1"] * 3
        others = [{"path": "/ui"}, {"query": b"a=b"}, {"cookie": "a=b"}, {"authorization": "Apikey x"}, {"accept": "x"}]
        assert [await ask(app, **other) for other in [*others, {"granted": {READ}}]] == [
            b"2",
            b"3",
            b"4",
            b"5",
            b"6",
            b"7",
        ]
        now[0] += 6.0
        assert await ask(app) == b"8"
        for own in (Counting(cookie=b"a=b"), Counting(status=500), Counting(size=1 << 17)):
            app = OpenAnswers(own, ["/"])
            await ask(app), await ask(app)
            assert own.asked == 2
        app = OpenAnswers(counted := Counting(cookie=b"tiled_csrf=x"), ["/"])
        for number in range(200):
            await ask(app, accept=str(number))
        assert counted.asked == 200
        assert len(app._answers) == 64

    asyncio.run(asking())
