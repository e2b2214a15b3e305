"""Recorded frames whose bytes are damaged, over HTTP: they cost no other frame of a slice."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))  # for recorded_runs
from recorded_runs import Runs, shown

from beamstream.archive.catalog import wait_for_run
from beamstream.frames import Geometry

BAD = (0, 3, 9)


@pytest.mark.parametrize("codec", ["zlib", "blosc"])
@pytest.mark.parametrize("dtype", ["<u2", "<f4"])
def test_a_frame_that_does_not_decode_is_served_as_nothing_and_the_others_as_they_are(archive, codec, dtype):
    geometry = Geometry((48, 64), dtype, codec=codec)
    runs = Runs(archive.layout.directory)
    uid = runs.record(10, geometry=geometry, damaged=BAD)
    wait_for_run(archive.client, uid)
    images = archive.client[uid]["primary"]["cam_image"]
    expected = shown(10, Geometry((48, 64), dtype))
    expected[list(BAD)] = np.nan if dtype == "<f4" else 0
    for part in (np.s_[:], np.s_[2:5], np.s_[3], np.s_[1:9:2, 4:8], np.s_[9]):
        np.testing.assert_array_equal(images[part], expected[part])
    log = (archive.layout.directory / "server.log").read_text()
    assert f"{runs.raw(uid)}: frames that do not decode" in log
