"""A recorded run in another format: every frame, bit-exact, all or nothing."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from read_formats import INEXACT, READ, h5
from recorded_runs import shown

from beamstream.callbacks.flatfield import FlatField
from beamstream.callbacks.recorder import Recorder
from beamstream.errors import ArchiveError, NoReference, SinkError
from beamstream.export import export_run
from beamstream.frames import ColorMode, Geometry
from beamstream.references import Reference, ReferenceStore
from beamstream.sinks.formats import FORMATS


def left(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("format", READ)
def test_every_frame_is_exported_bit_exact(runs, tmp_path, format):
    assert set(READ) | INEXACT == set(FORMATS)
    uid = runs.record(40)
    told: list[tuple[int, int]] = []
    result = export_run(
        runs.documents(uid), Recorder(tmp_path / "out", format=format), progress=lambda *n: told.append(n)
    )
    (file,) = result.files
    assert file.path.name == f"frame_00001_{uid[:8]}_cam{FORMATS[format].suffix}"
    assert np.array_equal(READ[format](file.path), shown(40))
    assert (file.detector, file.frames, result.run, result.scan_id) == ("cam", 40, uid, 1)
    assert format == "mkv" or file.nbytes >= 40 * 48 * 64 * 2
    assert told[-1] == (40, 40)
    npy = [f"{file.path.stem}.frames.npy"] if format == "npy" else []
    assert left(tmp_path / "out") == sorted([file.path.name, *npy])


def test_unique_ids_and_times_come_along(runs, tmp_path):
    uid = runs.record(20)
    result = export_run(runs.documents(uid), Recorder(tmp_path / "out", format="hdf5"))
    for key in ("unique_id", "timestamp", "received"):
        where = f"entry/data/{key}"
        assert np.array_equal(h5(result.files[0].path, where), h5(runs.raw(uid), where))
    with h5py.File(result.files[0].path) as file:
        assert file["entry"].attrs["complete"] == 1
        assert file["entry/data"].attrs["run"] == uid


def test_frames_of_any_size_and_colour_are_exported_in_order(runs, tmp_path):
    geometry = Geometry((300, 3, 200), "|u1", ColorMode.RGB2)  # more than one batch
    uid = runs.record(150, geometry=geometry)
    result = export_run(runs.documents(uid), Recorder(tmp_path / "out", format="hdf5"))
    assert np.array_equal(READ["hdf5"](result.files[0].path), shown(150, geometry))


def test_detectors_become_files_of_their_own_and_can_be_chosen(runs, tmp_path):
    uid = runs.record(5, names=("cam", "side"))
    both = export_run(runs.documents(uid), Recorder(tmp_path / "both", format="npy"))
    assert [file.detector for file in both.files] == ["cam", "side"]
    assert all(np.array_equal(np.load(file.path), shown(5)) for file in both.files)
    one = export_run(runs.documents(uid), Recorder(tmp_path / "one", format="npy", detectors=["side"]))
    assert [file.detector for file in one.files] == ["side"]


def test_a_region_and_every_second_frame(runs, tmp_path):
    uid = runs.record(21)
    recorder = Recorder(tmp_path / "out", format="bigtiff", region=(1, 2, 30, 40), stride=2)
    (file,) = export_run(runs.documents(uid), recorder).files
    assert np.array_equal(tifffile.imread(file.path), shown(21)[::2, 1:31, 2:42])
    assert (file.frames, file.about["region"], file.about["stride"]) == (11, [1, 2, 30, 40], 2)


def test_a_region_outside_is_said_and_leaves_nothing(runs, tmp_path):
    uid = runs.record(3)
    with pytest.raises(ValueError, match="the images have 48 rows and 64 columns"):
        export_run(runs.documents(uid), Recorder(tmp_path / "out", region=(0, 0, 49, 1)))
    assert left(tmp_path / "out") == []


def test_raw_frames_are_corrected_on_the_way_with_the_references_that_fit(runs, tmp_path):
    store = ReferenceStore(tmp_path / "references")
    flat = np.random.default_rng(0).uniform(500, 1500, (48, 64))
    store.keep(Reference("flat", flat, np.zeros_like(flat), 20, "cam", Geometry((48, 64), "<u2"), None, 1e9))
    uid = runs.record(10)
    correction = FlatField("latest", references=store)
    recorder = Recorder(tmp_path / "out", format="hdf5", op_for=correction.op_for, label="corrected")
    (file,) = export_run(runs.documents(uid), recorder).files
    assert file.path.stem.endswith("_cam_corrected")
    expected = shown(10) / flat * flat.mean()
    np.testing.assert_allclose(READ["hdf5"](file.path), expected, rtol=1e-5)
    assert "flat cam" in str(file.about)


def test_a_missing_reference_is_said_and_leaves_nothing(runs, tmp_path):
    uid = runs.record(3)
    correction = FlatField("latest", references=tmp_path / "references")
    with pytest.raises(NoReference, match="there is none in"):
        export_run(runs.documents(uid), Recorder(tmp_path / "out", op_for=correction.op_for))
    assert left(tmp_path / "out") == []


def test_a_run_of_darks_is_exported_as_any_other(runs, tmp_path):
    uid = runs.record(4, purpose="reference", reference="dark")
    (file,) = export_run(runs.documents(uid), Recorder(tmp_path / "out", format="npy")).files
    assert np.array_equal(np.load(file.path), shown(4))


@pytest.mark.parametrize("format", READ)
def test_what_exists_is_never_overwritten(runs, tmp_path, format):
    uid = runs.record(5)
    recorder = Recorder(tmp_path / "out", format=format)
    (file,) = export_run(runs.documents(uid), recorder).files
    before, names = READ[format](file.path), left(tmp_path / "out")
    with pytest.raises(SinkError, match="exists and is never overwritten; choose another --out or delete it"):
        export_run(runs.documents(uid), recorder)
    assert np.array_equal(READ[format](file.path), before)
    assert left(tmp_path / "out") == names


def test_frames_that_are_elsewhere_are_an_error_that_says_what_to_do(runs, tmp_path):
    uid = runs.record(5)
    runs.raw(uid).unlink()
    with pytest.raises(ArchiveError, match=r"cam_.*\.h5 is not on this machine; run the export where it is, or read"):
        export_run(runs.documents(uid), Recorder(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [{"stream": "corrected"}, {"detectors": ["other"]}])
def test_frames_that_the_run_does_not_have_are_an_error_that_says_what_there_is(runs, tmp_path, options):
    uid = runs.record(5)
    with pytest.raises(ArchiveError, match=r"has none \(with frames are cam_image\)"):
        export_run(runs.documents(uid), Recorder(tmp_path / "out", **options))


def test_a_file_that_was_cut_off_is_said_and_leaves_nothing(runs, tmp_path):
    uid = runs.record(40)
    os.truncate(runs.raw(uid), runs.raw(uid).stat().st_size // 2)
    with pytest.raises(SinkError):
        export_run(runs.documents(uid), Recorder(tmp_path / "out", format="npy"))
    assert left(tmp_path / "out") == []


EXPORT = """
import sys
from pathlib import Path
from beamstream.archive.documents import Tail
from beamstream.callbacks.recorder import Recorder
from beamstream.export import export_run

def halfway(done, announced):
    if done >= announced / 2:
        print("halfway", flush=True)
        sys.stdin.read()

export_run(Tail(Path(sys.argv[1])).read(1 << 30), Recorder(sys.argv[2], format=sys.argv[3]), progress=halfway)
"""


@pytest.mark.parametrize("format", ["tiff", "hdf5", "zarr", "npy"])
def test_a_killed_export_leaves_nothing_that_looks_complete_and_the_next_one_cleans_up(runs, tmp_path, format):
    uid = runs.record(300)
    out = tmp_path / "out"
    recorder = Recorder(out, format=format)
    command = [sys.executable, "-c", EXPORT, str(runs.journal / f"{uid}.jsonl"), str(out), format]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "halfway\n"
        with pytest.raises(SinkError, match="is being made by another process; wait for it"):
            export_run(runs.documents(uid), recorder)
        process.send_signal(signal.SIGKILL)
    assert left(out)
    assert all(name.startswith(".") for name in left(out))
    (file,) = export_run(runs.documents(uid), recorder).files
    assert np.array_equal(READ[format](file.path), shown(300))
    assert [name for name in left(out) if name.startswith(".")] == []


def test_an_interrupted_export_leaves_nothing(runs, tmp_path):
    uid = runs.record(300)

    def interrupt(done: int, announced: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_run(runs.documents(uid), Recorder(tmp_path / "out"), progress=interrupt)
    assert left(tmp_path / "out") == []


def test_two_exports_of_one_target_at_once_make_one_whole_file(runs, tmp_path):
    uid = runs.record(200)
    ends: list[object] = []

    def export() -> None:
        try:
            ends.append(export_run(runs.documents(uid), Recorder(tmp_path / "out", format="hdf5")))
        except SinkError as error:
            ends.append(error)

    threads = [threading.Thread(target=export) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join(30) for thread in threads]
    assert [isinstance(end, SinkError) for end in ends].count(False) == 1
    (path,) = (tmp_path / "out").iterdir()
    assert np.array_equal(READ["hdf5"](path), shown(200))


def test_somebodys_file_in_the_way_at_the_end_is_left_alone(runs, tmp_path):
    uid = runs.record(50)
    recorder = Recorder(tmp_path / "out", format="npy")
    target = tmp_path / "out" / f"frame_00001_{uid[:8]}_cam.npy"
    with pytest.raises(SinkError, match="exists and is never overwritten"):
        export_run(runs.documents(uid), recorder, progress=lambda *_: target.write_text("mine"))
    assert left(tmp_path / "out") == [target.name]
    assert target.read_text() == "mine"
