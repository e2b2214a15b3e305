"""Configuration files to write, and what their authors read when they are wrong."""

import pytest

from beamstream.config import load
from beamstream.errors import ConfigurationError


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch, tmp_path):
    monkeypatch.delenv("BEAMSTREAM_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(tmp_path):
    def _write(text, name="beamstream.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return _write


@pytest.fixture
def complaint(write):
    """Return what the user reads, without the path that every line starts with."""

    def _complaint(text):
        path = write(text)
        with pytest.raises(ConfigurationError) as caught:
            load(path)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        lines = str(caught.value).splitlines()
        assert all(line.startswith(f"{path}:") for line in lines)
        return "\n".join(line.removeprefix(f"{path}:") for line in lines)

    return _complaint
