"""Where the viewer is found: only by what nobody else can have written."""

import os
import stat
from pathlib import Path

import pytest

from beamstream.errors import UntrustedFile
from beamstream.own_files import open_regular
from beamstream.viewers.napari.address import Address, address_file, read_address, write_address

NOBODY = 65534


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _link(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name("other")))


def _foreign(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY)


def _wide(path: Path) -> None:
    path.chmod(0o640)


@pytest.mark.parametrize("spoil", [_pipe, _link, _foreign, _wide])
def test_an_address_that_others_may_have_written_is_none(tmp_path, spoil):
    path = tmp_path / "napari.json"
    write_address(Address.new(1234), path)
    assert read_address(path) is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    spoil(path)
    assert read_address(path) is None


def test_the_runtime_directory_counts_only_if_it_is_ours_and_closed_to_others(tmp_path, monkeypatch):
    monkeypatch.delenv("BEAMSTREAM_NAPARI", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert address_file().is_relative_to(runtime)
    runtime.chmod(0o755)
    assert address_file().is_relative_to(tmp_path / "home")
    runtime.chmod(0o700)
    os.chown(runtime, NOBODY, NOBODY)
    assert address_file().is_relative_to(tmp_path / "home")


def test_a_log_is_written_through_no_link_and_into_no_pipe(tmp_path):
    precious, link, pipe = (tmp_path / name for name in ("precious", "link", "pipe"))
    precious.write_text("whole")
    link.symlink_to(precious)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for path, error in ((link, OSError), (pipe, UntrustedFile)):
        with pytest.raises(error):
            open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.close(reader)
    assert precious.read_text() == "whole"
