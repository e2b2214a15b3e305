"""What may be asked, by whom, and how much of it; everything else is answered with a no in words."""

import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import numpy as np
import pytest
import zarr
from by_hand import START, movie, shard_of

from beamstream.errors import IngestError
from beamstream.ingest.process import IngestProcess

FILM = movie(30)


def detail(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return answer.json()["detail"]


def test_only_the_clock_answers_without_the_key(shared, by_hand):
    mode = stat.S_IMODE(shared.key_file.stat().st_mode)
    assert (mode, len(shared.key)) == (0o600, 64)
    clock = httpx.get(f"{shared.url}/gateway/time").json()
    assert clock["receivedAtUnixMs"] <= clock["transmittedAtUnixMs"]
    for path in ("/tags/", "/physical_samples/", "/rheed/stream/x", "/anything"):
        assert "no key was given" in detail(httpx.get(shared.url + path), 401)
        assert "a wrong key" in detail(httpx.get(shared.url + path, headers={"X-API-KEY": shared.key[:-1]}), 401)
    assert by_hand(shared).http.get(f"{shared.url}//tags//").json() == by_hand(shared).http.get("/tags/").json()
    detail(by_hand(shared).http.get("/anything"), 404)


def test_an_address_is_good_for_its_chunk_alone_and_shows_no_key(shared, by_hand):
    service = by_hand(shared)
    url = service.url(service.begin(), 0, (10, 12, 20))
    assert shared.key not in url
    token = url.rpartition("/")[2]
    said, _, signature = token.partition(".")
    forged = f"{said}.{'AB'[signature[0] == 'A']}{signature[1:]}"
    for bad in (forged, f"{said[:-3]}AAA.{signature}", said, "é", "x" * 3000, "..", "%2e%2e%2fx"):
        answer = httpx.put(f"{shared.url}/upload/{bad}", content=b"x")
        assert answer.status_code in (401, 403, 404), (bad, answer.text)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "frames.zarr/frames/c/../0/0",
        "frames.zarr/frames/c/-1/0/0",
        "frames.zarr/frames/c/1/0/1",
        "frames.zarr/frames/c/1/0/0\n",
        "frames.zarr/frames/c/99999999/0/0",
        "frames.zarr/frames/c/٣/0/0",
        "",
    ],
)
def test_names_that_are_no_chunk_are_refused(shared, by_hand, name):
    service = by_hand(shared)
    assert "original_filename" in detail(service.presign(service.begin(), name, (10, 12, 20)), 422)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"dims": "0,12,20"}, "dims"),
        ({"dims": "11,12,20"}, "11 frames, chunk_size 10"),
        ({"dims": "10,12"}, "dims"),
        ({"dims": "10,99999,99999", "chunk_size": "999999"}, "smaller chunk_size"),
        ({"chunk_size": "-3"}, "chunk_size"),
        ({"raw_frame_rate": "nan"}, "raw_frame_rate"),
        ({"raw_frame_rate": "0"}, "raw_frame_rate"),
        ({"end_unix_ms_utc": "5"}, "lies before"),
        ({"start_unix_ms_utc": "9" * 30}, "start_unix_ms_utc"),
        ({"data_id": "../x"}, "data_id"),
        ({"data_stream": "xps"}, "data_stream"),
    ],
)
def test_values_that_cannot_be_are_refused_before_anything_is_sent(shared, by_hand, more, words):
    service = by_hand(shared)
    assert words in detail(service.presign(service.begin(), 0, (10, 12, 20), **more), 422)


def test_streams_samples_and_tags_that_are_not_there_are_not_found(shared, by_hand):
    service, nobody = by_hand(shared), str(uuid4())
    assert f"RHEED stream {nobody}" in detail(service.presign(nobody, 0, (10, 12, 20)), 404)
    detail(service.http.post(f"/rheed/stream/{nobody}/end"), 404)
    data_id = service.begin()
    assert "sample" in detail(
        service.post("/data_entries/physical_sample", data_ids=[data_id], physical_sample_id=nobody), 404
    )
    assert "tag" in detail(service.post("/tags/data-items/", data_ids=[data_id], tag_ids=[nobody]), 404)
    assert "fps_capture_rate" in detail(service.post("/rheed/stream/", data_item_name="x"), 422)
    detail(service.http.post("/rheed/stream/", content=b"[" * 100_000), 422)


def test_the_same_chunk_again_is_fine_and_another_one_is_not(shared, by_hand):
    service = by_hand(shared)
    data_id = service.begin()
    assert service.send(data_id, 0, FILM[:10]).status_code == 200
    again = shard_of(FILM[:10], order=list(range(10))[::-1], level=7)  # threads of a client pack in any order
    assert service.send(data_id, 0, FILM[:10], again).status_code == 200
    assert service.status(data_id)["again"] == 1
    assert "with other pixels; those that came first stay" in detail(service.send(data_id, 0, FILM[10:20]), 409)
    assert "came again with 9 frames" in detail(service.send(data_id, 0, FILM[:9]), 409)
    assert "chunk 0" in service.status(data_id)["refused"]
    assert np.array_equal(zarr.open_array(shared.stream(data_id), mode="r")[:], FILM[:10])
    service.end(data_id)
    assert service.send(data_id, 0, FILM[:10]).status_code == 200  # who did not hear the first answer asks again
    assert service.end(data_id)["rows"] == 10


def test_a_stream_keeps_its_geometry_and_takes_nothing_after_its_end(shared, by_hand):
    service = by_hand(shared)
    data_id = service.begin()
    early = service.url(data_id, 1, (10, 20, 12))  # given out before the stream had a geometry
    service.send(data_id, 0, FILM[:10])
    for dims, size in (((10, 20, 12), 10), ((10, 12, 21), 10), ((10, 12, 20), 11)):
        assert "begin another stream" in detail(service.presign(data_id, 1, dims, size), 409)
    turned = np.ascontiguousarray(FILM[:10].transpose(0, 2, 1))
    detail(httpx.put(early, content=shard_of(turned)), 409)
    late = service.url(data_id, 1, (10, 12, 20))
    service.end(data_id)
    assert "came after the stream was ended" in detail(service.presign(data_id, 1, (10, 12, 20)), 409)
    detail(httpx.put(late, content=shard_of(FILM[10:20])), 409)
    assert service.status(data_id)["rows"] == 10


def test_what_is_no_shard_leaves_nothing_behind(shared, by_hand):
    service = by_hand(shared)
    data_id = service.begin()
    good = shard_of(FILM[:10])
    for bad in (b"", good[:-1], good[1:], good + b"\0", bytes(len(good))):
        assert detail(service.send(data_id, 0, FILM[:10], bad), 422)
    assert "bytes came, at most" in detail(service.send(data_id, 0, FILM[:10], bytes(200_000)), 413)
    pieces = (bytes(10_000) for _ in range(30))  # without a length: counted while it comes
    assert detail(httpx.put(service.url(data_id, 0, (10, 12, 20)), content=pieces), 413)
    assert list((shared.layout.ingest / "incoming").iterdir()) == []
    assert not shared.stream(data_id).exists()
    assert service.status(data_id)["chunks"] == 0


def test_chunks_come_in_any_order_and_readers_see_those_without_a_gap(shared, by_hand):
    service = by_hand(shared)
    data_id = service.begin()
    seen = []
    for number in (2, 0, 1):
        service.send(data_id, number, FILM[number * 10 : number * 10 + 10])
        seen.append(zarr.open_array(shared.stream(data_id), mode="r").shape[0])
    assert seen == [0, 10, 30]
    assert np.array_equal(zarr.open_array(shared.stream(data_id), mode="r")[:], FILM)


def test_rows_that_never_came_are_black_without_a_time_and_the_run_says_so(shared, by_hand):
    service = by_hand(shared)
    data_id = service.begin()
    for number, count in ((0, 10), (1, 6), (3, 10), (4, 2)):
        service.send(data_id, number, FILM[:count])
    assert zarr.open_array(shared.stream(data_id), mode="r").shape[0] == 16
    ended = service.end(data_id)
    assert (ended["rows"], ended["frames"]) == (42, 28)
    frames = zarr.open_array(shared.stream(data_id), mode="r")[:]
    times = zarr.open_array(shared.stream(data_id).parent / "timestamp", mode="r")[:]
    missing = np.r_[16:30]
    assert not frames[missing].any()
    assert np.array_equal(np.flatnonzero(np.isnan(times)), missing)
    assert np.array_equal(frames[30:], np.concatenate([FILM[:10], FILM[:2]]))
    assert times[30] == (START + 6000) / 1000
    text = (shared.layout.journal / f"{data_id}.jsonl").read_text()
    assert "14 rows never came and are black, their times NaN: 16:30" in text
    assert '"rheed_ledger_lost": 14' in text


def test_a_black_chunk_counts(shared, by_hand):
    service = by_hand(shared)
    data_id = service.begin()
    black = np.zeros((10, 12, 20), np.uint8)
    assert service.send(data_id, 0, black).status_code == 200
    assert service.send(data_id, 0, black).status_code == 200
    service.send(data_id, 1, FILM[:3])
    service.end(data_id)
    assert np.array_equal(zarr.open_array(shared.stream(data_id), mode="r")[:], np.concatenate([black, FILM[:3]]))


def test_too_many_uploads_at_once_are_asked_to_wait(shared, by_hand, wait_for):
    service = by_hand(shared)
    data_id = service.begin()
    url = urlsplit(service.url(data_id, 0, (10, 12, 20)))
    head = f"PUT {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: 2000\r\n\r\n".encode()
    waiting = []
    try:
        for _ in range(16):
            waiting.append(socket.create_connection((url.hostname, url.port), timeout=10))
            waiting[-1].sendall(head + b"x")
        incoming = shared.layout.ingest / "incoming"
        wait_for(lambda: len(list(incoming.iterdir())) == 16, timeout=20, what="16 uploads under way")
        assert "16 uploads are under way" in detail(service.send(data_id, 1, FILM[:10]), 429)
    finally:
        for connection in waiting:
            connection.close()
    wait_for(lambda: not list(incoming.iterdir()), timeout=20, what="what was cut off to be removed")
    assert service.send(data_id, 1, FILM[:10]).status_code == 200


def test_one_chunk_from_many_at_once_is_stored_once(shared, by_hand):
    service = by_hand(shared)
    data_id = service.begin()
    urls = [service.url(data_id, 0, (10, 12, 20)) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda url: httpx.put(url, content=shard_of(FILM[:10])), urls))
    assert {answer.status_code for answer in answers} == {200}
    status = service.status(data_id)
    assert (status["chunks"], status["again"]) == (1, 7)
    assert list((shared.layout.ingest / "incoming").iterdir()) == []


def test_one_archive_has_one_ingest_and_a_port_one_listener(shared, tmp_path):
    with pytest.raises(IngestError, match="taken by another process already"):
        IngestProcess(shared.layout.directory).__enter__()
    port = urlsplit(shared.url).port
    with pytest.raises(IngestError, match=f"{port} cannot be listened on"):
        IngestProcess(tmp_path / "other", port).__enter__()


def test_a_damaged_catalogue_is_said(tmp_path):
    (tmp_path / "a" / "ingest").mkdir(parents=True)
    (tmp_path / "a" / "ingest" / "catalogue.db").write_bytes(b"no database " * 1000)
    with pytest.raises(IngestError, match=r"catalogue.db: file is not a database"):
        IngestProcess(tmp_path / "a").__enter__()


def test_a_key_that_others_may_have_read_is_not_used(tmp_path):
    key = tmp_path / "key"
    key.write_text("abc123\n")
    key.chmod(0o644)
    with pytest.raises(IngestError, match="others may have read it"):
        IngestProcess(tmp_path / "a", key_file=key).__enter__()
