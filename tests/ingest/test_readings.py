"""Time series: the client is silent about its losses, the service is exact about what it has."""

import numpy as np
from by_hand import START

from beamstream.archive.documents import Tail


def rows(ingest, data_id):
    """Return the events of a run: by stream, times and values by channel."""
    streams, names = {}, {}
    for name, doc in Tail(ingest.layout.journal / f"{data_id}.jsonl").read():
        if name == "descriptor":
            names[doc["uid"]] = doc["name"]
            streams[doc["name"]] = {"time": [], **{key: [] for key in doc["data_keys"]}}
        if name == "event_page":
            stream = streams[names[doc["descriptor"]]]
            stream["time"] += doc["time"]
            for key, values in doc["data"].items():
                stream[key] += values
    return streams


def test_readings_of_the_real_client_become_events(shared, real, by_hand, wait_for):
    client, service = real(shared), by_hand(shared)
    about = {"stream_name": "growth", "physical_sample": "Wafer 8", "tags": ["run:4567"]}
    data_id = client.do("series_initialize", **about)
    times = START / 1000 + np.arange(2500) / 10
    heat, pressure = 600 + np.sin(times), np.exp(-times % 7)
    heat[7] = np.nan
    for number, part in enumerate(np.array_split(np.arange(2500), 5)):
        channels = {
            "heater": {"timestamps": times[part].tolist(), "values": heat[part].tolist(), "units": "degC"},
            "pressure": {"timestamps": times[part].tolist(), "values": pressure[part].tolist()},
        }
        client.do("series_push_multi", data_id=data_id, chunk_index=number, channels=channels)

    def stored() -> int:
        return service.http.get(f"/tool-state/stream/{data_id}").json()["chunks"]

    wait_for(lambda: stored() == 10, timeout=30, what="five chunks of two channels")
    client.do("series_finalize", data_id=data_id)
    client.do("series_finalize", data_id=data_id)
    documents = list(Tail(shared.layout.journal / f"{data_id}.jsonl").read())
    start, stop = documents[0].doc, documents[-1].doc
    assert (start["stream_name"], start["physical_sample"], start["recorded_run"]) == ("growth", "Wafer 8", "4567")
    assert stop["num_events"] == {"primary": 2500}
    assert [d.name for d in documents].count("stop") == 1
    events = rows(shared, data_id)["primary"]
    assert np.array_equal(events["time"], times)
    assert np.array_equal(events["heater"], heat, equal_nan=True)
    assert np.array_equal(events["pressure"], pressure)


def test_channels_with_times_of_their_own_are_streams_of_their_own(shared, real, by_hand, wait_for):
    client, service = real(shared), by_hand(shared)
    data_id = client.do("series_initialize")
    for channel, step in (("a", 1.0), ("b", 0.5)):
        times = [START / 1000 + step * i for i in range(4)]
        one = {"channel_name": channel, "timestamps": times, "values": [step] * 4}
        client.do("series_push", data_id=data_id, chunk_index=0, **one)
    path = f"/tool-state/stream/{data_id}"
    wait_for(lambda: service.http.get(path).json()["chunks"] == 2, timeout=30, what="two chunks")
    client.do("series_finalize", data_id=data_id)
    assert {name: stream[name] for name, stream in rows(shared, data_id).items()} == {"a": [1.0] * 4, "b": [0.5] * 4}


def test_the_same_readings_again_are_fine_others_are_not(shared, by_hand):
    service = by_hand(shared)
    data_id = service.post("/tool-state/stream/initialize", stream_name="x", points_per_chunk=2).json()["data_id"]
    one = {"data_id": data_id, "chunk_index": 0, "channel_name": "a", "timestamps": [1.0, 2.0], "values": [3.0, None]}
    for _ in range(2):
        assert service.post("/tool-state/stream/chunk", **one).status_code == 200
    other = service.post("/tool-state/stream/chunk", **{**one, "values": [3.0, 4.0]})
    assert other.status_code == 409
    assert "those that came first stay" in other.json()["detail"]
    assert service.post("/tool-state/stream/chunk", **{**one, "values": [3.0]}).status_code == 422
    assert service.post("/tool-state/stream/chunk", **{**one, "timestamps": [1.0, None]}).status_code == 422
    mixed = {"b": {"timestamps": [1.0], "values": [1.0]}, "a": {"timestamps": [9.0], "values": [1.0]}}
    answer = service.post("/tool-state/stream/chunk/multi", data_id=data_id, chunk_index=0, channels=mixed)
    assert answer.status_code == 409  # all of its channels, or none
    assert service.http.get(f"/tool-state/stream/{data_id}").json()["chunks"] == 1
    rheed = service.begin()
    assert service.post("/tool-state/stream/chunk", **{**one, "data_id": rheed}).status_code == 404
