"""The viewer of a session: what the configuration says about it."""

import pytest

from beamstream.callbacks.chain import Chain
from beamstream.config import load
from beamstream.errors import ConfigurationError
from beamstream.instrument.callbacks import add_callbacks

RUN = {"uid": "u", "time": 0.0}


def viewer_of(tmp_path, text):
    file = tmp_path / "beamstream.toml"
    file.write_text(text)
    chain = Chain()
    add_callbacks(chain, load(file), watched=False)
    return next(callback for callback in chain.callbacks if callback.name == "viewer")


def test_without_a_section_only_runs_that_declare_it_are_shown(tmp_path):
    viewer = viewer_of(tmp_path, "")
    assert viewer.begin(RUN, lambda *_: None) is None
    assert viewer.begin({**RUN, "viewer": {"napari": {"only": "recorded"}}}, lambda *_: None) is not None
    assert viewer.begin({**RUN, "viewer": "napari"}, lambda *_: None) is not None
    assert viewer.pid is None  # no image yet: nothing was started


def test_a_section_shows_every_run_but_those_that_do_not_want_it(tmp_path):
    viewer = viewer_of(tmp_path, '[callbacks.viewer]\nonly = "recorded"\nstreams = ["corrected"]\nstart = false\n')
    assert viewer.begin(RUN, lambda *_: None) is not None
    assert viewer.begin({**RUN, "viewer": False}, lambda *_: None) is None
    assert viewer.begin({**RUN, "purpose": "reference"}, lambda *_: None) is None


def test_a_key_that_cannot_be_is_said(tmp_path):
    with pytest.raises(ConfigurationError, match="only"):
        viewer_of(tmp_path, '[callbacks.viewer]\nonly = "raw"\n')
