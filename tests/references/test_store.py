"""Darks and flats as files: what is kept is found again, whatever else lies there."""

import json
import os
import re
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest

from beamstream.errors import CalibrationError, NoReference, StaleReference, WrongGeometry
from beamstream.frames import ColorMode, Geometry
from beamstream.references import Reference, ReferenceHeader, stored

GEOMETRY = Geometry((3, 5), "<u2")
HOUR = 3600.0


def fields(kept: Reference) -> dict:
    return {key: getattr(kept, key) for key in ReferenceHeader.__slots__}


def test_what_is_kept_comes_back_as_it_was(reference, store):
    colour = Geometry((3, 5, 3), "|u1", ColorMode.RGB1, "jpeg")
    for original in (
        reference(),
        reference(kind="dark", exposure=None, run="", origin="/data/düster.npy", number=1, taken=1_000_000_000.5),
        reference(geometry=colour, detector="13SIM1:Pva1:Image"),
    ):
        kept = store.keep(original)
        back = store.load(kept.path)
        assert fields(back) == fields(kept) == {**fields(original), "path": kept.path}
        np.testing.assert_array_equal(back.mean, original.mean)
        np.testing.assert_array_equal(back.std, original.std)


def test_nothing_is_made_before_the_first_one_is_kept(store):
    assert store.list() == []
    with pytest.raises(NoReference):
        store.find("dark", "cam", GEOMETRY)
    assert not store.directory.exists()


def test_a_file_is_named_after_what_it_is_and_says_it_in_nexus(reference, store):
    kept = store.keep(reference(taken=1_000_000_000.0))
    assert re.fullmatch(r"flat_20010909_014640_[0-9a-f]{8}\.h5", kept.path.name)
    assert kept.path.parent == store.directory / "cam"
    assert kept.name == "flat cam 2001-09-09T01:46:40Z (20 frames) 1f0c8a3e"
    with h5py.File(kept.path) as file:
        assert [file[place].attrs["NX_class"] for place in ("/", "entry", "entry/data")] == [
            "NXroot",
            "NXentry",
            "NXdata",
        ]
        group = file[file.attrs["default"]][file["entry"].attrs["default"]]
        signal = group[group.attrs["signal"]]
        assert (signal.shape, signal.chunks, signal.dtype) == ((1, 3, 5), (1, 3, 5), np.dtype("<f8"))
        assert signal.attrs["units"] == "counts"
        assert json.loads(group.attrs["geometry"]) == GEOMETRY.to_dict()


def test_the_newest_that_fits_is_found(reference, store):
    now = time.time()
    for age in (300, 100, 200):
        store.keep(reference(taken=now - age))
    store.keep(reference(kind="dark", taken=now))
    store.keep(reference(detector="other", taken=now))
    store.keep(reference(exposure=0.2, taken=now))
    store.keep(reference(geometry=Geometry((5, 3), "<u2"), taken=now))
    store.keep(reference(geometry=Geometry((3, 5), "<u2", ColorMode.BAYER), taken=now))
    found = store.find("flat", "cam", GEOMETRY, exposure=0.1)
    assert found.taken == now - 100
    assert found.path is not None
    assert found.age == pytest.approx(100, abs=20)


def test_pixel_type_and_codec_need_not_fit(reference, store):
    kept = store.keep(reference())
    assert store.find("flat", "cam", Geometry((3, 5), "<f4", ColorMode.MONO, "blosc")).path == kept.path


@pytest.mark.parametrize(
    ("kept", "asked", "fits"),
    [(0.1, 0.1009, True), (0.1, 0.1011, False), (0.1, 0.0989, False), (None, 0.1, True), (0.1, None, True)],
)
def test_exposures_may_differ_by_one_percent(reference, store, kept, asked, fits):
    store.keep(reference(exposure=kept))
    if fits:
        assert store.find("flat", "cam", GEOMETRY, exposure=asked).exposure == kept
    else:
        with pytest.raises(NoReference, match=f"with {asked} s asked for, there are some for .* with 0.1 s; take some"):
            store.find("flat", "cam", GEOMETRY, exposure=asked)


def test_none_at_all_says_where_it_was_looked_for_and_what_to_do(store):
    words = (
        r"cam: a dark for 3 × 5 uint16 asked for, there is none in .*references/cam; take some: RE\(darks\(cam, 20\)"
    )
    with pytest.raises(NoReference, match=words):
        store.find("dark", "cam", GEOMETRY)


def test_another_geometry_alone_names_both(reference, store):
    store.keep(reference())
    for asked in (Geometry((6, 10), "<u2"), Geometry((3, 5), "<u2", ColorMode.BAYER)):
        with pytest.raises(WrongGeometry, match=rf"for {asked} .*there are some for 3 × 5 uint16; take some"):
            store.find("flat", "cam", asked, exposure=0.1)


def test_when_no_single_change_would_help_everything_is_named(reference, store):
    store.keep(reference(exposure=0.5))
    store.keep(reference(geometry=Geometry((6, 10), "<u2")))
    with pytest.raises(NoReference, match=r"6 × 10 uint16 with 0\.1 s") as raised:
        store.find("flat", "cam", GEOMETRY, exposure=0.1)
    assert "3 × 5 uint16 with 0.5 s" in str(raised.value)


@pytest.mark.parametrize(
    ("age", "max_age", "words"),
    [
        (7.5 * HOUR, 2 * HOUR, "of the last 2 hours asked for, the newest that fits is 7.5 hours old"),
        (10 * 24 * HOUR, 90 * 60, "of the last 90 minutes asked for, the newest that fits is 10 days old"),
    ],
)
def test_one_that_is_too_old_says_so_in_human_words(reference, store, age, max_age, words):
    store.keep(reference(taken=time.time() - age))
    store.keep(reference(taken=time.time(), exposure=9.0))  # does not fit
    with pytest.raises(StaleReference, match=words):
        store.find("flat", "cam", GEOMETRY, exposure=0.1, max_age=max_age)
    assert store.find("flat", "cam", GEOMETRY, exposure=0.1, max_age=age + HOUR)


def test_the_list_is_newest_first_and_can_be_narrowed(reference, store):
    for detector in ("a", "b"):
        for kind in ("dark", "flat"):
            for taken in (1e9, 1e9 + 2.25, 1e9 + 2.5):
                store.keep(reference(kind=kind, detector=detector, taken=taken))
    assert [about.taken - 1e9 for about in store.list()] == [2.5] * 4 + [2.25] * 4 + [0.0] * 4
    assert {about.kind for about in store.list("dark")} == {"dark"}
    assert {about.detector for about in store.list(detector="b")} == {"b"}
    (newest, *_) = store.list("flat", "b")
    assert fields(store.load(newest.path)) == {key: getattr(newest, key) for key in ReferenceHeader.__slots__}


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/tmp", ".hidden", "a\\b", "a\0", "a\n", "a?b", "x" * 101]
)
def test_a_detector_cannot_lead_out_of_the_directory(reference, store, name):
    for attempt in (
        lambda: store.keep(reference(detector=name)),
        lambda: store.list(detector=name),
        lambda: store.find("flat", name, GEOMETRY),
    ):
        with pytest.raises(ValueError, match="references: a detector named"):
            attempt()
    assert not store.directory.exists()


def test_a_reference_that_contradicts_itself_is_not_made(reference):
    for changes in (
        {"kind": "bias"},
        {"number": 0},
        {"taken": float("nan")},
        {"taken": 1e12},
        {"exposure": -1.0},
        {"mean": np.zeros((5, 3))},
        {"std": np.zeros(())},
    ):
        with pytest.raises(ValueError, match="cam: a"):
            reference(**changes)


def test_a_file_of_another_detector_in_the_directory_is_not_this_ones(reference, store):
    kept = store.keep(reference(detector="other"))
    (store.directory / "cam").mkdir()
    kept.path.rename(store.directory / "cam" / kept.path.name)
    assert store.list(detector="cam") == []


def test_a_missing_file_is_a_calibration_error(store):
    with pytest.raises(CalibrationError, match=r"gone\.h5: .* there is no such file"):
        store.load(store.directory / "gone.h5")


def test_a_stored_reference_is_described_as_a_sink_would(reference, store):
    kept = store.keep(reference())
    about = stored(kept)
    assert about.uri == f"file://localhost{kept.path}"
    assert about.mimetype == "application/x-hdf5"
    assert list(about.arrays) == ["mean", "std"]
    std = about.arrays["std"]
    assert (std.dtype_numpy, std.shape, std.units) == ("<f8", (3, 5), "counts")
    assert std.parameters == {"dataset": "/entry/data/std", "chunk_shape": [1, 3, 5], "swmr": False}
    with pytest.raises(ValueError, match="keep"):
        stored(replace(kept, path=None))


@pytest.mark.parametrize("wrong", [4711.5, 631_152_000.0 + 60, 4_000_000_000.0], ids=["uptime", "EPICS", "to come"])
def test_a_time_that_no_clock_can_have_meant_is_that_of_the_file(reference, store, wrong):
    kept = store.keep(reference(taken=wrong))
    found = store.find("flat", "cam", GEOMETRY, exposure=0.1, max_age=HOUR)
    assert found.path == kept.path
    assert found.taken == store.list()[0].taken == kept.path.stat().st_mtime
    os.utime(kept.path, (time.time() - 3 * HOUR,) * 2)
    with pytest.raises(StaleReference, match="3 hours"):
        store.find("flat", "cam", GEOMETRY, exposure=0.1, max_age=HOUR)
