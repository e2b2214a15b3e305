"""The relay: what would make the cloud's client give up does not reach it."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest

from beamstream.rheed import relay as relay_module
from beamstream.rheed.relay import PRESIGN, Relay
from beamstream.rheed.service import Service

QUERY = f"{PRESIGN}?original_filename=frames.zarr/frames/c/0/0/0&num_parts=1&staging_type=stream"


class Books:
    """What the relay wants to know and to say."""

    def __init__(self) -> None:
        self.data_id = ""
        self.saved = asyncio.Event()
        self.there: list[int] = []

    async def begun(self, data_id: str) -> None:
        self.data_id = data_id
        await self.saved.wait()

    def arrived(self, chunk: int) -> None:
        self.there.append(chunk)


class Bench:
    """A relay, its books, and a client with the relay's key."""

    def __init__(self, relay: Relay, books: Books, service: Service, client: httpx.AsyncClient) -> None:
        self.relay, self.books, self.service, self.client = relay, books, service, client

    async def begin(self) -> str:
        self.books.saved.set()
        doc = {"data_item_name": "x", "rotational_period": None, "rotations_per_min": 0.0, "fps_capture_rate": 10.0}
        return (await self.client.post("/rheed/stream/", json=doc)).json()

    def presign(self, data_id: str) -> Awaitable[httpx.Response]:
        about = dict.fromkeys(("raw_frame_rate", "avg_frame_rate"), "10.0") | {
            "data_id": data_id,
            "data_stream": "rheed",
            "is_stream": "1",
            "is_rotating": "0",
            "chunk_size": "20",
            "dims": "20,6,8",
            "start_unix_ms_utc": "1750000000000",
            "end_unix_ms_utc": "1750000002000",
        }
        return asyncio.ensure_future(self.client.post(QUERY, json=about))

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)


@pytest.fixture
def bench(faults, ingest):
    """Run a test on a relay before the proxy of the service."""

    def run(test: Callable[[Bench], Awaitable[None]]) -> None:
        async def running() -> None:
            service = Service(faults.url, str(ingest.key_file))
            relay = Relay(service, books := Books())
            async with service, relay:
                client = httpx.AsyncClient(base_url=relay.url, headers={"X-API-KEY": relay.key}, timeout=30)
                async with client:
                    await test(Bench(relay, books, service, client))

        asyncio.run(running())

    return run


def test_only_its_own_client_is_answered(bench, faults, ingest):
    async def test(b: Bench) -> None:
        for key in ("", ingest.key, b.relay.key[:-1]):
            answer = await b.client.get("/tags/", headers={"X-API-KEY": key})
            assert answer.status_code == 401
        assert (await b.client.get("/tags/")).status_code == 200
        assert (await b.client.get("/projects/")).status_code == 404
        assert faults.count("/") == 1

    bench(test)


def test_the_stream_is_made_once_and_its_name_is_saved_before_it_is_heard(bench, faults):
    async def test(b: Bench) -> None:
        doc = {"data_item_name": "x", "rotational_period": None, "rotations_per_min": 0.0, "fps_capture_rate": 10.0}
        asking = asyncio.ensure_future(b.client.post("/rheed/stream/", json=doc))
        await b.until(lambda: b.books.data_id)
        assert not (await asyncio.wait({asking}, timeout=0.1))[0]
        b.books.saved.set()
        assert (await asking).json() == b.books.data_id
        again = await b.client.post("/rheed/stream/", json=doc | {"data_item_name": "once more"})
        assert again.json() == b.books.data_id
        assert faults.count("/rheed/stream/") == 1

    bench(test)


@pytest.mark.parametrize("status", [401, 404, 409, 429, 503, "cut"])
def test_what_would_end_a_chunk_is_asked_again_instead(bench, faults, status):
    async def test(b: Bench) -> None:
        data_id = await b.begin()
        faults.answer = lambda method, path: status if "upload_urls" in path else None
        asking = b.presign(data_id)
        await b.until(lambda: b.service.trouble and faults.count("upload_urls") >= (1 if status != "cut" else 2))
        assert b.service.trouble.phase == ("refused" if status in (401, 404, 409) else "offline")
        assert not asking.done()
        faults.answer = lambda method, path: None
        assert (await asking).json()[0]["url"].startswith(faults.url)
        assert b.service.trouble is None
        assert (b.service.refusals > 0) == (status in (401, 404, 409))

    bench(test)


def test_who_is_told_to_come_again_finds_the_answer_that_came_meanwhile(bench, faults, monkeypatch):
    monkeypatch.setattr(relay_module, "HOLD", 0.2)

    async def test(b: Bench) -> None:
        data_id = await b.begin()
        faults.answer = lambda method, path: 1.0 if "upload_urls" in path else None
        assert (await b.presign(data_id)).status_code == 503
        while (answer := await b.presign(data_id)).status_code == 503:
            pass
        assert answer.json()[0]["url"]
        assert faults.count("upload_urls") == 1

    bench(test)


def test_requests_are_held_while_the_service_is_away_and_go_on_when_it_is_back(bench, faults):
    async def test(b: Bench) -> None:
        data_id = await b.begin()
        away: list[float] = []
        b.service.on_return = away.append
        await asyncio.to_thread(faults.go)
        asking = b.presign(data_id)
        await b.until(lambda: b.service.trouble)
        assert "is not to be reached" in b.service.trouble.words
        faults.come()
        assert (await asking).status_code == 200
        assert len(away) == 1
        assert b.service.refusals == 0

    bench(test)


def test_a_link_that_is_refused_is_no_reason_to_end_the_stream(bench, faults):
    async def test(b: Bench) -> None:
        data_id = await b.begin()
        faults.answer = lambda method, path: 404 if "data-items" in path else None
        answer = await b.client.post("/tags/data-items/", json={"data_ids": [data_id], "tag_ids": ["t"]})
        assert answer.status_code == 200
        await b.relay.linked()
        assert faults.count("/tags/data-items/") == 1

    bench(test)


def test_the_stream_ends_when_everything_has_arrived_and_not_before(bench, faults):
    async def test(b: Bench) -> None:
        data_id = await b.begin()
        assert (await b.client.post(f"/rheed/stream/{data_id}/end")).status_code == 503
        assert faults.count("/end") == 0
        b.relay.may_end = True
        answers = iter([503, 503])
        faults.answer = lambda method, path: next(answers, None) if path.endswith("/end") else None
        assert (await b.client.post(f"/rheed/stream/{data_id}/end")).status_code == 200
        assert b.relay.ended
        assert faults.count("/end") == 3

    bench(test)


def test_readings_are_taken_at_once_and_delivered_until_they_arrive(bench, faults):
    async def test(b: Bench) -> None:
        b.books.saved.set()
        doc = {"stream_name": "t", "points_per_chunk": 50}
        begun = (await b.client.post("/tool-state/stream/initialize", json=doc)).json()
        faults.answer = lambda method, path: 401 if "chunk" in path else None
        channel = {"timestamps": [1.75e9], "values": [300.0], "units": "K"}
        chunk = {"data_id": begun["data_id"], "chunk_index": 0, "channels": {"heater": channel}}
        for _ in range(3):  # its client tries three times
            assert (await b.client.post("/tool-state/stream/chunk/multi", content=json.dumps(chunk))).status_code == 200
        await b.until(lambda: faults.count("chunk"))
        assert b.books.there == []
        faults.answer = lambda method, path: None
        await b.until(lambda: b.books.there)
        assert b.books.there == [0]

    bench(test)
