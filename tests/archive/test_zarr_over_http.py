"""Zarr and Data Exchange over HTTP: described by our documents, filed by the stock TiledWriter, while they grow."""

from collections.abc import Iterator

import numpy as np
import pytest
from event_model import compose_run

from beamstream.archive.catalog import wait_for_run
from beamstream.callbacks.journal import Journal
from beamstream.frames import ColorMode, Geometry
from beamstream.sinks.contract import made_frames
from beamstream.sinks.documents import SinkDocuments
from beamstream.sinks.dxchange import DxchangeSink
from beamstream.sinks.zarr import ZarrSink

MONO = Geometry((40, 60), "<u2")


class Told:
    """A run whose frames are written to a sink and told to the journal."""

    def __init__(self, archive, sink) -> None:
        self._sink, self._journal = sink, Journal(archive.layout.journal)
        self._run = compose_run(metadata={"plan_name": "export", "scan_id": 1})
        self.uid = self._run.start_doc["uid"]
        self._documents = SinkDocuments(sink, "cam", start=self._run.start_doc)
        bundle = self._run.compose_descriptor(name="primary", data_keys=self._documents.data_keys("made up"))
        self._descriptor = bundle.descriptor_doc
        self._journal("start", self._run.start_doc)
        self._journal("descriptor", self._descriptor)

    def write(self, frames) -> None:
        kept = self._sink.write(frames)
        for name, doc in self._documents.up_to(kept, self._descriptor):
            self._journal(name, doc)

    def end(self) -> None:
        self._journal("stop", {**self._run.compose_stop(), "num_events": {"primary": self._sink.kept}})


@pytest.fixture(
    params=[
        ("plain", MONO),
        ("zstd", MONO),
        ("blosc", Geometry((40, 60), "<f4")),
        ("plain", Geometry((40, 60), ">u2")),
        ("plain", Geometry((40, 60, 3), "|u1", ColorMode.RGB1)),
        ("dxchange", MONO),
    ],
    ids=lambda param: f"{param[0]} {param[1]}",
)
def sink(request, archive, tmp_path) -> Iterator[ZarrSink | DxchangeSink]:
    kind, geometry = request.param
    where = archive.layout.recordings / tmp_path.name
    if kind == "dxchange":
        yield DxchangeSink(where, geometry, dark=np.ones(geometry.shape))
        return
    yield ZarrSink(where, geometry, frames_per_shard=8, compression="" if kind == "plain" else kind)


def test_frames_come_back_bit_by_bit_while_the_run_goes_on_and_after(archive, sink, wait_for):
    frames = made_frames(sink.geometry, 0, 21)  # two shards, and some
    dtype = sink.arrays["data"].dtype_numpy

    def fetched() -> np.ndarray:
        raw = archive.curl("-g", '-H "Authorization: Apikey $K"', f'"$A/array/full/{told.uid}/primary/cam_image"')
        return np.frombuffer(raw, dtype).reshape(-1, *sink.geometry.shape)

    def rows() -> int:
        answer = archive.get(f"/metadata/{told.uid}/primary/cam_image")
        return answer.json()["data"]["attributes"]["structure"]["shape"][0] if answer.status_code == 200 else 0

    with sink:
        told = Told(archive, sink)
        for start, stop in ((0, 1), (1, 11)):
            told.write(frames[start:stop])
            wait_for(lambda stop=stop: rows() == stop, timeout=20, what=f"{stop} frames in the catalogue")
            assert np.array_equal(fetched(), [frame.image for frame in frames[:stop]])
        sink.write(frames[11:13])  # in the file, and nobody was told yet
        assert np.array_equal(fetched(), [frame.image for frame in frames[:11]])
        told.write(frames[13:])
    told.end()
    wait_for_run(archive.client, told.uid)
    assert np.array_equal(fetched(), [frame.image for frame in frames])
    block = archive.get(f"/array/full/{told.uid}/primary/cam_image", params={"slice": "17"}).content
    assert np.array_equal(np.frombuffer(block, dtype).reshape(sink.geometry.shape), frames[17].image)
    stream = archive.client.v3[told.uid]["primary"]
    assert np.array_equal(stream["cam_image"].read(), [frame.image for frame in frames])
    for key in set(sink.arrays) - {"data"}:
        assert stream[f"cam_{key}"].read().tolist() == [getattr(frame, key) for frame in frames]


def test_the_catalogue_tells_how_colours_lie_and_what_the_numbers_are(archive, tmp_path):
    geometry = Geometry((3, 20, 30), "<u2", ColorMode.RGB3)
    with ZarrSink(archive.layout.recordings / tmp_path.name, geometry) as sink:
        told = Told(archive, sink)
        told.write(made_frames(geometry, 0, 2))
    told.end()
    wait_for_run(archive.client, told.uid)
    keys = archive.client.v3[told.uid]["primary"].metadata["data_keys"]
    assert (keys["cam_image"]["color_mode"], keys["cam_image"]["units"]) == ("rgb3", "counts")
