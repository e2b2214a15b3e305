"""Callbacks that beamstream.toml switches on: what they make of a run from the command line."""

import json

import numpy as np
import pytest
import tifffile
from cli_commands import GEOMETRY, configuration

from beamstream.callbacks.chain import Chain
from beamstream.config import load
from beamstream.instrument.callbacks import add_callbacks
from beamstream.sim.pattern import Pattern

ALL = """
[callbacks]
tables = false
[callbacks.flat_field]
flat = "flat.npy"
output = "raw"
[callbacks.pipeline]
file = "pipelines/processors.json"
[callbacks.recorder]
stream = "corrected"
prefix = "even"
[callbacks.live_stats]
regions = { spot = [4, 8, 16, 20] }
[callbacks.live_image]
corrected = true
directory = "pictures"
[callbacks.live_waterfall]
directory = "pictures"
"""
PLUG_IN = """
class Negative:
    def __init__(self, top=65535):
        self.top = top

    def apply(self, img, meta):
        assert meta["uid"] >= 0 and meta["timestamp"] > 0
        return self.top - img
"""


@pytest.fixture
def file(tmp_path):
    """The usual configuration, with every callback switched on."""
    file = configuration(tmp_path)
    file.write_text(file.read_text() + ALL)
    np.save(tmp_path / "flat.npy", np.full(GEOMETRY.shape, 3.0))
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "processors").mkdir()
    (tmp_path / "processors" / "mine.py").write_text(PLUG_IN)
    named = {"name": "negative", "module": "processors.mine", "class": "Negative", "kwargs": {"top": 65535}}
    (tmp_path / "pipelines" / "processors.json").write_text(json.dumps({"processors": [named]}))
    return file


@pytest.mark.usefixtures("beamline", "file")
def test_a_run_is_corrected_processed_counted_and_recorded_again(beamstream, tmp_path):
    done = beamstream("record", "camera", "-n", 30, "--json")
    assert done.status == 0, done.err
    (journal,) = (tmp_path / "archive" / "journal").rglob(f"{done.json['uid']}.jsonl")
    documents = [json.loads(line) for line in journal.read_text().splitlines()]
    (stop,) = [d["doc"] for d in documents if d["name"] == "stop"]
    numbers = stop["num_events"]
    for stream in ("primary", "primary_corrected", "primary_processed", "primary_corrected_tiff"):
        assert numbers[stream] == 30
    assert numbers["primary_live"] >= 1
    files = sorted((tmp_path / "archive" / "recordings" / "exports").rglob("even_0000*.tiff"))
    assert len(files) == 30
    with tifffile.TiffFile(files[0]) as tiff:
        first = json.loads(tiff.pages[0].description)  # type: ignore[union-attr]
    assert np.array_equal(tifffile.imread(files[0]), Pattern(GEOMETRY).image(first["unique_id"]))  # an even flat


def test_what_is_wrong_in_a_pipeline_is_said_before_anything_is_recorded(beamstream, tmp_path, file):
    (tmp_path / "processors" / "mine.py").unlink()
    done = beamstream("record", "camera", "-n", 3)
    done.failed_with("processors.json", "processors.mine")


def test_plots_are_only_for_those_who_look(file):
    names = []
    for watched in (False, True):
        chain = Chain()
        add_callbacks(chain, load(file), watched=watched)
        names.append([callback.name for callback in chain.callbacks])
    assert names[0] == ["reference", "corrected", "processed", "live_stats", "recorder", "viewer"]
    assert names[1] == [*names[0], "live_image", "live_waterfall"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[callbacks.flat_feld]\n", "[callbacks] flat_feld is not a known key; did you mean flat_field?"),
        ("[callbacks.recorder]\nformat = 'tif'\n", "format = 'tif' is not known; did you mean tiff?"),
        ("[callbacks.recorder]\nprefix = '../x'\n", "[callbacks.recorder] prefix = '../x': prefix: "),
        ("[callbacks.flat_field]\nflat = 'newest'\n", "flat = 'newest': not a reference; write "),
        ("[callbacks.flat_field]\nmax_age = 3\n", "max_age is not a known key; did you mean max_age_hours?"),
    ],
)
def test_a_mistake_in_a_section_is_named(beamstream, tmp_path, text, words):
    file = configuration(tmp_path)
    file.write_text(file.read_text() + text)
    beamstream("record", "camera", "-n", 1).failed_with(words)
