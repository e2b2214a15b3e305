"""TIFF sequences through the journal, the stock TiledWriter and a real server, back over HTTP."""

import time
from pathlib import Path

import numpy as np
import pytest
from event_model import compose_run

from beamstream.archive.catalog import wait_for_run
from beamstream.callbacks.journal import Journal
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sinks.contract import SHAPES, made_frames
from beamstream.sinks.documents import SinkDocuments
from beamstream.sinks.tiff_sequence import TiffSequenceSink

FRAMES = 7


def recorded(archive, directory: Path, geometry: Geometry, frames: list[Frame]) -> str:
    """Record frames as TIFF, journal the documents of the run as they come, return its uid when it is archived."""
    journal, run = Journal(archive.layout.journal), compose_run(metadata={"plan_name": "tiff"})
    journal("start", run.start_doc)
    with TiffSequenceSink(directory, geometry, prefix="cam") as sink:
        documents = SinkDocuments(sink, "cam", start=run.start_doc)
        keys = documents.data_keys("pva://cam")
        stream = run.compose_descriptor(name="primary", data_keys=keys, object_keys={"cam": list(keys)})
        journal("descriptor", stream.descriptor_doc)
        for start in range(0, len(frames), 3):
            kept = sink.write(frames[start : start + 3])
            for name, doc in documents.up_to(kept, stream.descriptor_doc):
                journal(name, doc)
    stop = {"uid": f"stop-{run.start_doc['uid']}", "run_start": run.start_doc["uid"], "time": time.time()}
    journal("stop", stop | {"exit_status": "success", "num_events": {"primary": len(frames)}})
    journal.close()
    wait_for_run(archive.client, run.start_doc["uid"])
    return run.start_doc["uid"]


@pytest.mark.parametrize(
    ("dtype", "mode"),
    [
        ("|u1", ColorMode.MONO),
        ("<u2", ColorMode.MONO),
        (">u2", ColorMode.MONO),
        ("<f4", ColorMode.BAYER),
        ("|u1", ColorMode.RGB1),
        ("<u2", ColorMode.RGB3),
    ],
)
def test_a_sequence_comes_back_bit_by_bit(archive, tmp_path, dtype, mode):
    geometry = Geometry(SHAPES[mode], dtype, mode)
    frames = made_frames(geometry, 0, FRAMES)
    uid = recorded(archive, archive.layout.recordings / tmp_path.name, geometry, frames)
    images = np.array([frame.image for frame in frames])
    key = '-H "Authorization: Apikey $K"'
    whole = archive.curl("-g", key, f'"$A/array/full/{uid}/primary/cam_image"')
    assert np.array_equal(np.frombuffer(whole, dtype).reshape(images.shape), images)
    rest = ",::1" * (images.ndim - 1)
    one = archive.curl("-g", key, f'"$A/array/full/{uid}/primary/cam_image?slice=4{rest}"')
    assert np.array_equal(np.frombuffer(one, dtype).reshape(geometry.shape), images[4])
    assert np.array_equal(archive.client[uid]["primary"]["cam_image"].read(), images)


def test_colours_that_were_moved_are_in_no_document(archive, tmp_path):
    geometry = Geometry(SHAPES[ColorMode.RGB2], "|u1", ColorMode.RGB2)
    with TiffSequenceSink(tmp_path / "run", geometry) as sink:
        kept = sink.write(made_frames(geometry, 0, 2))
        assert list(SinkDocuments(sink, "cam").up_to(kept)) == []
    assert kept == 2
