"""What was acknowledged is there after every kill, and a run goes on where it was."""

import json
import random
import socket
import threading
from urllib.parse import urlsplit

import httpx
import numpy as np
import zarr
from by_hand import START, movie, shard_of

from beamstream.archive.documents import Tail
from beamstream.archive.recovery import recover

FILM = movie(60)


def part(number: int) -> np.ndarray:
    return FILM[number * 10 : number * 10 + 10]


def documents(ingest, run):
    return list(Tail(ingest.layout.journal / f"{run}.jsonl").read())


def test_a_killed_ingest_goes_on_with_the_same_run_and_repeats_nothing(own, by_hand):
    data_id = by_hand(own).begin()
    for number in range(3):
        service = by_hand(own)  # connections are gone
        assert service.send(data_id, number, part(number)).status_code == 200
        own.restart()
        assert by_hand(own).send(data_id, number, part(number)).status_code == 200
    assert by_hand(own).end(data_id)["again"] == 3
    own.restart()
    assert np.array_equal(zarr.open_array(own.stream(data_id), mode="r")[:], FILM[:30])
    told = documents(own, data_id)
    assert [d.name for d in told[:5]] == ["start", "descriptor", "stream_resource", "stream_resource", "stream_datum"]
    assert len({json.dumps(d.doc["uid"]) for d in told}) == len(told)
    for resource in told[2:4]:
        rows = [d.doc["indices"] for d in told if d.doc.get("stream_resource") == resource.doc["uid"]]
        assert [(r["start"], r["stop"]) for r in rows] == [(n * 10, n * 10 + 10) for n in range(3)]
    assert [d.name for d in told[-3:]] == ["descriptor", "event", "stop"]


def test_an_address_outlives_a_restart_and_half_an_upload_does_not(own, by_hand, wait_for):
    service = by_hand(own)
    data_id = service.begin()
    url = service.url(data_id, 0, (10, 12, 20))
    at = urlsplit(url)
    with socket.create_connection((at.hostname, at.port), timeout=10) as half:
        half.sendall(
            f"PUT {at.path} HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Length: 2000\r\n\r\n".encode() + bytes(500)
        )
        incoming = own.layout.ingest / "incoming"
        wait_for(lambda: list(incoming.iterdir()), timeout=20, what="an upload under way")
        own.restart()
    assert list(incoming.iterdir()) == []
    assert by_hand(own).status(data_id)["chunks"] == 0
    assert httpx.put(url, content=shard_of(part(0)), timeout=30).status_code == 200


def test_kills_at_any_moment_lose_nothing_that_was_acknowledged(own, by_hand):
    data_id = by_hand(own).begin()
    chance = random.Random(5)
    acknowledged: set[int] = set()
    ended = threading.Event()

    def sends() -> None:
        while len(acknowledged) < 6 and not ended.is_set():
            number = chance.choice(sorted(set(range(6)) - acknowledged))
            try:
                service = by_hand(own)
                if service.send(data_id, number, part(number)).status_code == 200:
                    acknowledged.add(number)
            except httpx.HTTPError:
                ended.wait(0.02)

    sender = threading.Thread(target=sends)
    sender.start()
    try:
        for _ in range(4):
            ended.wait(chance.uniform(0.0, 0.1))
            known = set(acknowledged)
            own.restart()
            stored = by_hand(own).status(data_id)["chunks"]
            assert stored >= len(known)
        sender.join(60)
    finally:
        ended.set()
        sender.join()
    assert by_hand(own).end(data_id)["rows"] == 60
    assert np.array_equal(zarr.open_array(own.stream(data_id), mode="r")[:], FILM)
    ends = [d.doc["indices"]["stop"] for d in documents(own, data_id) if d.name == "stream_datum"]
    assert ends == sorted(ends)
    assert ends[-2:] == [60, 60]


def test_the_real_client_bridges_a_kill_and_a_standstill(own, real, by_hand, wait_for):
    client = real(own)
    data_id = client.do("initialize", fps=5.0, rotations_per_min=0.0, chunk_size=10, stream_name="film")
    client.push(data_id, 0, part(0), START)
    wait_for(lambda: by_hand(own).status(data_id)["chunks"] == 1, timeout=30, what="the first chunk")
    own.kill()
    for number in (1, 2):
        client.push(data_id, number, part(number), START + 2000 * number)
    own.start()
    own.suspend()
    client.push(data_id, 3, part(3), START + 6000)
    own.resume()
    said = client.do("finalize", data_id=data_id)
    assert (said["chunks_uploaded"], said["chunks_not_uploaded"]) == (4, 0)
    assert np.array_equal(zarr.open_array(own.stream(data_id), mode="r")[:], FILM[:40])


def test_an_open_run_is_alive_while_the_ingest_is_and_goes_on_in_another_when_it_was_closed(own, by_hand):
    data_id = by_hand(own).begin()
    by_hand(own).send(data_id, 0, part(0))
    assert [found.outcome for found in recover(own.layout.journal)] == ["alive"]
    own.kill()
    assert [found.outcome for found in recover(own.layout.journal)] == ["closed"]
    own.start()
    service = by_hand(own)
    assert service.send(data_id, 1, part(1)).status_code == 200
    run = service.end(data_id)["run"]
    assert run != data_id
    told = documents(own, run)
    assert (told[0].doc["continues"], told[0].doc["data_id"]) == (data_id, data_id)
    assert next(d.doc["indices"] for d in told if d.name == "stream_datum") == {"start": 0, "stop": 10}
    assert told[-1].doc["num_events"]["primary"] == 20
    assert documents(own, data_id)[-1].doc["exit_status"] == "fail"


def test_half_a_line_that_a_kill_left_in_the_journal_is_cut(own, by_hand):
    data_id = by_hand(own).begin()
    by_hand(own).send(data_id, 0, part(0))
    own.kill()
    path = own.layout.journal / f"{data_id}.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"name": "stream_datum", "doc": {"uid": "x')
    own.start()
    assert path.read_bytes() == whole
    path.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])  # killed between the datum of one array and the other
    own.restart()
    told = documents(own, data_id)
    assert [d.doc["indices"]["stop"] for d in told if d.name == "stream_datum"] == [10, 10]


def test_a_stream_whose_end_was_kept_and_not_told_is_told_at_the_next_start(own, by_hand):
    service = by_hand(own)
    data_id = service.begin()
    service.send(data_id, 0, part(0)[:4])
    service.end(data_id)
    own.kill()
    path = own.layout.journal / f"{data_id}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    import sqlite3

    with sqlite3.connect(own.layout.ingest / "catalogue.db") as db:
        db.execute("UPDATE items SET told = 0")
    db.close()
    own.start()
    assert path.read_bytes().splitlines()[-1] == lines[-1].rstrip()
    assert [d.name for d in documents(own, data_id)].count("stop") == 1
