"""`beamstream sim`: what it prints finds it, its faults are real, it ends when asked."""

import json
import signal

import pytest
from cli_commands import started


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_isolated_camera_is_found_with_the_variables_it_prints_and_loses_what_it_was_told(
    beamstream, tmp_path, number
):
    arguments = (
        "--isolated",
        "--json",
        "--prefix",
        "ALONE",
        "--shape",
        "64x80",
        "--fps",
        200,
        "--fault",
        "skip_every=5",
    )
    with started(tmp_path, "sim", "camera", *arguments) as camera:
        ready = json.loads(camera.line())
        (names,) = ready["cameras"]
        done = beamstream(
            "record", f"pva://{names['image']}", "--control", names["control"], "--num", 50, "--out", "data", "--json",
            env=ready["environment"],
        )  # fmt: skip
        ended = camera.end(number)
    assert done.status == 3, done.err
    assert (done.json["recorded"], done.json["lost"]) == (40, 10)
    assert ended.status == 0
    assert ended.err == ""


def test_people_are_told_the_names_and_what_to_export(tmp_path):
    options = ("--isolated", "--cameras", 2, "--motors", 1, "--shape", "64x80")
    with started(tmp_path, "sim", "beamline", *options) as beamline:
        lines = [beamline.line()]
        while "Ctrl-C" not in lines[-1]:
            lines.append(beamline.line())
        ended = beamline.end(signal.SIGINT, signal.SIGINT)
    text = "".join(lines)
    for word in (
        "pva://SIM:CAM:Pva1:Image",
        "pva://SIM:CAM2:Pva1:Image",
        "SIM:MTR1",
        "export EPICS_PVA_ADDR_LIST=127.0.0.1",
    ):
        assert word in text
    assert ended.status == 0
    assert "Traceback" not in ended.err
