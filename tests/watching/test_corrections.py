"""Flat, dark and pipeline as somebody switches them."""

import json

import numpy as np
import pytest

from beamstream.frames import Frame, Geometry
from beamstream.references import Reference, ReferenceStore
from beamstream.watching.corrections import Corrections

GEOMETRY = Geometry((16, 20), "<u2")
RAW = np.arange(320, dtype="<u2").reshape(16, 20) + 500
FRAME = Frame(RAW, GEOMETRY, 1, 0.0, 0.0)
FLAT = np.linspace(100, 200, 320).reshape(16, 20)
DARK = np.full((16, 20), 20.0)


@pytest.fixture
def store(tmp_path):
    store = ReferenceStore(tmp_path / "references")

    def keep(kind, mean, taken):
        return store.keep(Reference(kind, mean, np.zeros_like(mean), 5, "camera", GEOMETRY, None, taken))

    store.add = keep
    return store


def test_nothing_asked_for_leaves_the_frame_as_it_is(store):
    shown = Corrections("camera", store.directory)
    assert not shown.wanted
    assert shown.apply(FRAME) is RAW
    assert shown.state == {"flat": None, "dark": None, "pipeline": None, "note": "", "failed": False}


def test_flat_and_dark_are_the_newest_that_fit_and_the_formula_is_right(store):
    store.add("flat", FLAT * 3, 1e9)
    flat, dark = store.add("flat", FLAT, 2e9 - 1e9 / 2), store.add("dark", DARK, 1e9)
    shown = Corrections("camera", store.directory)
    shown.switch(flat=True)
    np.testing.assert_allclose(shown.apply(FRAME), RAW / FLAT * FLAT.mean(), rtol=1e-6)
    shown.switch(dark=True)
    live = FLAT - DARK
    np.testing.assert_allclose(shown.apply(FRAME), (RAW - DARK) / live * live.mean(), rtol=1e-5)
    assert shown.state["flat"] == flat.name
    assert shown.state["dark"] == dark.name
    assert shown.state["note"] == f"corrected: {flat.name}, {dark.name}"
    assert not shown.failed
    shown.switch(flat=False, dark=False)
    assert shown.apply(FRAME) is RAW
    assert shown.note == ""


def test_a_missing_flat_is_said_and_the_dark_is_used_all_the_same(store):
    store.add("dark", DARK, 1e9)
    shown = Corrections("camera", store.directory)
    shown.switch(flat=True, dark=True)
    np.testing.assert_allclose(shown.apply(FRAME), RAW - DARK)
    assert shown.failed
    assert shown.state["flat"] is None
    assert "a flat for 16 × 20 uint16 asked for" in shown.note
    store.add("flat", FLAT, 1e9)
    shown.look_again()
    shown.apply(FRAME)
    assert not shown.failed


def test_frames_of_another_shape_are_shown_raw_with_words(store):
    store.add("flat", FLAT, 1e9)
    shown = Corrections("camera", store.directory)
    shown.switch(flat=True)
    shown.apply(FRAME)
    assert not shown.failed
    other = Frame(RAW[:8], Geometry((8, 20), "<u2"), 2, 0.0, 0.0)
    np.testing.assert_array_equal(shown.apply(other), RAW[:8])
    assert shown.failed
    assert "16 × 20" in shown.note


def test_a_pipeline_is_used_while_it_is_asked_for(tmp_path):
    file = tmp_path / "pipeline.json"
    file.write_text(json.dumps({"processors": [{"name": "threshold", "module": "plug", "class": "Half"}]}))
    (tmp_path / "plug.py").write_text(
        "class Half:\n"
        "    def __init__(self, **options): pass\n"
        "    def apply(self, image, meta=None): return image // 2\n"
    )
    shown = Corrections("camera", pipeline=file)
    shown.switch(pipeline=True)
    np.testing.assert_array_equal(shown.apply(FRAME), RAW // 2, shown.note)
    assert shown.state["pipeline"] == "pipeline.json"
    shown.switch(pipeline=False)
    assert shown.apply(FRAME) is RAW


def test_what_is_asked_for_and_not_there_is_said(tmp_path):
    shown = Corrections("camera")
    shown.switch(flat=True, pipeline=True)
    assert shown.apply(FRAME) is RAW
    assert shown.failed
    assert "there is no directory of references" in shown.note
    assert "no pipeline is configured" in shown.note
