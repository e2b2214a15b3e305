"""The real client, unmodified, in a process of its own, against the real service."""

import numpy as np
import zarr
from by_hand import START, movie

from beamstream.archive.documents import Tail


def arrays(ingest, data_id):
    frames = zarr.open_array(ingest.stream(data_id), mode="r")
    return frames, zarr.open_array(ingest.stream(data_id).parent / "timestamp", mode="r")


def test_what_the_client_pushes_is_one_array_bit_by_bit_with_its_capture_times(shared, real, by_hand, wait_for):
    client, service = real(shared, url=f"{shared.url}/"), by_hand(shared)  # the slash becomes two on the wire
    asked = {"fps": 5.0, "rotations_per_min": 15.0, "chunk_size": 10, "stream_name": "GaAs on GaAs"}
    about = {"physical_sample": "Wafer 7", "tags": ["run:0123", "8bit:shift:4", "mbe"], "project_id": "p-1"}
    data_id = client.do("initialize", **asked, **about)
    film = movie(34)
    film[3], film[20:24] = 0, 0
    for number in range(4):
        client.push(data_id, number, film[number * 10 : number * 10 + 10], START + 2000 * number)
        if number == 1:
            wait_for(lambda: service.status(data_id)["consecutive"] == 2, timeout=30, what="two chunks")
            growing, times = arrays(shared, data_id)
            assert np.array_equal(growing[:], film[:20])
            assert times.shape == (20,)
    said = client.do("finalize", data_id=data_id)
    assert (said["chunks_uploaded"], said["chunks_not_uploaded"]) == (4, 0)
    frames, times = arrays(shared, data_id)
    assert np.array_equal(frames[:], film)
    assert np.allclose(times[:], START / 1000 + np.arange(34) / 5, rtol=0, atol=1e-6)
    status = service.status(data_id)
    assert (status["frames"], status["rows"], status["ended"] is not None) == (34, 34, True)
    documents = list(Tail(shared.layout.journal / f"{data_id}.jsonl").read())
    start, stop = documents[0].doc, documents[-1].doc
    assert (start["plan_name"], start["stream_name"]) == ("ingest", "GaAs on GaAs")
    assert (start["physical_sample"], start["sample"]) == ("Wafer 7", "Wafer 7")
    assert (start["tags"], start["recorded_run"]) == (["8bit:shift:4", "mbe", "run:0123"], "0123")
    settings = documents[1].doc["configuration"]["rheed"]["data"]
    assert (settings["rotations_per_min"], settings["eight_bit_rule"]) == (15.0, "shift:4")
    assert (stop["num_events"], stop["reason"]) == ({"primary": 34, "ledger": 1}, "")


def test_samples_and_tags_are_made_once_however_they_are_written(shared, real, by_hand):
    client, service = real(shared), by_hand(shared)
    asked = {"fps": 5.0, "rotations_per_min": 0.0, "chunk_size": 10}
    for sample, tag in (("Quartz", "Etched"), ("  QUARTZ ", "etched")):
        data_id = client.do("initialize", **asked, physical_sample=sample, tags=[tag])
        client.do("finalize", data_id=data_id)
    samples = [s for s in service.http.get("/physical_samples/").json() if s["name"].casefold() == "quartz"]
    tags = [t for t in service.http.get("/tags/").json() if t["name"].casefold() == "etched"]
    assert (len(samples), len(tags)) == (1, 1)
    by_id = client.do("initialize", **asked, physical_sample=samples[0]["id"], tags=[tags[0]["id"]])
    client.push(by_id, 0, movie(10), START)
    client.do("finalize", data_id=by_id)
    start = next(Tail(shared.layout.journal / f"{by_id}.jsonl").read()).doc
    assert (start["physical_sample"], start["tags"]) == ("Quartz", ["Etched"])


def test_a_wrong_key_is_refused(shared, real):
    client = real(shared, key="0" * 64)
    answer = client.ask("initialize", fps=5.0, rotations_per_min=0.0, chunk_size=10)
    assert "401" in answer["error"]
