"""Configuration and code that others may have written is refused by name, with what to do, and never run."""

import grp
import os
import pwd
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from beamstream.config import load
from beamstream.errors import ConfigurationError, PipelineError, UntrustedFile
from beamstream.pipeline import Pipeline
from beamstream.trust import VARIABLE, check_profile, check_trusted, check_working_directory

NOBODY = 65534
SOURCE = Path(__file__).parents[1] / "src" / "beamstream"
USERS = (("beam", 2_000_002), ("guest", 2_000_003))
BEAMSTREAM = Path(sys.executable).with_name("beamstream")


@pytest.fixture(autouse=True)
def nothing_trusted(monkeypatch):
    for name in (VARIABLE, "BEAMSTREAM_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path) -> Path:
    """A file of ours, two directories deep."""
    path = tmp_path / "above" / "here" / "beamstream.toml"
    path.parent.mkdir(parents=True)
    path.write_text("")
    return path


def _of_nobody(path: Path) -> None:
    os.chown(path, NOBODY, -1, follow_symlinks=False)


def _written_by_all(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o002)


def _written_by_a_group(path: Path) -> None:
    os.chown(path, -1, NOBODY)
    path.chmod(path.stat().st_mode | 0o020)


def _written_by_a_group_without_a_name(path: Path) -> None:
    os.chown(path, -1, 2_000_001)
    path.chmod(path.stat().st_mode | 0o020)


def _written_by_a_user_of_its_list(path: Path) -> None:
    entries = [(1, 7, 2**32 - 1), (2, 7, 12345), (4, 5, 2**32 - 1), (16, 7, 2**32 - 1), (32, 5, 2**32 - 1)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, "system.posix_acl_access", packed)


FAULTS: list[tuple[Callable[[Path], None], str]] = [
    (_of_nobody, r"belongs to nobody \(uid 65534\); take it over \(chown\)"),
    (_written_by_all, r"everybody may write to .*; chmod o-w "),
    (_written_by_a_group, r"group nogroup may write to .*; chmod g-w "),
    (_written_by_a_group_without_a_name, r"group 2000001 may write to .*; chmod g-w "),
    (_written_by_a_user_of_its_list, r"access control list; setfacl -b "),
]


@pytest.mark.parametrize(("spoil", "words"), FAULTS, ids=[spoil.__name__.strip("_") for spoil, _ in FAULTS])
@pytest.mark.parametrize("which", ["the file", "its directory", "the directory above"])
def test_a_file_that_others_may_have_written_is_refused_by_name(file, spoil, words, which):
    check_trusted(file, "configuration")
    spoiled = {"the file": file, "its directory": file.parent, "the directory above": file.parent.parent}[which]
    spoil(spoiled)
    with pytest.raises(UntrustedFile, match=rf"^{file}: asked for as configuration, but .*{words}") as raised:
        check_trusted(file, "configuration")
    assert f"{spoiled} " in str(raised.value).partition(", but ")[2]
    assert str(raised.value).endswith(f"or trust it: {VARIABLE}={file}")


def test_what_is_ours_in_a_directory_with_the_sticky_bit_is_trusted_and_what_is_not_is_refused(file):
    file.parent.chmod(0o1777)
    check_trusted(file, "configuration")
    _of_nobody(file)
    with pytest.raises(UntrustedFile, match="belongs to nobody"):
        check_trusted(file, "configuration")


def test_a_directory_with_the_sticky_bit_of_somebody_else_is_refused(file):
    file.parent.chmod(0o1777)
    _of_nobody(file.parent)
    with pytest.raises(UntrustedFile, match=f"{file.parent} belongs to nobody"):
        check_trusted(file, "configuration")


def test_a_link_of_somebody_else_is_refused_although_it_leads_to_a_file_of_ours(file, tmp_path):
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    check_trusted(link, "configuration")
    _of_nobody(link)
    with pytest.raises(UntrustedFile, match=f"{link} belongs to nobody"):
        check_trusted(link, "configuration")


@pytest.mark.parametrize("relative", [True, False])
def test_all_directories_on_the_way_through_links_count(file, tmp_path, relative):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    second = tmp_path / "second" / "link"
    second.symlink_to("../above" if relative else file.parent.parent)
    first = tmp_path / "first" / "link"
    first.symlink_to("../second/link" if relative else second)
    way = first / "here" / ".." / "here" / file.name
    check_trusted(way, "configuration")
    (tmp_path / "second").chmod(0o777)
    with pytest.raises(UntrustedFile, match=f"everybody may write to {tmp_path}/second "):
        check_trusted(way, "configuration")


def test_the_group_of_its_owner_alone_may_write(file, monkeypatch):
    uid = 2_000_001  # in no list: its group has the same number
    for path in (file, file.parent):
        os.chown(path, uid, uid)
        path.chmod(path.stat().st_mode | 0o020)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    check_trusted(file, "configuration")


def test_a_group_that_has_the_name_of_its_owner_and_another_member_may_not_write(file, monkeypatch):
    users = [pwd.struct_passwd((name, "x", uid, 2_000_001, "", "/", "/bin/sh")) for name, uid in USERS]
    group = grp.struct_group(("beam", "x", 2_000_001, []))
    monkeypatch.setattr(grp, "getgrgid", lambda gid: group)
    monkeypatch.setattr(os, "geteuid", lambda: USERS[0][1])
    os.chown(file, USERS[0][1], 2_000_001)
    file.chmod(0o664)
    monkeypatch.setattr(pwd, "getpwall", lambda: users[:1])
    check_trusted(file, "configuration")
    monkeypatch.setattr(pwd, "getpwall", lambda: users)
    with pytest.raises(UntrustedFile, match="group beam may write"):
        check_trusted(file, "configuration")


@pytest.mark.parametrize("named", ["the file", "its directory", "another and the directory above"])
def test_what_the_variable_names_is_trusted_with_all_below(file, monkeypatch, named):
    _of_nobody(file)
    paths = {"the file": file, "its directory": file.parent}
    monkeypatch.setenv(VARIABLE, str(paths.get(named, f"/nowhere::relative:{file.parent.parent}")))
    check_trusted(file, "configuration")
    other = file.parent.parent.parent / "aboveboard.toml"  # begins with the same letters
    other.write_text("")
    _of_nobody(other)
    with pytest.raises(UntrustedFile):
        check_trusted(other, "configuration")


def test_a_directory_that_this_package_lies_in_as_well_is_no_reason(tmp_path):
    place = tmp_path / "workspace"
    package = place / "src" / "beamstream"
    package.mkdir(parents=True)
    for name in ("__init__.py", "trust.py", "errors.py", "plain_text.py"):
        (package / name).write_bytes((SOURCE / name).read_bytes())
    (place / "beamstream.toml").write_text("")
    place.chmod(0o777)
    code = "import sys; from beamstream.trust import check_trusted; check_trusted(sys.argv[1], 'configuration')"
    command = [sys.executable, "-c", code, place / "beamstream.toml"]
    for mode, expected in ((0o644, 0), (0o646, 1)):
        (place / "beamstream.toml").chmod(mode)
        environment = os.environ | {"PYTHONPATH": str(place / "src")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == expected, done.stderr


def test_what_is_not_there_is_nothing_to_refuse(tmp_path):
    check_trusted(tmp_path / "none" / "beamstream.toml", "configuration")
    check_trusted(os.devnull, "configuration")
    (tmp_path / "circle").symlink_to("circle")
    check_trusted(tmp_path / "circle", "configuration")


# where it counts


def test_a_configuration_that_somebody_else_put_into_the_working_directory_ends_a_command_by_name(tmp_path):
    hostile = tmp_path / "beamstream.toml"
    hostile.write_text('[archive]\ndirectory = "/elsewhere"\n')
    _of_nobody(hostile)
    done = subprocess.run([BEAMSTREAM, "runs", "list"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    words = " ".join(done.stderr.split())
    assert done.returncode == 1, words
    assert f"{hostile}: asked for as configuration, but {hostile} belongs to nobody (uid 65534)" in words
    assert "Traceback" not in words


@pytest.mark.parametrize("how", ["asked for", "named by the environment", "in the working directory"])
def test_a_configuration_that_everybody_may_write_is_refused_however_it_is_found(file, monkeypatch, how):
    file.chmod(0o666)
    monkeypatch.chdir(file.parent)
    if how == "named by the environment":
        monkeypatch.setenv("BEAMSTREAM_CONFIG", str(file))
    with pytest.raises(ConfigurationError, match=f"{file}: asked for as configuration, but everybody may write"):
        load(file if how == "asked for" else None)
    file.chmod(0o644)
    assert load(file if how == "asked for" else None).file == file


PLUGIN = """
from pathlib import Path
from . import beside
Path({ran!r}).write_text("ran")

def process(img, meta=None):
    return img
"""


@pytest.fixture
def pipeline(tmp_path) -> dict[str, Path]:
    """A pipeline with a plug-in of two files; `ran` is made by their code."""
    ran = tmp_path / "ran"
    place = tmp_path / "pipelines"
    plugin, beside = place / "processors" / "mine.py", place / "processors" / "beside.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(PLUGIN.format(ran=str(ran)))
    beside.write_text("")
    file = place / "processors.json"
    file.write_text('{"pipeline": [{"name": "mine", "module": "mine"}]}')
    return {"file": file, "plug-in": plugin, "what it imports": beside, "directory": plugin.parent, "ran": ran}


def test_a_plug_in_of_our_own_is_run(pipeline):
    Pipeline.load(pipeline["file"])
    assert pipeline["ran"].exists()


@pytest.mark.parametrize("spoil", [_of_nobody, _written_by_all, _written_by_a_group])
@pytest.mark.parametrize("which", ["file", "plug-in", "what it imports", "directory"])
def test_a_plug_in_that_others_may_have_written_is_refused_by_name_and_never_run(pipeline, spoil, which, monkeypatch):
    spoil(pipeline[which])
    with pytest.raises(PipelineError, match=f"asked for as (pipeline|plug-in), but .*{pipeline[which]}"):
        Pipeline.load(pipeline["file"])
    assert not pipeline["ran"].exists()
    monkeypatch.setenv(VARIABLE, str(pipeline[which]))
    Pipeline.load(pipeline["file"])
    assert pipeline["ran"].exists()


def test_a_pipe_in_the_place_of_a_plug_in_is_refused_and_not_waited_for(pipeline):
    pipeline["plug-in"].unlink()
    os.mkfifo(pipeline["plug-in"])
    _of_nobody(pipeline["plug-in"])
    with pytest.raises(PipelineError, match="belongs to nobody"):
        Pipeline.load(pipeline["file"])


@pytest.mark.parametrize("name", ["startup/00-base.py", "startup/50-more.ipy", "ipython_config.py"])
def test_a_profile_that_others_may_have_written_is_not_run(tmp_path, name):
    (tmp_path / "startup").mkdir()
    file = tmp_path / name
    file.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    check_profile(tmp_path)
    _of_nobody(file)
    command = [BEAMSTREAM, "session", "--profile", tmp_path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert f"{file}: asked for as profile, but {file} belongs to nobody" in " ".join(done.stderr.split())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["matplotlibrc", ".numba_config.yaml"])
def test_settings_of_libraries_that_somebody_else_put_into_the_working_directory_are_refused(
    tmp_path, monkeypatch, name
):
    (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    check_working_directory()
    _of_nobody(tmp_path / name)
    with pytest.raises(UntrustedFile, match=f"{tmp_path / name}: asked for as settings of"):
        check_working_directory()
    done = subprocess.run([BEAMSTREAM, "pipeline", "list"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "settings of" in done.stderr
