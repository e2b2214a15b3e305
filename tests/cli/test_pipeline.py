"""`beamstream pipeline`: a file is checked and tried before a beamtime depends on it."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from beamstream.cli.pipeline import app

GOOD = {
    "processors": [{"name": "denoise", "class": "median"}, {"name": "small", "class": "bin", "kwargs": {"factor": 4}}]
}


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})


@pytest.fixture
def pipeline(tmp_path):
    def write(content):
        file = tmp_path / "processors.json"
        file.write_text(json.dumps(content, indent=1))
        return file

    return write


def test_a_good_file_is_tried_on_a_made_up_frame_and_the_steps_are_shown(run, pipeline):
    done = run("check", pipeline(GOOD))
    assert done.exit_code == 0, done.output
    header, denoise, small = [line.split() for line in done.stdout.splitlines() if line]
    assert header == ["processor", "in", "out", "ms"]
    assert denoise[:-1] == ["denoise", "512", "×", "512", "uint16", "512", "×", "512", "uint16"]
    assert small[:-1] == ["small", "512", "×", "512", "uint16", "128", "×", "128", "float32"]
    assert float(small[-1]) >= 0


def test_shape_and_type_of_the_frame_can_be_chosen(run, pipeline, tmp_path):
    said = json.loads(run("check", pipeline(GOOD), "--shape", "40x80x3", "--dtype", "uint8", "--json").stdout)
    assert said["ok"] is True
    assert [p["out"]["shape"] for p in said["processors"]] == [[40, 80, 3], [10, 20, 3]]
    np.save(tmp_path / "frame.npy", np.ones((8, 12), "f8"))
    said = json.loads(run("check", pipeline(GOOD), "--frame", tmp_path / "frame.npy", "--json").stdout)
    assert [(p["out"]["shape"], p["out"]["dtype"]) for p in said["processors"]] == [
        ([8, 12], "float64"),
        ([2, 3], "float64"),
    ]
    assert all(p["ms"] > 0 for p in said["processors"])


def test_all_that_is_wrong_is_told_on_standard_error_with_status_1(run, pipeline):
    file = pipeline(
        {"processors": [{"name": "a", "class": "medain"}, {"name": "b", "class": "bin", "kwargs": {"facto": 2}}]}
    )
    done = run("check", file)
    assert done.exit_code == 1
    first, second = done.stderr.splitlines()
    assert first.startswith(f"{file}:5: a: module is missing")
    assert second == f"{file}:11: b: facto is not an option; did you mean factor?"
    said = json.loads(run("check", file, "--json").stdout)
    assert said["ok"] is False
    assert [c["line"] for c in said["complaints"]] == [5, 11]
    assert said["processors"] == []


def test_a_processor_that_fails_on_the_frame_is_told_with_its_line(run, pipeline):
    content = {
        "processors": [
            {"class": "median"},
            {"name": "roi", "class": "crop", "kwargs": {"row": 600}},
            {"class": "clip", "kwargs": {"low": 0}},
        ]
    }
    file = pipeline(content)
    done = run("check", file)
    assert done.exit_code == 1
    assert done.stderr.startswith(
        f"{file}:6: roi: no image of frame 1: crop: rows 600:512 asked for, the image has 0:512"
    )
    assert [line.split()[0] for line in done.stdout.splitlines() if line] == ["processor", "median", "roi", "clip"]
    assert "failed" in done.stdout
    assert "not reached" in done.stdout


def test_a_processor_that_changes_its_mind_is_found(run, pipeline, tmp_path):
    (tmp_path / "grow.py").write_text(
        "calls = []\ndef process(img, meta=None):\n    calls.append(1)\n    return img[len(calls):]"
    )
    done = run("check", pipeline({"pipeline": [{"name": "grow", "module": "grow"}], "processors_dir": "."}))
    assert done.exit_code == 1
    assert "grow: no image of frame 2: changed from 511 × 512 uint16 to 510 × 512 uint16" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--shape", "0x3"], "shape 0x3; give rows and columns"),
        (["--dtype", "object"], "dtype object; give one of numpy's"),
        (["--frame", "none.npy"], "none.npy cannot be read"),
    ],
)
def test_a_frame_that_is_none_is_wrong_usage(run, pipeline, options, words):
    done = run("check", pipeline(GOOD), *options)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())


def test_no_processor_is_fine_and_said(run, pipeline):
    done = run("check", pipeline({"pipeline": [{"name": "noop", "module": "noop", "enabled": False}]}))
    assert done.exit_code == 0
    assert "images pass as they are" in done.stdout


def test_the_list_has_every_processor_with_options_and_defaults(run):
    from beamstream.pipeline.known import OURS

    rows = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}
    assert rows.keys() >= OURS.keys()
    assert not [row for row in rows.values() if row["error"] or not row["summary"]]
    assert rows["background"]["options"] == [
        {"name": "method", "default": "'rolling'"},
        {"name": "window", "default": "10"},
    ]
    assert rows["threshold"]["options"][0] == {"name": "level", "default": None}
    shown = run("list").stdout
    assert "method='rolling', window=10" in shown
    assert "BackgroundSubtract" in shown


def test_an_installed_processor_that_is_broken_does_not_hide_the_others(run, tmp_path, monkeypatch):
    info = tmp_path / "site" / "broken_ops-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-ops\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[beamstream.ops]\nbroken = no_such_module:Thing\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    rows = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}
    assert rows["broken"]["error"].startswith("cannot be loaded: ModuleNotFoundError")
    assert rows["broken"]["package"] == "broken-ops"
    assert rows["median"]["error"] is None
