"""A tomographic scan in Data Exchange: the angle of each frame, and the dark and the white that belong to it."""

import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from recorded_runs import EXPOSURE, GEOMETRY, Runs, shown

from beamstream.callbacks.flatfield import FlatField
from beamstream.callbacks.recorder import Recorder
from beamstream.errors import ArchiveError
from beamstream.export import export_run
from beamstream.export.angles import scanned, theta
from beamstream.frames import ColorMode, Geometry
from beamstream.references import Reference, ReferenceStore
from beamstream.sinks.hdf5_layout import Column

Tomo = tuple[NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None, NDArray[Any]]


def read_aps(path: Path) -> Tomo:
    """Return data, white, dark and theta in radians, as ``dxchange.read_aps_32id`` and ``read_aps_tomoscan_hdf5`` do.

    The package of this name in the registry is another library; these are its rules, from its source.
    """
    with h5py.File(path) as file:
        found = [file[key][()] if key in file else None for key in ("exchange/data", "exchange/data_white")]
        dark = file["exchange/data_dark"][()] if "exchange/data_dark" in file else None
        angles = file["exchange/theta"][()] if "exchange/theta" in file else np.linspace(0, 180, len(found[0]))
    return found[0], found[1], dark, np.deg2rad(angles)


def scan(units: str = "deg", **motors: list[float]) -> dict[str, Any]:
    return {
        "motors": {name: (units, places) for name, places in motors.items()},
        "hints": {"dimensions": [[[name], "primary"] for name in motors]},
    }


def reference(kind: Any, level: float, taken: float, **other: Any) -> Reference:
    geometry = other.pop("geometry", GEOMETRY)
    mean = np.full(geometry.shape, level)
    mean[0, 0] = 7
    return Reference(
        kind, mean, np.zeros_like(mean), 20, "cam", geometry, other.pop("exposure", EXPOSURE), taken, **other
    )


def exported(runs: Runs, uid: str, out: Path, store: ReferenceStore | None = None, **options: Any) -> Path:
    recorder = Recorder(out, format="dxchange", references=store, **options)
    return export_run(runs.documents(uid), recorder).files[0].path


@pytest.fixture
def store(tmp_path: Path) -> ReferenceStore:
    return ReferenceStore(tmp_path / "references")


def test_a_tomography_reader_gets_projections_white_dark_and_angles(runs, tmp_path, store):
    now = time.time()
    store.keep(reference("dark", 100, now - 20))
    store.keep(reference("flat", 900, now - 10))
    places = [0.0, 45.0, 90.0, 135.0, 180.0]
    uid = runs.record(
        5, **scan(rot=places), sample="tooth", user="Ana", proposal="P-17", pixel={"pixel_size": [6.5, 6.5]}
    )
    path = exported(runs, uid, tmp_path / "out", store)
    data, white, dark, angles = read_aps(path)
    assert np.array_equal(data, shown(5))
    assert angles == pytest.approx(np.deg2rad(places))
    assert white.shape == dark.shape == (1, 48, 64)
    assert (white[0, 0, 0], white[0, 1, 1], dark[0, 1, 1]) == (7, 900, 100)
    with h5py.File(path) as file:
        assert file["measurement/sample/name"].asstr()[0] == "tooth"
        assert file["measurement/sample/experimenter/name"].asstr()[0] == "Ana"
        assert file["measurement/sample/experiment/proposal"].asstr()[0] == "P-17"
        assert file["process/acquisition/start_date"].asstr()[0].startswith(time.strftime("%Y", time.gmtime(now)))
        assert file["measurement/instrument/detector/x_pixel_size"][()] == 6.5
        assert file["measurement/instrument/detector/exposure_time"][()] == EXPOSURE


@pytest.mark.parametrize(("units", "factor"), [("rad", 180 / np.pi), ("mrad", 0.18 / np.pi), ("deg", 1.0), ("", 1.0)])
def test_angles_are_in_degrees_whatever_the_motor_counts_in(runs, tmp_path, units, factor):
    uid = runs.record(3, **scan(units, rot=[0.0, 1.0, 2.0]))
    assert np.rad2deg(read_aps(exported(runs, uid, tmp_path))[3]) == pytest.approx(factor * np.arange(3))


def test_every_second_frame_has_its_own_angle(runs, tmp_path):
    uid = runs.record(40, **scan(rot=[float(n) for n in range(40)]))
    path = exported(runs, uid, tmp_path, stride=2)
    data, _, _, angles = read_aps(path)
    assert np.array_equal(data, shown(40)[::2])
    assert np.rad2deg(angles) == pytest.approx(np.arange(0, 40, 2))


def test_references_are_those_that_fit_and_were_there_by_the_end_of_the_run(runs, tmp_path, store):
    now = time.time()
    store.keep(reference("flat", 1, now - 30))
    store.keep(reference("flat", 2, now - 20))
    store.keep(reference("flat", 3, now + 3600))  # of a later experiment
    store.keep(reference("flat", 4, now - 5, exposure=2 * EXPOSURE))
    store.keep(reference("flat", 5, now - 5, geometry=Geometry((24, 32), "<u2")))
    store.keep(reference("dark", 6, now - 5, exposure=2 * EXPOSURE))
    _, white, dark, _ = read_aps(exported(runs, runs.record(2), tmp_path / "out", store))
    assert white[0, 1, 1] == 2
    assert dark is None


def test_a_region_is_cut_out_of_the_references_too(runs, tmp_path, store):
    store.keep(reference("flat", 900, time.time() - 10))
    data, white, _, _ = read_aps(exported(runs, runs.record(2), tmp_path / "out", store, region=(1, 2, 30, 40)))
    assert data.shape[1:] == white.shape[1:] == (30, 40)
    assert white.min() == 900


def test_corrected_frames_come_without_references(runs, tmp_path, store):
    store.keep(reference("flat", 900, time.time() - 10))
    correction = FlatField("latest", references=store)
    path = exported(runs, runs.record(2), tmp_path / "out", store, op_for=correction.op_for, label="corrected")
    assert read_aps(path)[1] is None


def test_darks_and_flats_that_the_run_took_itself_are_no_projections(runs, tmp_path, store):
    store.keep(reference("flat", 900, time.time() - 10))
    streams = {"dark": 3, "flat_before": 2, "primary": 18, "flats": 1}
    uid = runs.record(24, streams=streams, **scan(rot=[float(n) for n in range(18)]))
    data, white, dark, angles = read_aps(exported(runs, uid, tmp_path / "out", store))
    every = shown(24)
    assert np.array_equal(data, every[5:23])
    assert np.rad2deg(angles) == pytest.approx(np.arange(18))
    assert dark[0] == pytest.approx(every[:3].mean(axis=0))
    assert white[0] == pytest.approx(every[[3, 4, 23]].mean(axis=0))


def test_a_run_of_darks_alone_is_exported_as_frames(runs, tmp_path):
    data, _, dark, _ = read_aps(exported(runs, runs.record(4, streams={"dark": 4}), tmp_path))
    assert np.array_equal(data, shown(4))
    assert dark is None


def test_references_that_the_run_was_corrected_with_come_before_newer_ones(runs, tmp_path, store):
    now = time.time()
    used = store.keep(reference("flat", 500, now - 100))
    store.keep(reference("flat", 900, now - 10))
    uid = runs.record(2)
    documents = [*runs.documents(uid)]
    derived = {"derived_from": "cam_image", "flat_name": used.name}
    descriptor = {"uid": "d", "name": "primary_corrected", "data_keys": {}, "object_keys": {}}
    documents.insert(-1, ("descriptor", descriptor | {"configuration": {"cam_corrected": {"data": derived}}}))
    recorder = Recorder(tmp_path / "out", format="dxchange", references=store)
    _, white, _, _ = read_aps(export_run(documents, recorder).files[0].path)
    assert white[0, 1, 1] == 500


def test_a_frame_without_a_reading_has_no_angle(runs, tmp_path):
    uid = runs.record(4, **scan(rot=[0.0, 1.0, 2.0]), read=3)
    angles = read_aps(exported(runs, uid, tmp_path))[3]
    assert np.rad2deg(angles[:3]) == pytest.approx([0, 1, 2])
    assert np.isnan(angles[3])


def test_runs_without_a_scan_have_no_angles_and_colours_are_kept(runs, tmp_path):
    geometry = Geometry((48, 64, 3), "|u1", ColorMode.RGB1)
    path = exported(runs, runs.record(3, geometry=geometry), tmp_path)
    with h5py.File(path) as file:
        assert "theta" not in file["exchange"]
        assert np.array_equal(file["exchange/data"], shown(3, geometry))


def test_the_angle_can_be_named(runs, tmp_path):
    uid = runs.record(2, **scan(rot=[0.0, 1.0], tilt=[5.0, 6.0]))
    assert np.rad2deg(read_aps(exported(runs, uid, tmp_path / "a", theta="tilt"))[3]) == pytest.approx([5, 6])
    with pytest.raises(ArchiveError, match="angles in 'x' asked for, there are rot, tilt beside the frames"):
        exported(runs, uid, tmp_path / "b", theta="x")


def columns(**units: str) -> tuple[Column, ...]:
    return tuple(Column(name, "<f8", unit) for name, unit in units.items())


def dimensions(*fields: str) -> dict[str, Any]:
    return {"hints": {"dimensions": [[[field], "primary"] for field in fields]}}


@pytest.mark.parametrize(
    ("start", "there", "expected"),
    [
        (dimensions("motor"), columns(motor="mm", motor_user_setpoint="mm", current="mA"), "motor"),
        (dimensions("y", "rot"), columns(y="mm", rot="deg"), "rot"),
        (dimensions("y", "sample_theta"), columns(y="mm", sample_theta=""), "sample_theta"),
        (dimensions("y", "x"), columns(y="mm", x="mm"), None),
        (dimensions("rot", "tilt"), columns(rot="deg", tilt="deg"), None),
        ({}, columns(rot="deg", rot_user_setpoint="deg", temperature="K"), "rot"),
        ({}, columns(temperature="K"), None),
        ({}, (), None),
        ({"hints": {"dimensions": "rot"}}, columns(rot="deg"), "rot"),
        ({"hints": {"dimensions": [[], 5, [None], [["time"], "primary"]]}}, columns(motor="mm"), None),
        ({"hints": None}, columns(motor="mm"), None),
    ],
)
def test_the_angle_is_what_was_scanned_or_what_is_in_degrees(start, there, expected):
    found = theta(start, there)
    assert (None if found is None else found.name) == expected


def test_what_was_scanned_is_what_the_hints_hold_and_frames_have():
    start = {"hints": {"dimensions": [[["a", "b"], "primary"], [["time"], "primary"]]}}
    assert scanned(start, columns(b="mm", a="mm", c="mm")) == ("a", "b")
