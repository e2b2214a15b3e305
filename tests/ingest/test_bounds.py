"""What clients claim takes no memory: chunk numbers, sizes, frames that grow, dates; and nothing that comes ends us."""

import json
import os
import random
import struct
import sys
from pathlib import Path
from typing import Any

import httpx
import imagecodecs
import numpy as np
import pytest
from by_hand import ABSENT, START, ByHand, movie, sealed, shard_of
from pydantic import ValidationError

from beamstream.archive.refused import refused_items, retry
from beamstream.attempts import Attempts
from beamstream.ingest import messages
from beamstream.ingest.process import IngestProcess
from beamstream.ingest.refusal import Refusal
from beamstream.ingest.shard import check, open_shard
from beamstream.ingest.stream import MISSING_PER_FRAME, MOST_MISSING
from beamstream.ingest.tokens import Chunk

CASES = 10_000
SHAPE = (12, 20)
NBYTES = SHAPE[0] * SHAPE[1]


@pytest.fixture
def service(shared, by_hand) -> ByHand:
    return by_hand(shared)


def high_water(pid: int) -> int:
    """Return the most memory that a process ever had, KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def one_frame(packed: bytes) -> bytes:
    """Return a shard of one frame."""
    return packed + sealed(np.array([[0, len(packed)]], "<u8"))


def zstd_rle(nbytes: int, *, claim: int | None, block: int = 1 << 17) -> bytes:
    """Return a Zstandard frame of zeros, four bytes a block, with its content size or without."""
    header = b"\x28\xb5\x2f\xfd" + (b"\x00\x58" if claim is None else b"\xe0" + struct.pack("<Q", claim))
    sizes = [min(block, nbytes - start) for start in range(0, nbytes, block)]
    blocks = [(size << 3 | 1 << 1 | (number == len(sizes) - 1)) for number, size in enumerate(sizes)]
    return header + b"".join(word.to_bytes(3, "little") + b"\x07" for word in blocks)


def test_a_chunk_whose_number_leaves_nearly_everything_missing_is_refused(shared, service):
    data_id = service.begin()
    assert service.send(data_id, 0, movie(10)).status_code == 200
    for number in (9_999_999, 100_000):
        answer = service.presign(data_id, number, (1, *SHAPE))
        assert answer.status_code == 422
        assert "missing" in answer.json()["detail"]
    allowed = (MOST_MISSING + MISSING_PER_FRAME * 11) // 10
    assert service.send(data_id, allowed, movie(1)).status_code == 200
    rows = service.end(data_id)["rows"]
    assert rows == allowed * 10 + 1
    document = json.loads((shared.stream(data_id) / "zarr.json").read_text())
    assert document["shape"] == [rows, *SHAPE]


def test_a_first_chunk_may_come_late_but_not_from_nowhere(service):
    data_id = service.begin()
    assert service.send(data_id, 7, movie(10)).status_code == 200
    assert service.presign(service.begin(), 9_999_999, (1, *SHAPE)).status_code == 422


def test_a_frame_that_does_not_say_how_large_it_is_or_grows_is_refused(shared, service):
    data_id = service.begin()
    before = high_water(shared.pid)
    bombs = {
        "does not say": one_frame(zstd_rle(3 << 30, claim=None)),
        "rows × columns": one_frame(zstd_rle(3 << 30, claim=3 << 30)),
        "behind its last": one_frame(imagecodecs.zstd_encode(bytes(NBYTES)) + zstd_rle(3 << 30, claim=None)),
        "ends within": one_frame(b"\x28\xb5\x2f\xfd\x20" + bytes([NBYTES])),
    }
    for words, shard in bombs.items():
        url = service.url(data_id, 0, (1, *SHAPE), 10)
        answer = httpx.put(url, content=shard, timeout=30)
        assert answer.status_code in (413, 422), words
        if answer.status_code == 422:
            assert words in answer.json()["detail"]
    assert high_water(shared.pid) - before < 100 << 10
    assert service.send(data_id, 0, movie(1)).status_code == 200


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"dims": "1,99999,42000", "chunk_size": "1"}, "smaller frames"),
        ({"dims": "1,65536,65536", "chunk_size": "1"}, "smaller"),
        ({"chunk_size": "100001"}, "smaller chunk_size"),
        ({"raw_frame_rate": "1e-300"}, "raw_frame_rate"),
        ({"start_unix_ms_utc": "-1"}, "start_unix_ms_utc"),
        ({"end_unix_ms_utc": str(1 << 52)}, "end_unix_ms_utc"),
        ({"clock_uncertainty_ms": "1e300"}, "clock_uncertainty_ms"),
        ({"clock_uncertainty_ms": "inf"}, "clock_uncertainty_ms"),
    ],
)
def test_sizes_rates_and_dates_have_bounds(service, said, words):
    answer = service.presign(service.begin(), 0, (1, *SHAPE), **said)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_times_of_readings_and_rates_of_streams_have_bounds(service):
    data_id = service.post("/tool-state/stream/initialize", stream_name="r").raise_for_status().json()["data_id"]
    one: dict[str, Any] = {"data_id": data_id, "chunk_index": 0, "channel_name": "a", "values": [1.0]}
    for time in (1e308, -1.0, 1e12, 10**400):
        answer = service.http.post(
            "/tool-state/stream/chunk", content=json.dumps({**one, "timestamps": [time]}), headers={"content-type": "x"}
        )
        assert answer.status_code == 422, time
    assert service.post("/tool-state/stream/chunk", **one, timestamps=[8e9]).status_code == 200
    for rate in (1e-300, 0, 1e300):
        assert service.post("/rheed/stream/", data_item_name="x", fps_capture_rate=rate).status_code == 422
    assert service.post("/tool-state/stream/initialize", synth_source_id=10**200).status_code == 422


def test_a_stream_with_which_the_ingest_ended_is_left_alone_until_somebody_says_so(own, by_hand):
    service = by_hand(own)
    data_id, other = service.begin(), service.begin()
    for one in (data_id, other):
        assert service.send(one, 0, movie(10)).status_code == 200
    own.kill()
    mark = Attempts(own.layout.ingest / "attempts")
    mark.begin(data_id)  # as of a process that ended while it resumed this one
    own.start()
    service = by_hand(own)
    answer = service.http.get(f"/rheed/stream/{data_id}")
    assert answer.status_code == 409
    assert "left alone" in answer.json()["detail"]
    assert service.status(other)["frames"] == 10
    (listed,) = refused_items(own.layout)
    assert (listed.uid, listed.ended) == (data_id, 1)
    retry(own.layout, data_id)
    assert service.status(data_id)["frames"] == 10
    assert service.send(data_id, 1, movie(10)).status_code == 200
    assert refused_items(own.layout) == []


ENDS_WHERE_IT_DECODES = """
import os, sys
from beamstream.ingest.shard import Shard
Shard.decoded = lambda *_: os._exit(9)
from beamstream.ingest.program import main
sys.exit(main(sys.argv[1:]))
"""


def test_nothing_that_is_received_is_decoded_and_what_ends_the_ingest_where_it_has_to_be_is_left_alone(
    tmp_path, by_hand, monkeypatch
):
    """Two chunks of one number whose bytes differ are the only ones that are decoded, to compare their pixels."""
    command = [sys.executable, "-P", "-c", ENDS_WHERE_IT_DECODES]
    monkeypatch.setattr("beamstream.ingest.process.python_module", lambda _, *more: [*command, *more])
    with IngestProcess(tmp_path / "archive") as own:
        service, frames = by_hand(own), movie(10)
        data_id, other = service.begin(), service.begin()
        for number in (0, 0, 1):
            assert service.send(data_id, number, frames).status_code == 200
        assert service.send(other, 0, frames).status_code == 200
        with pytest.raises(httpx.HTTPError):
            service.send(data_id, 0, frames, shard_of(frames, order=list(range(10))[::-1], level=19))
        own.restart()
        service = by_hand(own)
        answer = service.presign(data_id, 0, frames.shape)
        assert (answer.status_code, "left alone" in answer.json()["detail"]) == (409, True)
        assert service.status(other)["frames"] == 10
        assert [(one.uid, one.ended) for one in refused_items(own.layout)] == [(data_id, 1)]
    monkeypatch.undo()
    with IngestProcess(tmp_path / "archive") as own:
        service = by_hand(own)
        retry(own.layout, data_id)
        assert service.send(data_id, 0, frames, shard_of(frames, level=19)).status_code == 200
        assert service.send(data_id, 0, movie(10, seed=1)).status_code == 409
        assert service.status(data_id)["frames"] == 20


MODELS = (
    messages.NewStream,
    messages.Named,
    messages.SampleLink,
    messages.TagLinks,
    messages.Tracking,
    messages.ChunkMessage,
    messages.NewReadings,
    messages.ReadingsChunk,
    messages.ReadingsChunks,
)
UUID = "12345678-1234-4234-8234-123456789abc"
RIGHT: dict[str, Any] = {
    "data_item_name": "x",
    "rotational_period": 3.0,
    "rotations_per_min": 2.0,
    "fps_capture_rate": 5.0,
    "project_id": "p",
    "name": "n",
    "data_ids": [UUID],
    "tag_ids": [UUID],
    "physical_sample_id": UUID,
    "set_active": True,
    "data_id": UUID,
    "raw_frame_rate": "5.0",
    "chunk_size": "10",
    "dims": "10,12,20",
    "start_unix_ms_utc": str(START),
    "end_unix_ms_utc": str(START + 5),
    "clock_offset_ms": 4,
    "clock_uncertainty_ms": 0.5,
    "stream_name": "r",
    "points_per_chunk": 100,
    "timestamps": [1.0, 2.0],
    "values": [3.0, None],
    "units": "K",
    "chunk_index": 7,
    "channel_name": "a",
    "channels": {"a": {"timestamps": [1.0], "values": [2.0]}},
}
STRANGE = [
    *(0, -1, 1 << 31, 1 << 63, 1 << 64, -(1 << 63), 10**30, 1.5, -0.0, 1e308, -1e308, 5e-324, True, None, "", "NaN"),
    *("Infinity", "-1", "1e999", "9" * 400, "\x00", "\ud800", "٣", "x" * 600, "1,1,1", "999999,99999,99999", "0,0,0"),
    *([], {}, [None] * 50, [[]], {"a": {"a": {"a": {}}}}, {"": []}, "frames.zarr/frames/c/9999999/0/0", UUID.upper()),
]


def hostile_message(dice: random.Random) -> bytes:
    """Return JSON, or what was JSON once."""
    said = {key: RIGHT[key] for key in dice.sample(sorted(RIGHT), dice.randint(0, len(RIGHT)))} | dict(RIGHT)
    for key in dice.sample(sorted(RIGHT), dice.randint(0, 4)):
        said[key] = dice.choice(STRANGE)
    body = bytearray(json.dumps(said).encode())
    if dice.random() < 0.4:
        for _ in range(dice.randint(1, 8)):
            body[dice.randrange(len(body))] = dice.randrange(256)
    if dice.random() < 0.1:
        body = body[: dice.randrange(len(body))]
    if dice.random() < 0.02:
        body = bytearray(b"[" * dice.randint(1, 100_000))
    return bytes(body)


def test_no_message_ends_its_parser_or_is_taken_for_what_it_is_not():
    dice, taken, before = random.Random(13), 0, high_water(os.getpid())
    for case in range(CASES):
        body = hostile_message(dice)
        try:
            said = MODELS[case % len(MODELS)].model_validate_json(body)
        except ValidationError:
            continue
        taken += 1
        assert len(said.model_dump_json().encode(errors="replace")) < 10 * len(body) + 10_000
        if isinstance(said, messages.ChunkMessage):
            chunk = Chunk.of(0, said)
            assert chunk.rows * chunk.columns <= messages.MOST_FRAME
            assert chunk.frames <= chunk.chunk_size
            assert np.isfinite(chunk.start_ms / 1000 + chunk.frames / chunk.rate)
    assert taken > CASES // 20
    assert high_water(os.getpid()) - before < 100 << 10


def hostile_shard(dice: random.Random, right: bytes, frames: int) -> bytes:
    """Return a shard that was right; its checksum is so again, mostly."""
    tail = 16 * frames + 4
    body, index = bytearray(right[:-tail]), np.frombuffer(right[-tail:-4], "<u8").reshape(frames, 2).copy()
    for _ in range(dice.randint(0, 6)):
        if body and dice.random() < 0.6:
            entry = index[dice.randrange(frames)]
            start = int(entry[0]) if int(entry[0]) < len(body) and dice.random() < 0.7 else 0
            body[min(len(body) - 1, start + dice.randrange(24))] = dice.randrange(256)
        else:
            words = [0, 1, ABSENT, ABSENT - 1, 1 << 63, len(body), len(body) + 1, dice.randrange(1 << 20)]
            index[dice.randrange(frames), dice.randrange(2)] = dice.choice(words)
    shard = bytes(body) + sealed(index)
    if dice.random() < 0.1:
        shard = shard[: dice.randrange(len(shard))]
    return shard


def test_no_shard_ends_its_checker_and_what_is_taken_decodes_into_its_frame_or_is_refused(tmp_path):
    dice, taken, before = random.Random(14), 0, high_water(os.getpid())
    right, refused = [shard_of(movie(n, SHAPE, n)) for n in (1, 3, 8)], set[int]()
    with (tmp_path / "shard").open("w+b") as file:
        for case in range(CASES):
            frames = (1, 3, 8)[case % 3]
            file.seek(0)
            file.truncate()
            file.write(hostile_shard(dice, right[case % 3], frames))
            file.flush()
            try:
                shard = open_shard(file.fileno(), frames)
                check(shard, NBYTES)
            except Refusal as refusal:
                refused.add(refusal.status)
                continue
            taken += 1
            for number in range(frames):
                try:
                    assert len(shard.decoded(number, NBYTES)) == NBYTES
                except Refusal as refusal:
                    refused.add(refusal.status)
    assert refused == {422}
    assert taken > CASES // 20
    assert high_water(os.getpid()) - before < 100 << 10


def test_whatever_comes_over_http_is_answered_and_takes_no_memory(own: IngestProcess, by_hand):
    service, dice = by_hand(own), random.Random(15)
    data_id, pid = service.begin(), own.pid
    assert service.send(data_id, 0, movie(8)).status_code == 200
    before = high_water(pid)
    paths = ["/physical_samples/", "/tags/", "/tags/data-items/", "/rheed/stream/", "/tool-state/stream/chunk"]
    paths += ["/tool-state/stream/initialize", "/tool-state/stream/chunk/multi", "/data_entries/physical_sample"]
    paths += ["/data_entries/raw_data/staged/upload_urls/?original_filename=frames.zarr/frames/c/3/0/0"]
    for case in range(300):
        body = hostile_message(dice).replace(UUID.encode(), data_id.encode())
        answer = service.http.post(paths[case % len(paths)], content=body)
        assert answer.status_code < 500, (paths[case % len(paths)], body, answer.text)
    right = shard_of(movie(8, SHAPE, 3))
    for _ in range(100):
        url = service.url(data_id, 1, (8, *SHAPE))
        answer = httpx.put(url, content=hostile_shard(dice, right, 8), timeout=30)
        assert answer.status_code < 500, answer.text
    assert high_water(pid) - before < 200 << 10
    assert service.end(data_id)["chunks"] >= 1
