"""`beamstream darks` and `beamstream flats`: taken, captured, imported, exported, listed."""

from pathlib import Path
from typing import Any

import event_model
import h5py
import numpy as np
import pytest
from cli_commands import CONTROLLED, FREE, GEOMETRY, started

from beamstream.archive.documents import decode
from beamstream.file_uri import path_of
from beamstream.references import ReferenceStore
from beamstream.sim.pattern import Pattern


def documents(archive: Path, uid: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the documents of a run, each of them valid."""
    found = [tuple(decode(line)) for line in (archive / "journal" / f"{uid}.jsonl").read_bytes().splitlines(True)]
    for name, doc in found:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
    return found  # type: ignore[return-value]


@pytest.mark.usefixtures("beamline")
def test_a_flat_is_the_mean_of_the_frames_of_its_run_and_the_sample_comes_back(beamstream, tmp_path):
    taken = beamstream("flats", "camera", "--num", 8, "--motor", "motor", "--out-position", 0.2, "--json")
    assert taken.status == 0, taken.err
    flat = ReferenceStore(tmp_path / "archive/recordings/references").load(taken.json["path"])
    found = documents(tmp_path / "archive", taken.json["run"])
    start = found[0][1]
    assert (start["purpose"], start["reference"], start["plan_name"]) == ("reference", "flat", "flats")
    assert start["plan_args"]["out"] == [0.2]
    (raw,) = {d["uri"] for n, d in found if n == "stream_resource" and d["data_key"] == "camera_image"}
    with h5py.File(path_of(raw)) as file:
        ids = file["entry/data/unique_id"][:].tolist()  # type: ignore[index]
    assert flat.number == len(ids) == 8
    np.testing.assert_allclose(flat.mean, np.mean([Pattern(GEOMETRY).image(i) for i in ids], axis=0), rtol=1e-12)
    assert found[-1][1]["exit_status"] == "success"
    assert _position() == pytest.approx(0.0, abs=0.01)

    beamstream("darks", "camera", "-n", 3, "--set", "shutter").failed_with("write NAME=VALUE", status=2)
    beamstream("darks", "camera", "--set", "shutter=Ajar").failed_with("Ajar asked for", "knows Closed, Open")
    dark = beamstream("darks", "camera", "-n", 3, "--set", "shutter=Closed")
    assert dark.status == 0, dark.err
    assert _shutter() == "Open"
    assert "dark camera" in dark.out
    assert "(3 frames)" in dark.out
    (listed,) = beamstream("darks", "--list", "--json").json
    assert (listed["kind"], listed["number"], listed["detector"]) == ("dark", 3, "camera")
    people = beamstream("flats", "--list", "camera").out
    assert "128 × 160 uint16" in people
    assert taken.json["run"][:8] in people
    assert beamstream("flats", "--list", "free").out == "none\n"

    assert beamstream("flats", "camera", "--export", "flat.npy").status == 0
    assert np.array_equal(np.load(tmp_path / "flat.npy"), flat.mean)
    beamstream("flats", "camera", "--export", "flat.npy").failed_with("flat.npy", "never overwritten")


def _position() -> float:
    from caproto.sync.client import read

    return float(read("CLI:MTR1.RBV", timeout=5, repeater=False).data[0])


def _shutter() -> str:
    from caproto.sync.client import read

    return read("CLI:CAM:sim1:Shutter", timeout=5, repeater=False).data[0].decode()


def test_an_imported_reference_is_a_run_and_is_found(beamstream, tmp_path):
    image = np.random.default_rng(1).uniform(0, 100, (128, 160))
    np.save(tmp_path / "dark.npy", image)
    done = beamstream("darks", "camera", "--import", "dark.npy", "--exposure", 0.1, "--json")
    assert done.status == 0, done.err
    assert (done.json["exposure"], done.json["origin"]) == (0.1, str(tmp_path / "dark.npy"))
    found = documents(tmp_path / "archive", done.json["run"])
    assert [name for name, _ in found] == [
        "start", "descriptor", "stream_resource", "stream_resource", "stream_datum", "stream_datum", "stop",
    ]  # fmt: skip
    assert (found[0][1]["scan_id"], found[0][1]["reference"], found[-1][1]["exit_status"]) == (1, "dark", "success")
    assert list(found[1][1]["data_keys"]) == ["camera_mean", "camera_std"]
    kept = ReferenceStore(tmp_path / "archive/recordings/references").find("dark", "camera", GEOMETRY, exposure=0.1)
    assert np.array_equal(kept.mean, image)
    assert kept.run == done.json["run"]
    assert found[2][1]["uri"] == f"file://localhost{kept.path}"


@pytest.mark.usefixtures("beamline")
def test_a_flat_is_captured_from_the_run_in_progress(beamstream, tmp_path, wait_for):
    none = beamstream("flats", "free", "--capture", "-n", 5)
    none.failed_with("free: no ring of this name", "without --capture the frames are taken by a run of their own")
    recording = ("record", f"pva://{FREE.image}", "--name", "free", "--seconds", 60, "--out", "data")
    with started(tmp_path, *recording) as running:
        growing = tmp_path / "data"
        wait_for(lambda: [p for p in growing.rglob("*.h5") if p.stat().st_size > 2_000_000], 30, "frames")
        done = beamstream("flats", "free", "--capture", "-n", 5, "--archive", "data", "--json")
        running.end()
    assert done.status == 0, done.err
    assert (done.json["number"], done.json["origin"]) == (5, "capture")
    found = documents(tmp_path / "data", done.json["run"])
    assert (found[0][1]["origin"], found[0][1]["scan_id"]) == ("capture", 2)
    flat = ReferenceStore(tmp_path / "data/recordings/references").find("flat", "free", GEOMETRY)
    assert flat.mean.shape == GEOMETRY.shape
    assert flat.std.any()


@pytest.mark.usefixtures("beamline")
def test_a_silent_camera_makes_no_dark(beamstream, tmp_path):
    done = beamstream("darks", "pva://CLI:NO:Pva1:Image", "--timeout", 1)
    done.failed_with("the PV CLI:NO:Pva1:Image did not answer within 1 s")
    assert ReferenceStore(tmp_path / "archive/recordings/references").list() == []


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (["flats"], "none given; name one, or use --list", 2),
        (["flats", "camera", "--capture", "--list"], "only one of them can be done at a time", 2),
        (["flats", "camera", "--motor", "motor"], "one of them given; give both or none", 2),
        (["flats", "camera", "--exposure", 1], "goes with --import and --capture only", 2),
        (["flats", "camera", "--capture", "--motor", "motor", "--out-position", 1], "frames that are taken only", 2),
        (["flats", "camera", "--motor", "free", "--out-position", 1], "configured are motor", 1),
        (["darks", "nobody", "--import", "x.npy"], "nobody asked for, which is no configured detector", 1),
        (["darks", "camera", "--import", "x.npy"], "No such file or directory; check the path", 1),
        (["darks", "camera", "--export", "x.npy"], "camera: a dark to be exported, there is none", 1),
        (["darks", f"pva://{CONTROLLED.image}", "--num", 0], "greater than or equal to 1", 2),
    ],
)
def test_what_cannot_be_is_said_in_one_line(beamstream, arguments, words, status):
    beamstream(*arguments).failed_with(words, status=status)
