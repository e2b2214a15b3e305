"""Every route and method that a server has: closed without a key, unless it stands in the list of what is open."""

import re
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from serving import KEY, KEYS, READ_KEY, serving
from tiled.client import from_uri
from tiled.client.utils import ClientError
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as websocket
from zarr.core.sync import cleanup_resources

from beamstream.archive.layout import Layout
from beamstream.ingest.process import IngestProcess
from beamstream.live import LiveServer
from beamstream.live.hub_settings import HubSettings
from beamstream.live.page import LivePage

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE")
OPEN = {
    *("/", "/ui", "/ui/x", "/static/x", "/favicon.ico", "/healthz", "/tiled-ui-settings"),
    *("/api/v1/", "/uploads", "/uploads/static/x"),
}
READ = {
    *(f"/api/v1/{each}/x" for each in ("search", "search-deep", "distinct", "metadata", "revisions", "node/full")),
    *(f"/api/v1/{each}/x" for each in ("asset/bytes", "asset/manifest", "array/block", "array/full", "ragged/full")),
    *(f"/api/v1/{each}/x" for each in ("awkward/full", "awkward/buffers", "table/partition", "table/full")),
    *("/api/v1/container/full/x", "/uploads/status"),
}
POST_TO_READ = {f"/api/v1/{each}/x" for each in ("awkward/buffers", "table/partition", "table/full", "container/full")}
OF_PAGES = ("/", "/streams", "/state", "/unlock", "/streams/x/", "/streams/x/frame", "/streams/x/data", "/data")


def walk(routes: Iterable[Any], below: str = "") -> Iterator[str]:
    """Return the addresses of a table of routes, mounted ones as well."""
    for route in routes:
        path = getattr(route, "path", None)
        inner = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
        if path is not None:
            yield re.sub(r"\{[^}]*\}", "x", below + path) + ("/x" if type(route).__name__ == "Mount" else "")
        if inner:
            yield from walk(inner, below + (path or getattr(route, "prefix", "")))


@pytest.fixture(scope="module", params=[False, True], ids=["with-a-key", "anonymous"])
def archive(request, tmp_path_factory) -> Iterator[tuple[str, set[str], bool]]:
    """An archive, all addresses that its tables have, and whether reading is open."""
    from beamstream.archive.app import make_app

    layout = Layout(tmp_path_factory.mktemp("archive"))
    layout.prepare()
    gate = make_app(layout, KEY, [], request.param)
    gate._keys = KEYS
    tiled: Any = gate._app._app._app  # behind what repeats answers, and what shows it a key
    paths = {re.sub(r"\{[^}]*\}", "x", path) for path in tiled.openapi()["paths"]} | set(walk(tiled.routes))
    paths = {path for path in paths if path.startswith("/")}
    assert len([path for path in paths if path.startswith("/zarr/")]) > 5
    assert len(paths) > 60
    with serving(gate, lifespan=True) as address:
        yield f"http://{address}", paths, request.param


def statuses(url: str, paths: Iterable[str], **headers: str) -> dict[tuple[str, str], int]:
    with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        return {(method, path): client.request(method, path).status_code for path in paths for method in METHODS}


def test_the_archive_is_closed_without_a_key_but_for_what_is_listed(archive):
    url, paths, anonymous = archive
    for (method, path), status in statuses(url, paths).items():
        open_ = path in OPEN and method in ("GET", "HEAD")
        readable = anonymous and (
            (path in READ and method in ("GET", "HEAD")) or (path in POST_TO_READ and method == "POST")
        )
        if open_ or readable:
            assert status not in (401, 403), (method, path)
        else:
            assert status in ((401, 404, 405) if anonymous else (401,)), (method, path, status)
    for (method, path), status in statuses(url, paths, Authorization=f"Apikey {KEY[:-1]}").items():
        assert status == 401 or (path in OPEN and method in ("GET", "HEAD")), (method, path, status)


def test_a_key_that_may_read_reads_and_changes_nothing(archive):
    url, paths, _ = archive
    found = statuses(url, paths, Authorization=f"Apikey {READ_KEY}")
    del found["POST", "/uploads/session"]  # changes nothing, and checks the key itself
    for (method, path), status in found.items():
        if method in ("PUT", "PATCH", "DELETE") or (method == "POST" and path not in POST_TO_READ):
            assert status in (403, 404, 405), (method, path, status)
        else:
            assert status not in (401, 403), (method, path, status)
    assert {path for (method, path), status in found.items() if method == "GET" and status == 405} <= {
        path for path in paths if "GET" not in path
    }


def test_what_the_archive_answers_besides_is_closed_even_with_its_key(archive):
    url = archive[0]
    for path in ("/docs", "/redoc", "/openapi.json", "/api/graphql", "/api/v1/metrics", "/api/v1/auth/whoami"):
        assert httpx.get(url + path, headers={"X-API-KEY": KEY}).status_code == 404, path
        assert httpx.post(url + path, headers={"X-API-KEY": KEY}, json={}).status_code == 404, path


@pytest.mark.leaks_by_intention  # threads of the server, which is for all tests of this file
def test_clients_of_tiled_do_what_their_key_may(archive):
    url = f"{archive[0]}/api/v1"
    writer = from_uri(url, api_key=KEY)
    writer.write_array(np.arange(6), key="numbers", metadata={"colour": "blue"})
    reader = from_uri(f"{url}/metadata/numbers", api_key=READ_KEY)
    try:
        assert reader.read().tolist() == list(range(6))
        assert reader.metadata["colour"] == "blue"
        with pytest.raises(ClientError, match="may write"):
            reader.update_metadata({"colour": "red"})
        shape = httpx.get(f"{archive[0]}/zarr/v2/numbers/.zarray", headers={"X-API-KEY": READ_KEY}).json()["shape"]
        assert shape == [6]
        assert httpx.get(f"{archive[0]}/zarr/v2/numbers/.zarray").status_code == 401
        writer.delete_contents("numbers", external_only=False)
    finally:
        for client in (writer, reader):
            client.context.close()
        cleanup_resources()


@pytest.mark.parametrize("path", ["/ui//etc/passwd", "/ui/%2Fetc/passwd", "/ui/../../../../../../../etc/passwd"])
def test_no_file_of_the_machine_is_served(archive, path):
    host, port = httpx.URL(archive[0]).host, httpx.URL(archive[0]).port
    import http.client

    for key in ({}, {"X-API-KEY": KEY}):
        connection = http.client.HTTPConnection(host, port, timeout=30)
        connection.request("GET", path, headers=key)
        assert b"root:" not in connection.getresponse().read()
        connection.close()


def test_a_subscription_to_the_archive_takes_a_key(archive):
    url, _, anonymous = archive
    at = f"{url.replace('http', 'ws', 1)}/api/v1/stream/single/x"
    with pytest.raises(InvalidStatus) as refused, websocket(at, additional_headers={"Authorization": "Apikey 0"}):
        pass
    assert refused.value.response.status_code == 403
    if not anonymous:
        with pytest.raises(InvalidStatus), websocket(at):
            pass


@pytest.fixture(scope="module")
def ingest(tmp_path_factory) -> Iterator[IngestProcess]:
    with IngestProcess(tmp_path_factory.mktemp("archive")) as process:
        yield process


def test_the_ingest_is_closed_without_its_key_but_for_a_clock_and_for_tokens(ingest):
    from beamstream.ingest.app import Service

    uploads: Any = SimpleNamespace(put=print)  # only the addresses are wanted
    routes = Service(*[uploads] * 5).routes()
    paths = {*walk(routes), "/", "/docs", "/anything", "/upload", "/gateway"}
    for key in ({}, {"X-API-KEY": ingest.key[:-1]}):
        for (method, path), status in statuses(ingest.url, paths, **key).items():
            if (method, path) in {("GET", "/gateway/time"), ("HEAD", "/gateway/time")}:
                assert status == 200
            elif (method, path) == ("PUT", "/upload/x"):
                assert status == 403  # it is the token that is none
            else:
                assert status == 401, (method, path, status)


OF_THE_FORM = {f"/static/{name}" for name in ("page.css", "controls.css", "key.css", "icon.svg")}


@pytest.fixture(scope="module", params=["page", "spectra"])
def page(request) -> Iterator[tuple[str, set[str]]]:
    """A page that others may reach, and so wants its key; and what is open of it."""
    if request.param == "page":
        with LivePage(HubSettings([{"name": "x", "about": {}}], host="0.0.0.0", port=0, key=KEY)) as page:
            yield f"http://127.0.0.1:{page.port}", {"/static/page.css", "/static/unlock.js"}
    else:
        with LiveServer("nobody-writes-this", host="0.0.0.0", port=0, key=KEY) as page:
            yield f"http://127.0.0.1:{page.port}", OF_THE_FORM


def test_a_page_that_others_reach_is_closed_without_its_key(page):
    url, open_ = page
    hub = "/static/unlock.js" in open_
    paths = {*OF_PAGES, "/refresh", "/status", "/static/page.css", "/static/unlock.js", "/nothing", "/ws"}
    for headers in ({}, {"Authorization": f"Bearer {KEY[:-1]}"}):
        for (method, path), status in statuses(url, paths, **headers).items():
            if path in open_ and method in ("GET", "HEAD"):
                assert status == 200
            elif (method, path) == ("POST", "/unlock") and hub:
                assert status == 422  # nothing was posted
            else:
                assert status == 401, (method, path, status)
    for path in ("/ws", "/streams/x/ws"):
        with pytest.raises(InvalidStatus), websocket(url.replace("http", "ws", 1) + path):
            pass


def test_every_link_of_a_page_leads_to_what_is_there_with_the_key_alone(page):
    url, open_ = page
    hub = "/static/unlock.js" in open_
    seen: set[str] = set()
    todo = ["/", *(["/streams/x/"] if hub else [])]
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}) as known:
        while todo:
            path = todo.pop()
            if path in seen:
                continue
            seen.add(path)
            answer = known.get(path)
            assert answer.status_code == 200, path
            links = re.findall(r"""(?:href|src|action)="([^"]+)"|from "([^"]+)"|import "([^"]+)\"""", answer.text)
            todo += [str(httpx.URL(path).join(next(filter(None, link)))) for link in links if "javascript" not in link]
            without = httpx.get(url + path).status_code
            assert without == (200 if path in open_ or (hub and path.startswith("/static/")) else 401), path
    assert len(seen) > 5
