"""The command itself: quick, and clear about what it does not understand."""

import subprocess
import sys

import pytest
from cli_commands import COMMAND

from beamstream import __version__

HEAVY = {"pydantic", "numpy", "ophyd", "bluesky", "tiled", "h5py", "pvaccess", "caproto", "httpx", "IPython"}


def test_help_names_every_command_and_the_exit_statuses(beamstream):
    done = beamstream("--help")
    assert done.status == 0
    for word in ("record", "serve", "view", "runs", "recover", "doctor", "demo", "sim", "session", "bench", "130"):
        assert word in done.out


def test_the_command_line_loads_nothing_heavy_before_a_command_runs():
    code = "import sys, beamstream.cli; print(*{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "typer" in done.stdout.split()
    assert not HEAVY & set(done.stdout.split())


def test_the_version_is_one_line_and_the_stack_is_json(beamstream):
    assert beamstream("--version").out == f"beamstream {__version__}\n"
    stack = beamstream("--version", "--json").json
    assert stack["beamstream"] == __version__
    assert all(stack[name] for name in ("bluesky", "ophyd", "tiled", "pvapy", "numpy"))


COMMANDS = ["record", "serve", "view", "recover", "doctor", "demo", "bench", "session", "runs list", "runs show"]


@pytest.mark.parametrize("command", [*COMMANDS, "sim camera", "sim beamline"])
def test_every_command_explains_itself_with_an_example(beamstream, command):
    done = beamstream(*command.split(), "--help")
    assert done.status == 0
    assert f"beamstream {command}" in " ".join(done.out.split())
    assert "xample" in done.out


def test_wrong_usage_ends_with_status_2_and_says_what_is_wrong(beamstream):
    beamstream("nosuch").failed_with("No such command 'nosuch'", status=2)
    beamstream("record").failed_with("Missing argument", status=2)
    beamstream("--json").failed_with("--version only", status=2)
    beamstream("sim", "camera", "--shape", "5").failed_with("'5' given; write rows x columns", status=2)
    beamstream("sim", "camera", "--fault", "x=1").failed_with("'x=1' given; write NAME=VALUE", status=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("record", "video:film\n.mkv"),
        ("export", "-1", "--to", "npy", "--out", "D:\rheed"),
        ("serve", "--archive=D:\new"),
        ("--config", "a\tb.toml", "doctor"),
        ("uploads", "--archive", "x\x9by"),
    ],
)
def test_a_control_character_in_a_path_is_refused_by_every_command(beamstream, tmp_path, arguments):
    beamstream(*arguments).failed_with("it has the control character", status=2)
    assert not [path for path in tmp_path.rglob("*") if not path.name.isprintable()]


def test_an_error_is_one_line_and_debug_shows_where_it_came_from(beamstream, tmp_path):
    done = beamstream("recover", "--archive", tmp_path / "nowhere")
    done.failed_with("beamstream: recover:", "is no directory; name the journal directory")
    assert len(done.err.strip().splitlines()) == 1
    assert "Traceback" in beamstream("--debug", "recover", "--archive", tmp_path / "nowhere").err


def test_what_the_simulated_camera_cannot_send_is_refused(beamstream):
    beamstream("sim", "camera", "--codec", "jpeg").failed_with("beamstream: sim:", "jpeg holds uint8")
    beamstream("sim", "camera", "--dtype", "complex64").failed_with("beamstream: sim:", "pixels of '<c8' asked for")


def test_a_configuration_that_is_wrong_is_named_with_file_and_line(beamstream, tmp_path):
    file = tmp_path / "wrong.toml"
    file.write_text("[archive]\nprot = 3\n")
    beamstream("--config", file, "runs", "list").failed_with(f"{file}:2", "did you mean port?")


def test_a_profile_without_startup_is_refused(beamstream, tmp_path):
    beamstream("session", "--profile", tmp_path).failed_with("has no directory startup; name a profile")


def test_output_that_nobody_reads_any_more_is_no_error():
    shell = subprocess.run(
        f"'{COMMAND[0]}' -c '{COMMAND[2]}' --help | head -1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in shell.stderr
