"""`beamstream spectra`: options old and new, what it prints, how it ends."""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from cli_commands import COMMAND, environment, image, started
from typer.testing import CliRunner

from beamstream.cli.app import app
from beamstream.errors import ConfigurationError
from beamstream.sim.spectra_process import SpectraSim
from beamstream.sim.spectrometer import SpectrometerSpec


@pytest.fixture(scope="module")
def sim() -> Iterator[SpectraSim]:
    with SpectraSim(SpectrometerSpec(rate=100, interval=0.25)) as sim:
        yield sim


@pytest.fixture
def port(sim) -> str:
    return sim.address.rpartition(":")[2]


def test_every_option_of_the_forerunner_is_understood(beamstream, port, tmp_path):
    done = beamstream(
        *("spectra", "--addr", "127.0.0.1", "--port", port, "--buffer-length", 100, "--gc-interval", 50),
        *("--plot-interval", 1, "--plot-dir", "figs", "--start-webshow", "--log-level", "INFO"),
        *("--web-port", 0, "--seconds", 2.8),
    )
    assert done.status == 0, done
    assert done.err.count("gc_interval has no meaning any more") == 1
    assert "live page at http://127.0.0.1:" in done.err
    first = min((tmp_path / "figs").iterdir())
    assert image(first).size == (1800, 1500)
    assert "received, 0 lost" in done.out
    assert "pictures" in done.out


def test_status_lines_are_json_and_the_last_is_the_sum(beamstream, port):
    done = beamstream(
        *("spectra", "--port", port, "--plot-interval", 0, "--json", "--every", 0.2, "--seconds", 1.5),
        *("--polarization", "i", "--average", 8, "--beam", 0),
    )
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert len(lines) > 3
    last = lines[-1]
    assert (last["polarization"], last["average"], last["buffer_shape"]) == ("I", 8, [1200, 384])
    assert last["n_received"] > 50
    assert not last["running"]
    assert [line["n_received"] for line in lines] == sorted(line["n_received"] for line in lines)


def test_ctrl_c_ends_it_with_a_summary(sim, port, tmp_path, wait_for):
    with started(tmp_path, "spectra", "--port", port, "--plot-interval", 0, "--every", 0.1) as running:
        wait_for(lambda: "received" in running.err and "/s · delay" in running.err, what="a line of status")
        done = running.end(signal.SIGINT, signal.SIGINT)
    assert done.status == 130
    assert "ended by Ctrl-C" in done.err
    assert "received, 0 lost" in done.out
    assert "Traceback" not in done.err


def test_a_terminal_shows_one_line_that_changes(sim, port, tmp_path, wait_for):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "spectra", "--port", port, "--plot-interval", "0"],
        cwd=tmp_path,
        env=environment(tmp_path) | {"TERM": "xterm", "COLUMNS": "100"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    try:
        deadline = time.monotonic() + 20
        while b" lost" not in seen and time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:
                seen += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        while True:
            seen += os.read(ours, 65536)
    except OSError:  # its end is closed
        pass
    finally:
        process.wait(20)
        os.close(ours)
    text = seen.decode()
    assert "waiting for tcp://" in text
    assert "connected to tcp://" in text
    assert "delay" in text
    assert process.returncode == 130


def test_without_a_publisher_it_waits_and_says_so_in_the_end(beamstream):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        done = beamstream("spectra", "--port", nobody.getsockname()[1], "--plot-interval", 0, "--seconds", 1.3)
    done.failed_with("no spectrum came from tcp://127.0.0.1", "is the publisher running?")
    assert done.err.count("no publisher at") == 1


def test_a_page_port_in_use_is_said_at_once(beamstream, port):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = beamstream(
            *("spectra", "--port", port, "--plot-interval", 0, "--start-webshow"),
            *("--web-port", taken.getsockname()[1]),
        )
    done.failed_with("is in use", "--web-port")


def test_a_page_for_the_network_wants_a_key(beamstream, port):
    options = ["spectra", "--port", port, "--plot-interval", "0", "--start-webshow", "--web-port", "0"]
    options += ["--seconds", "0.7", "--web-host", "0.0.0.0"]
    with pytest.raises(ConfigurationError, match="without a key"):
        CliRunner().invoke(app, options, catch_exceptions=False, env={"BEAMSTREAM_API_KEY": None})
    done = beamstream(*options, env={"BEAMSTREAM_API_KEY": "k" * 20})
    assert done.status == 0, done
    assert "k" * 20 not in done.out + done.err


def test_a_directory_that_cannot_be_written_is_said_at_once(beamstream, port):
    beamstream("spectra", "--port", port, "--plot-dir", "/proc/figs").failed_with("/proc/figs", "another directory")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--polarization", "Q"], "use a number from 0, I or V"),
        (["--polarization", "all"], "use a number from 0, I or V"),
        (["--plot-interval", "0.2"], "use 1 or more, or 0 for none"),
        (["--log-level", "chatty"], "is not one of"),
        (["--buffer-length", "0"], "'--buffer-length'"),
        (["--port", "70000"], "'--port'"),
    ],
)
def test_wrong_usage_is_said_without_a_start(options, words):
    done = CliRunner().invoke(app, ["spectra", *options])
    assert done.exit_code == 2
    assert words in " ".join(done.output.replace("│", " ").split())
