"""Documents about a kept reference lead readers who know nothing of beamstream to its pixels."""

import numpy as np
import pytest
from event_model import compose_run

from beamstream.frames import ColorMode, Geometry
from beamstream.references import Reference, ReferenceStore, stored
from beamstream.sinks.documents import SinkDocuments


@pytest.mark.parametrize(
    "geometry", [Geometry((4, 6), "<u2"), Geometry((4, 6, 3), "|u1", ColorMode.RGB1)], ids=["mono", "rgb"]
)
def test_the_archives_own_reader_finds_mean_and_std(tmp_path, geometry):
    import dask
    from bluesky_tiled_plugins.writing.consolidators import consolidator_factory  # seconds, at collection

    pixels = np.random.default_rng(0).normal(size=(2, *geometry.shape))
    original = Reference("flat", pixels[0], pixels[1], 20, "cam", geometry, 0.1, 1e9)
    kept = ReferenceStore(tmp_path).keep(original)
    run = compose_run()
    documents = SinkDocuments(stored(kept), "flat", start=run.start_doc)
    keys = documents.data_keys("file://flat")
    descriptor = run.compose_descriptor(name="flat", data_keys=keys).descriptor_doc
    resources, datums = {}, {}
    for name, doc in documents.up_to(1, descriptor):
        {"stream_resource": resources, "stream_datum": datums}[name][doc["uid"]] = doc
    assert sorted(doc["data_key"] for doc in resources.values()) == ["flat_mean", "flat_std"]
    for datum in datums.values():
        resource = resources[datum["stream_resource"]]
        consolidator = consolidator_factory(resource, descriptor)
        consolidator.consume_stream_datum(datum)
        expected = getattr(original, resource["data_key"].removeprefix("flat_"))
        with dask.config.set(scheduler="synchronous"):  # leaves no thread
            there = consolidator.init_adapter().read()
        np.testing.assert_array_equal(there, expected[np.newaxis])
