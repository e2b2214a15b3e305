"""A pipeline follows its files while frames come, and goes on as it was when the new version is broken."""

import json
import logging
import os
from itertools import pairwise

import numpy as np
import pytest

from beamstream.errors import PipelineError, ProcessorFailed
from beamstream.pipeline import Pipeline

IMAGE = np.ones((4, 4), "f4")
SCALE = "def process(img, meta=None, by=1):\n    return img * {} * by\n"


def value(pipeline):
    return float(pipeline.apply(IMAGE, {"uid": 1})[0, 0])


@pytest.fixture
def scaled(project):
    project.plugin(SCALE.format(2))
    return project.functions({"name": "scale", "module": "mine"})


@pytest.mark.usefixtures("looks_each_time")
def test_an_edited_plugin_is_used_from_the_next_frame_on(project, scaled, caplog):
    pipeline = Pipeline.load(scaled)
    assert value(pipeline) == 2
    project.plugin(SCALE.format(33))
    with caplog.at_level(logging.INFO):
        assert value(pipeline) == 33
    assert "read again, 1 processors" in caplog.text


@pytest.mark.usefixtures("looks_each_time")
def test_an_edit_of_the_same_size_and_time_is_noticed(project, scaled):
    pipeline = Pipeline.load(scaled)
    plugin = project.root / "processors/mine.py"
    assert value(pipeline) == 2
    before = plugin.stat()
    new = project.write("processors/other.py", SCALE.format(3))
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert new.stat().st_size == before.st_size
    new.replace(plugin)
    assert value(pipeline) == 3


@pytest.mark.usefixtures("looks_each_time")
def test_an_edited_json_is_followed_and_what_is_the_same_keeps_its_memory(project):
    def processors(window):
        return {"name": "sum", "kwargs": {"window": None}}, {"name": "average", "kwargs": {"window": window}}

    pipeline = Pipeline.load(project.classes(*processors(1)))
    assert [value(pipeline), value(pipeline)] == [1, 2]
    project.classes(*processors(2))
    assert [value(pipeline), value(pipeline)] == [3, 3.5]
    summed, averaged = pipeline.statistics()
    assert (summed.calls, averaged.calls) == (4, 2)
    assert pipeline.describe()["processors"][1]["parameters"] == {"window": 2}


@pytest.mark.usefixtures("looks_each_time")
def test_a_broken_plugin_leaves_the_old_one_at_work_and_is_told_once(project, scaled, caplog):
    pipeline = Pipeline.load(scaled)
    project.plugin("def process(img, meta=None:\n")
    assert [value(pipeline) for _ in range(5)] == [2] * 5
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1
    assert pipeline.reload_error is not None
    assert pipeline.reload_error.startswith(f"{scaled}:6: scale: ")
    assert "SyntaxError" in pipeline.reload_error
    project.plugin(SCALE.format(44))
    assert value(pipeline) == 44
    assert pipeline.reload_error is None


@pytest.mark.usefixtures("looks_each_time")
def test_a_broken_json_leaves_the_old_pipeline_at_work(project, scaled):
    pipeline = Pipeline.load(scaled)
    project.pipeline('{"pipeline": [}')
    assert value(pipeline) == 2
    assert pipeline.reload_error is not None
    assert pipeline.reload_error.startswith(f"{scaled}:1:15: not JSON")
    scaled.unlink()
    assert value(pipeline) == 2
    assert "cannot be read" in str(pipeline.reload_error)
    project.functions({"name": "scale", "module": "mine", "params": {"by": 10}})
    assert value(pipeline) == 20


@pytest.mark.usefixtures("looks_each_time")
def test_a_plugin_that_is_written_after_the_json_that_names_it_is_found(project, scaled):
    pipeline = Pipeline.load(scaled)
    project.functions({"name": "scale", "module": "later"})
    assert value(pipeline) == 2
    assert "there is no module later" in str(pipeline.reload_error)
    project.plugin(SCALE.format(5), "processors/later.py")
    assert value(pipeline) == 5


@pytest.mark.usefixtures("looks_each_time")
def test_another_directory_of_plugins_is_used(project, scaled):
    project.plugin(SCALE.format(7), "other/mine.py")
    pipeline = Pipeline.load(scaled)
    assert value(pipeline) == 2
    project.functions({"name": "scale", "module": "mine"}, processors_dir="other")
    assert value(pipeline) == 7


@pytest.mark.usefixtures("looks_each_time")
def test_a_file_that_takes_the_place_of_ours_is_used(project):
    pipeline = Pipeline.load(project.functions({"name": "sum", "module": "sum"}))
    assert [value(pipeline), value(pipeline)] == [1, 2]
    project.plugin(SCALE.format(9), "processors/sum.py")
    assert value(pipeline) == 9


@pytest.mark.usefixtures("looks_each_time")
def test_what_a_plugin_imports_relatively_is_followed_too(project):
    project.plugin("FACTOR = 2", "processors/common.py")
    project.plugin("from .common import FACTOR\ndef process(img, meta=None):\n    return img * FACTOR")
    pipeline = Pipeline.load(project.functions({"name": "scale", "module": "mine"}))
    assert value(pipeline) == 2
    project.plugin("FACTOR = 77", "processors/common.py")
    assert value(pipeline) == 77


@pytest.mark.usefixtures("looks_each_time")
def test_a_new_dark_is_used_and_another_shape_is_an_error_of_the_frame(project):
    file = project.classes({"name": "dark", "kwargs": {"file": "dark.npy"}})
    np.save(file.parent / "dark.npy", np.zeros((4, 4), "f4"))
    pipeline = Pipeline.load(file)
    assert value(pipeline) == 1
    np.save(file.parent / "new.npy", np.ones((4, 5), "f8"))
    (file.parent / "new.npy").replace(file.parent / "dark.npy")
    with pytest.raises(ProcessorFailed, match="dark: no image of frame 1: dark: frames of"):
        value(pipeline)


@pytest.mark.usefixtures("looks_each_time")
@pytest.mark.parametrize("where", ["file", "call"])
def test_reloading_can_be_switched_off(project, scaled, where):
    if where == "file":
        scaled = project.functions({"name": "scale", "module": "mine"}, hot_reload=False)
    pipeline = Pipeline.load(scaled, reload=where == "file")
    project.plugin(SCALE.format(33))
    assert value(pipeline) == 2


def test_files_are_looked_at_twice_a_second_and_not_for_each_frame(scaled, monkeypatch):
    clock, looks = [100.0], []
    monkeypatch.setattr("beamstream.pipeline.files.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("beamstream.pipeline.files.Watched.changed", lambda self: looks.append(clock[0]) or False)
    pipeline = Pipeline.load(scaled)
    for frame in range(1, 301):
        clock[0] = 100 + frame / 100
        value(pipeline)
    assert 4 <= len(looks) <= 6
    assert min(b - a for a, b in pairwise(looks)) >= 0.5


def test_a_file_that_is_wrong_from_the_start_is_an_error_with_all_that_is_wrong(project):
    file = project.pipeline(
        json.dumps({"processors": [{"name": "median", "kwargs": {"size": 3}}, {"name": "medain"}]}, indent=1)
    )
    with pytest.raises(PipelineError) as error:
        Pipeline.load(file)
    first, second = str(error.value).splitlines()
    assert first == f"{file}:6: median: size is not an option; known are kernel_size"
    assert second.startswith(f"{file}:10: medain: module is missing")
    assert second.endswith("did you mean median?")
