"""A compressed frame that does not decode costs callbacks that one frame, not its batch nor those behind it."""

import numpy as np
import pytest
from damaged_frames import compressed
from growing import EPOCH, Documents, frames_of, oscillating, play

from beamstream.callbacks.chain import Chain
from beamstream.callbacks.intensity import Intensity

FILM = oscillating(0.5)
BAD = (3, 4, 90)


@pytest.mark.parametrize("required", [False, True])
def test_a_frame_that_does_not_decode_is_left_out_and_counted(tmp_path, caplog, required):
    film = frames_of(FILM, np.arange(150) / 10)
    frames = [compressed(frame, damaged=frame.unique_id in BAD) for frame in film]
    docs = Documents()
    chain = Chain(docs, [Intensity({"spot": (10, 12, 6, 8)}, required=required)])
    play(chain, tmp_path, frames)
    account = docs.account
    assert (account["intensity_frames"], account["intensity_undone"], account["intensity_failed"]) == (147, 0, 3)
    times = docs.rows("cam_intensity_time")
    assert np.allclose(times, [EPOCH + n / 10 for n in range(150) if n not in BAD])
    assert docs.of("stop")[0]["exit_status"] == ("fail" if required else "success")
    assert "frame 3 does not decode" in caplog.text
