"""What callbacks derive is served over HTTP like what was recorded."""

from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np
import pytest
from bluesky.plans import count
from bluesky_tiled_plugins import TiledWriter

from beamstream.archive.catalog import connect, wait_for_run
from beamstream.archive.documents import Tail
from beamstream.archive.interrupted import InterruptedRun
from beamstream.archive.layout import Layout
from beamstream.archive.process import running_server
from beamstream.callbacks.average import ReferenceAverage
from beamstream.callbacks.chain import Chain
from beamstream.callbacks.flatfield import FlatField
from beamstream.callbacks.live_stats import LiveStats
from beamstream.callbacks.recorder import Recorder
from plans.ledger import ledger_wrapper
from plans.record import record
from plans.references import darks, flats

dask.config.set(scheduler="synchronous")  # its pool of threads would outlive a test


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Layout]:
    layout = Layout(tmp_path_factory.mktemp("archive"))
    with running_server(layout.directory):
        yield layout


@pytest.fixture
def home(served) -> Path:
    return served.directory


@pytest.fixture
def client(served):
    client = connect(served.directory)
    yield client
    client.context.close()


@pytest.fixture
def corrected(engine, chain, docs, cam, home):
    """The uid of a corrected run, and of the flat that it was corrected with."""
    chain.add(ReferenceAverage(home / "recordings" / "references"))
    chain.add(FlatField(dark="latest", references=home / "recordings" / "references"))
    chain.add(LiveStats({"spot": (3, 5, 8, 8)}))
    chain.add(Recorder(home / "recordings" / "exports", publish=True))
    engine(darks(cam, 3))
    engine(flats(cam, 4))
    flat = docs.of("start")[-1]["uid"]
    docs.clear()
    engine(record([cam], num=30))
    return docs.of("start")[-1]["uid"], flat


def test_what_callbacks_made_is_served_beside_what_was_recorded(client, corrected, docs):
    wait_for_run(client, corrected[0])
    run = client[corrected[0]]
    raw = docs.images("cam_image")
    assert np.array_equal(run["primary/cam_image"].read(), raw)
    assert np.array_equal(run["primary_corrected/cam_corrected_image"].read(), docs.images("cam_corrected_image"))
    about = run["primary_corrected"].metadata["configuration"]["cam_corrected"]["data"]
    assert "I_flat" in about["formula"]
    assert corrected[1][:8] in about["flat_name"]
    assert np.array_equal(run["primary_tiff/cam_tiff_image"].read(), raw)  # a file a frame
    live, last = run["primary_live"].read(), raw[-1].astype(np.float64)
    assert (live["cam_live_total"][-1], live["cam_live_spot"][-1]) == (last.sum(), last[3:11, 5:13].sum())
    account = run["callbacks"].read()
    assert int(account["corrected_frames"][0]) == int(account["recorder_frames"][0]) == 30

    flat = client[corrected[1]]
    images = flat["primary/cam_image"].read().astype(np.float64)
    np.testing.assert_allclose(flat["primary_reference/cam_mean"].read()[0], images.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(flat["primary_reference/cam_std"].read()[0], images.std(axis=0, ddof=1), rtol=1e-9)


def test_frames_derived_by_a_session_that_was_killed_are_found_again(engine, chain, docs, cam, home, served):
    chain.add(FlatField(np.full((48, 64), 2.0)))
    engine(count([cam], 5))
    uid = docs.of("start")[-1]["uid"]
    journal = next(p for p in (served.journal / "filed", served.journal) for p in p.glob(f"{uid}.jsonl"))
    documents = list(Tail(journal).read(1 << 24))
    derived = {doc["uid"] for name, doc in documents if name == "stream_resource" and "corrected" in doc["data_key"]}
    kept = [d for d in documents if d.name != "stop" and d[1].get("stream_resource") not in derived]
    unannounced = [d for d in InterruptedRun(kept).unannounced() if d["stream_resource"] in derived]
    assert {d["stream_resource"] for d in unannounced} == derived
    assert {d["indices"]["stop"] for d in unannounced} == {5}


def test_a_chain_feeds_a_tiled_writer_as_well_as_a_journal(engine, cam, client, docs):
    mine = Chain(TiledWriter(client, batch_size=1), [FlatField(np.full((48, 64), 2.0)), docs])
    engine.dispatcher.unsubscribe_all()
    engine.preprocessors[:] = [ledger_wrapper]  # without the wrapper that waits: the stop document waits as well
    engine.subscribe(mine)
    engine(record([cam], num=10))
    run = client[docs.of("start")[-1]["uid"]]
    assert np.array_equal(run["primary_corrected/cam_corrected_image"].read(), docs.images("cam_corrected_image"))
    assert run.metadata["stop"]["num_events"]["primary_corrected"] == 10
