"""What callbacks behind a recording cost it, and whether they get every frame."""

import numpy as np
import pytest
import tifffile

from beamstream.callbacks.flatfield import FlatField
from beamstream.callbacks.live_stats import LiveStats
from beamstream.callbacks.recorder import Recorder

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize("rig", [1024], indirect=True)
@pytest.mark.parametrize("format", ["tiff", "hdf5"])
def test_a_chain_behind_a_recording_costs_it_no_frame(rig, format, seconds, report, tmp_path):
    flat = np.linspace(0.8, 1.2, rig.size**2).reshape(rig.size, rig.size)
    with rig.detector() as cam:
        alone = rig.recorded(100, seconds, cam)
        recorder = Recorder(tmp_path / "out", format=format, stream="corrected")
        with rig.chained(FlatField(flat), recorder, LiveStats()) as documents:
            taken = rig.recorded(100, seconds, cam)
    account = documents.account
    report(
        f"1024² at 100 fps, FlatField to float32, Recorder {format}, LiveStats",
        f"{taken.recorded} recorded, {taken.lost} lost; corrected {account['corrected_frames']} "
        f"({account['corrected_late']} late), kept again {account['recorder_frames']} "
        f"({account['recorder_late']} late); "
        f"{100 * taken.cpu / taken.span:.0f} % of a core, alone {100 * alone.cpu / alone.span:.0f} %",
    )
    assert taken.lost == 0
    assert account["corrected_frames"] == account["recorder_frames"] == taken.frames


@pytest.mark.parametrize(
    ("rig", "fps"), [((512, "|u1"), 200), ((1024, "<u2"), 100), ((2048, "<u2"), 50)], indirect=["rig"], ids=str
)
def test_a_live_stream_is_recorded_as_tiff_every_frame(rig, fps, seconds, report, tmp_path):
    with rig.detector() as cam, rig.chained(Recorder(tmp_path / "out")) as documents:
        taken = rig.recorded(fps, seconds, cam)
    files = sorted((tmp_path / "out").rglob("*.tiff"))
    assert tifffile.imread(files[-1]).shape == (rig.size, rig.size)
    account = documents.account
    report(
        f"{rig.size}² {rig.spec.geometry.dtype} at {fps} fps as TIFF files",
        f"{len(files)} files of {taken.frames} frames, {taken.lost} lost, {account['recorder_late']} late, "
        f"{100 * taken.cpu / taken.span:.0f} % of a core",
    )
    assert len(files) == taken.frames
