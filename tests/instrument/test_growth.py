"""What beamstream.toml says about growths becomes callbacks, or a complaint."""

import pytest

from beamstream.callbacks.chain import Chain
from beamstream.config import load
from beamstream.errors import ConfigurationError
from beamstream.instrument.callbacks import add_callbacks

EVERYTHING = """
[callbacks]
tables = false
[callbacks.intensity]
regions = { specular = [4, 5, 6, 7], streak = [0, 0, 30, 2] }
[callbacks.growth_rate]
window = 30.0
slowest = 0.1
[callbacks.strip]
region = [4, 0, 6, 40]
angles = [0, 45.5]
rotations_per_min = 10
[callbacks.live_growth]
fastest = 3
history = 300.0
"""


def callbacks(tmp_path, text, *, watched=True):
    file = tmp_path / "beamstream.toml"
    file.write_text(text)
    chain = Chain()
    add_callbacks(chain, load(file), watched=watched)
    return {callback.name: callback for callback in chain.callbacks}


def test_sections_switch_their_callbacks_on(tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    found = callbacks(tmp_path, EVERYTHING)
    assert list(found) == ["reference", "intensity", "growth_rate", "strip", "viewer", "live_growth"]
    assert found["intensity"].regions == {"specular": (4, 5, 6, 7), "streak": (0, 0, 30, 2)}
    assert found["growth_rate"].regions == found["intensity"].regions
    assert (found["growth_rate"].window, found["growth_rate"].band) == (30.0, (0.1, None))
    assert (found["strip"].angles, found["strip"].rotations_per_min) == ((0.0, 45.5), 10.0)
    assert found["live_growth"]._options["look"]["band"] == [None, 3.0]
    assert found["live_growth"]._options["directory"] == str(tmp_path / "data" / "plots")


def test_the_plot_is_for_those_who_look_and_brings_the_intensities_that_it_needs(tmp_path):
    text = "[callbacks.growth_rate]\nregions = { spot = [1, 2, 3, 4] }\n[callbacks.live_growth]\n"
    assert list(callbacks(tmp_path, text, watched=False)) == ["reference", "intensity", "growth_rate", "viewer"]
    found = callbacks(tmp_path, text + "[callbacks]\ntables = false\n")
    assert found["intensity"].regions == {"spot": (1, 2, 3, 4)}


def test_without_sections_there_is_none_of_it(tmp_path):
    assert list(callbacks(tmp_path, "[callbacks]\ntables = false\n")) == ["reference", "viewer"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[callbacks.intensity]\nregion = [0, 0, 1, 1]\n", "region is not a known key; did you mean regions?"),
        ("[callbacks.intensity]\nregions = { 'my spot' = [0, 0, 1, 1] }\n", "use letters, digits and _"),
        ("[callbacks.intensity]\nregions = { spot = [0, 0, 0, 1] }\n", "regions"),
        ("[callbacks.growth_rate]\nslowest = 0\n", "slowest = 0"),
        ("[callbacks.strip]\naverage = 'row'\n", "did you mean rows?"),
        ("[callbacks.strip]\ntolerance = 181\n", "tolerance = 181"),
        ("[callbacks.live_growth]\nwindow = -1\n", "window = -1"),
    ],
)
def test_mistakes_are_named(tmp_path, text, words):
    file = tmp_path / "beamstream.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"beamstream\.toml") as caught:
        load(file)
    assert words in str(caught.value)
