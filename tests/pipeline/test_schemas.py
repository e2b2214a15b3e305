"""Pystream's files run as they are, wherever their plug-ins lie, and leave no trace in Python's own import system."""

import logging
import sys

import numpy as np
import pytest

from beamstream.errors import PipelineError
from beamstream.frames import Frame, Geometry
from beamstream.ops.base import meta_of
from beamstream.pipeline import Pipeline

IMAGE = np.array([[1, 2, 3], [4, 5, 60_000]], "u2")
META = {"uid": 17, "timestamp": 1.5}
SCALE = """
    class Scale:
        def __init__(self, **kwargs):
            self.factor = kwargs.get("factor", 1.0)

        def apply(self, img, meta):
            return img * self.factor
"""
INVERT = """
    import numpy as np

    def process(img, meta=None, top=10):
        if meta is None:
            meta = {}
        meta["inverted"] = True
        return top - img.astype(np.float32), meta
"""


def test_a_class_gets_its_kwargs_and_makes_the_image(project):
    project.plugin(SCALE)
    file = project.classes({"name": "Scale", "module": "processors.mine", "class": "Scale", "kwargs": {"factor": 2.0}})
    assert Pipeline.load(file).apply(IMAGE, META).tolist() == (IMAGE * 2.0).tolist()


def test_a_function_gets_meta_among_its_options(project):
    project.plugin("def process(img, **params):\n    return img + params['meta']['uid'] + params['by']")
    file = project.functions({"name": "add", "module": "mine", "params": {"by": 2}})
    assert Pipeline.load(file).apply(IMAGE, META)[0, 0] == 1 + 17 + 2


def test_a_function_gets_its_params_and_may_return_image_and_meta(project):
    project.plugin(INVERT)
    project.plugin(
        "def process(img, meta=None):\n    assert meta['inverted']\n    return img + meta['uid']", "processors/add.py"
    )
    file = project.functions(
        {"name": "invert", "module": "mine", "enabled": True, "params": {"top": 20}}, {"name": "add", "module": "add"}
    )
    assert Pipeline.load(file).apply(IMAGE, META).tolist() == (20.0 - IMAGE.astype("f4") + 17).tolist()
    assert "inverted" not in META


def test_pystreams_example_of_two_filters_that_are_not_there_runs_with_ours_and_says_so(project, caplog):
    file = project.classes(
        {"name": "MedianFilter", "module": "processors.filters", "class": "MedianFilter", "kwargs": {"kernel_size": 3}},
        {"name": "BackgroundSubtract", "module": "processors.background", "class": "BackgroundSubtract",
         "kwargs": {"method": "rolling", "window": 10}},
    )  # fmt: skip
    with caplog.at_level(logging.INFO):
        pipeline = Pipeline.load(file)
    assert "MedianFilter: there is no module processors.filters; ours is used, MedianFilter" in caplog.text
    rng = np.random.default_rng(0)
    image = rng.integers(0, 4096, (64, 64)).astype("u2")
    assert not pipeline.apply(image, META).any()
    made = pipeline.apply(image + 100, META)
    assert made.dtype == np.float32
    assert (made == 100).all()


def test_a_file_of_that_name_comes_before_ours(project):
    source = """
        class MedianFilter:
            def __init__(self, kernel_size):
                pass

            def apply(self, img, meta):
                return img * 0
    """
    project.plugin(source, "processors/filters.py")
    file = project.classes(
        {"name": "m", "module": "processors.filters", "class": "MedianFilter", "kwargs": {"kernel_size": 3}}
    )
    assert not Pipeline.load(file).apply(IMAGE, META).any()


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "clip", "kwargs": {"high": 3}},
        {"name": "bound", "class": "clip", "kwargs": {"high": 3}},
        {"name": "bound", "class": "Clip", "kwargs": {"high": 3}},
        {"name": "bound", "module": "clip", "kwargs": {"high": 3}},
        {"name": "bound", "module": "beamstream.ops.filters", "class": "Clip", "kwargs": {"high": 3}},
    ],
)
def test_our_own_are_known_by_short_name_and_by_class(project, entry):
    assert Pipeline.load(project.classes(entry)).apply(IMAGE, META).max() == 3


def test_our_own_are_known_in_the_schema_of_functions_too(project):
    file = project.functions({"name": "bound", "module": "clip", "params": {"high": 3}})
    assert Pipeline.load(file).apply(IMAGE, META).max() == 3


def test_what_is_not_enabled_is_not_even_imported(project):
    file = project.functions({"name": "noop", "module": "noop", "enabled": False, "params": {}})
    pipeline = Pipeline.load(file)
    assert pipeline.apply(IMAGE, META) is IMAGE
    assert pipeline.statistics() == []


@pytest.mark.parametrize(
    ("place", "module"),
    [
        ("pipelines/processors/mine.py", "processors.mine"),
        ("processors/mine.py", "processors.mine"),
        ("processors/mine.py", "mine"),
        ("pipelines/mine.py", "mine"),
        ("mine.py", "mine"),
        ("processors/mine/__init__.py", "processors.mine"),
        ("processors/mine.py", "processors/mine.py"),
        ("processors/my-own.py", "my-own.py"),
    ],
)
def test_a_class_is_found_beside_the_file_and_one_directory_up(project, place, module):
    project.plugin(SCALE, place)
    file = project.classes({"name": "s", "module": module, "class": "Scale", "kwargs": {"factor": 3}})
    assert Pipeline.load(file).apply(IMAGE, META)[0, 0] == 3


@pytest.mark.parametrize(
    ("directory", "place"),
    [("processors", "pipelines/processors/mine.py"), ("processors", "processors/mine.py"), ("../lib", "lib/mine.py"),
     ("ABSOLUTE", "elsewhere/mine.py")],
)  # fmt: skip
def test_functions_are_found_in_their_directory(project, directory, place):
    project.plugin(INVERT, place)
    directory = str(project.root / "elsewhere") if directory == "ABSOLUTE" else directory
    file = project.functions({"name": "invert", "module": "mine"}, processors_dir=directory)
    assert Pipeline.load(file).apply(IMAGE, META)[0, 0] == 9


def test_relative_imports_work_at_the_start_and_later(project):
    project.plugin("FACTOR = 4", "processors/common/numbers.py")
    project.plugin(
        """
        from .common.numbers import FACTOR
        from . import lazy

        class Scale:
            def apply(self, img, meta):
                from .common import numbers
                return img * (FACTOR + numbers.FACTOR + lazy.ONE)
        """
    )
    project.plugin("ONE = 1", "processors/lazy.py")
    pipeline = Pipeline.load(project.classes({"name": "s", "module": "processors.mine", "class": "Scale"}))
    assert pipeline.apply(IMAGE, META)[0, 0] == 9


def test_a_plugin_that_is_called_like_an_installed_module_hides_nothing(project):
    path, modules = list(sys.path), set(sys.modules)
    json_before = sys.modules["json"]
    project.plugin(SCALE, "processors/json.py")
    source = """
        import json
        from dataclasses import dataclass

        @dataclass
        class Text:
            n: int = 2

            def apply(self, img, meta):
                return img * len(json.dumps([self.n]))
    """
    project.plugin(source, "processors/numpy.py")
    pipeline = Pipeline.load(
        project.classes({"name": "a", "module": "processors.json", "class": "Scale"},
                        {"name": "b", "module": "processors.numpy", "class": "Text"})
    )  # fmt: skip
    assert pipeline.apply(IMAGE, META)[0, 0] == 3
    assert sys.path == path
    assert sys.modules["json"] is json_before
    assert all(name.startswith("beamstream") for name in set(sys.modules) - modules)


def test_two_entries_of_one_file_share_nothing(project):
    project.plugin("calls = []\ndef process(img, meta=None):\n    calls.append(1)\n    return img + len(calls)")
    file = project.functions({"name": "a", "module": "mine"}, {"name": "b", "module": "mine"})
    assert Pipeline.load(file).apply(IMAGE, META)[0, 0] == 3


def test_a_pipeline_that_is_gone_leaves_no_module(project):
    project.plugin(SCALE)
    pipeline = Pipeline.load(project.classes({"name": "s", "module": "processors.mine", "class": "Scale"}))
    assert any(name.startswith("beamstream_plugin_") for name in sys.modules)
    before = {name for name in sys.modules if name.startswith("beamstream_plugin_")}
    del pipeline
    assert not before & set(sys.modules)


def test_nothing_is_written_beside_a_plugin(project):
    project.plugin(SCALE)
    Pipeline.load(project.classes({"name": "s", "module": "processors.mine", "class": "Scale"}))
    assert [p.name for p in (project.root / "processors").iterdir()] == ["mine.py"]


def test_plugins_are_told_what_ops_are_told(project):
    project.plugin(
        """
        def process(img, meta=None):
            assert (meta["uid"], meta["timestamp"], meta["source"]) == (5, 2.5, "cam")
            return img
        """
    )
    pipeline = Pipeline.load(project.functions({"name": "a", "module": "mine"}))
    frame = Frame(IMAGE, Geometry(IMAGE.shape, "<u2"), 5, 2.5, 3.5, source="cam")
    assert pipeline.apply(frame.image, meta_of(frame)).tolist() == IMAGE.tolist()


def test_an_options_path_starts_at_the_files_directory(project):
    file = project.classes({"name": "dark", "kwargs": {"file": "dark.npy"}})
    np.save(file.parent / "dark.npy", np.ones((2, 3)))
    assert Pipeline.load(file).apply(IMAGE, META)[0, 0] == 0


def test_an_installed_package_offers_its_own_by_an_entry_point(project, monkeypatch):
    project.plugin(
        """
        class Scale:
            def __init__(self, factor=2): self.factor = factor
            def apply(self, img, meta): return img * self.factor

        def shift(img, meta=None, by=1):
            return img + by
        """,
        "site/lab_ops.py",
    )
    info = "site/lab_ops-1.0.dist-info"
    points = ("lab_scale = lab_ops:Scale", "lab_shift = lab_ops:shift", "median = lab_ops:Scale", "gone = lab_ops:no")
    project.write(f"{info}/METADATA", "Metadata-Version: 2.1\nName: lab-ops\nVersion: 1.0\n")
    project.write(f"{info}/entry_points.txt", "\n".join(("[beamstream.ops]", *points)))
    monkeypatch.syspath_prepend(str(project.root / "site"))
    file = project.classes(
        {"name": "lab_scale", "kwargs": {"factor": 3}},
        {"name": "x", "class": "lab_shift", "kwargs": {"by": 10}},
        {"name": "median", "kwargs": {"kernel_size": 1}},
    )
    try:
        assert Pipeline.load(file).apply(IMAGE, META)[0, 0] == 13
        bad = project.classes({"name": "lab_shift", "kwargs": {"bye": 10}})
        with pytest.raises(PipelineError, match=r"lab_shift: bye is not an option; did you mean by\?"):
            Pipeline.load(bad)
        with pytest.raises(
            PipelineError, match=r"lab_ops:no of lab-ops cannot be loaded: AttributeError.*; correct or"
        ):
            Pipeline.load(project.classes({"name": "gone"}))
    finally:
        sys.modules.pop("lab_ops", None)


def test_a_description_says_which_code_with_which_parameters(project):
    import hashlib

    plugin = project.plugin(SCALE)
    file = project.classes(
        {"name": "s", "module": "processors.mine", "class": "Scale", "kwargs": {"factor": 2}}, {"name": "median"}
    )
    said = Pipeline.load(file).describe()
    assert said["file"] == str(file)
    scale, median = said["processors"]
    assert (scale["name"], scale["op"], scale["module"], scale["parameters"]) == (
        "s",
        "Scale",
        "processors.mine",
        {"factor": 2},
    )
    assert scale["sha256"] == hashlib.sha256(plugin.read_bytes()).hexdigest()
    assert (median["op"], median["parameters"]) == ("median", {"kernel_size": 3})
