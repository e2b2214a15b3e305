"""A project directory as Pystream's users have it: pipelines/*.json, and processors/*.py beside."""

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest


class Project:
    """Write plug-ins and pipelines into a directory, each by a rename as editors do."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def plugin(self, source: str, name: str = "processors/mine.py") -> Path:
        return self.write(name, dedent(source))

    def pipeline(self, content: Any, name: str = "pipelines/processors.json") -> Path:
        return self.write(name, content if isinstance(content, str) else json.dumps(content, indent=1))

    def write(self, name: str, text: str) -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(file.name + ".new")
        new.write_text(text)
        return new.replace(file)

    def classes(self, *entries: dict[str, Any], **top: Any) -> Path:
        return self.pipeline({"processors": list(entries), **top})

    def functions(self, *entries: dict[str, Any], **top: Any) -> Path:
        return self.pipeline({"processors_dir": "processors", "pipeline": list(entries), **top})


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


@pytest.fixture
def looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pipeline look for changes at each frame instead of twice a second."""
    monkeypatch.setattr("beamstream.pipeline.files._PAUSE", 0.0)
