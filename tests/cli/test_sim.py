"""`beamstream sim`: what it prints finds it, its faults are real, it ends when asked."""

import json
import signal

import h5py
import numpy as np
import pytest
from cli_commands import started

from beamstream.frames import Geometry
from beamstream.sim.scene import Beam, BeamScene


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


def test_a_beam_scene_is_recorded_bit_by_bit(beamstream, tmp_path):
    options = ("--isolated", "--json", "--scene", "beam", "--shape", "64x80", "--fps", 100)
    with started(tmp_path, "sim", "beamline", *options) as beamline:
        ready = json.loads(beamline.line())
        (names,) = ready["cameras"]
        done = beamstream(
            "record", f"pva://{names['image']}", "--control", names["control"], "--num", 8, "--out", "data", "--json",
            env=ready["environment"],
        )  # fmt: skip
        ended = beamline.end()
    assert (done.status, names["scene"], ended.err) == (0, "beam", ""), done.err
    scene = BeamScene(Geometry((64, 80), "<u2"))
    with h5py.File(done.json["files"]["cam"], "r") as file:
        ids, images = file["entry/data/unique_id"][:], file["entry/data/data"][:]
    assert len(ids) == 8
    assert all(np.array_equal(i, scene.image(int(n), Beam(exposure=0.005))) for n, i in zip(ids, images, strict=True))


def test_people_are_told_where_shutter_and_sample_are(tmp_path):
    options = ("--isolated", "--scene", "beam", "--dtype", "uint8", "--shape", "64x80")
    with started(tmp_path, "sim", "camera", *options) as camera:
        lines = [camera.line() for _ in range(5)]
        camera.end()
    assert "SIM:CAM:sim1:Shutter" in lines[3]
    assert "SIM:CAM:sim1:Sample" in lines[4]


def test_a_beam_scene_has_no_colours(beamstream):
    done = beamstream("sim", "beamline", "--scene", "beam", "--colour", "rgb1", "--dtype", "uint8")
    done.failed_with("scene beam", "in mono")


def test_a_scene_that_is_not_there_is_refused_with_those_that_are(beamstream):
    beamstream("sim", "beamline", "--scene", "sunset").failed_with("pattern", "beam", status=2)
