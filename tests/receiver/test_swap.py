"""Scripts written for the forerunner's receiver: they run with another import and no other change."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from beamstream.sim.spectra_process import SpectraSim
from beamstream.sim.spectrometer import SpectrometerSpec

# as documented there: these keywords, these calls, in this order, these formats; and right after the start
WITH_PLOTS_AND_WITHOUT = """
from beamstream.receiver import StreamReceiver

receiver = StreamReceiver(
    stream_addr='127.0.0.1',
    stream_port=PORT,
    buffer_length=1200,
    plot_interval=10,
    plot_dir='figs/'
)
receiver_no_plots = StreamReceiver(
    stream_addr='127.0.0.1',
    stream_port=PORT,
    buffer_length=1200,
    plot_interval=0,
    plot_dir='figs/'
)
receiver.start()
latest_data = receiver.get_latest_data(n_frames=10)
status = receiver.get_buffer_status()
print(f"Plotting: {status['plot_running']}, Last plot: {status['last_plot_time']}")
print(f"Current delay: {status['current_delay']:.3f}s")
current_delay = receiver.get_current_delay()
print(f"Data lag: {current_delay:.3f} seconds")
receiver.stop()
"""
WITH_A_PAGE = """
from beamstream.receiver import SpectraReceiver as StreamReceiver

receiver_web = StreamReceiver(
    stream_addr='127.0.0.1',
    stream_port=PORT,
    buffer_length=1200,
    plot_interval=0,
    start_webshow=True
)
receiver_web.start()
"""
A_LOOP = """
import logging, sys, time
from beamstream.receiver import StreamReceiver

logging.basicConfig(level="INFO")
receiver = StreamReceiver(stream_port=PORT, buffer_length=1200, gc_interval=100, plot_interval=0)
try:
    receiver.start()
    while True:
        time.sleep(0.05)
        status = receiver.get_buffer_status()
        if status['buffer_index'] > 0:
            latest_data = receiver.get_latest_data(n_frames=1)
            if latest_data.size > 0:
                print(latest_data[0].tolist()[0], latest_data.min(), flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
finally:
    receiver.stop()
    print("stopped", receiver.get_buffer_status()['is_running'], flush=True)
"""


@pytest.fixture(scope="module")
def sim():
    with SpectraSim(SpectrometerSpec(rate=50)) as sim:
        yield sim


def script(text: str, sim: SpectraSim, directory: Path) -> subprocess.Popen[str]:
    """Start a script with a publisher's port filled in."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", text.replace("PORT", sim.address.rpartition(":")[2])],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # ignored in the background
    )


def test_the_documented_script_runs_to_its_end(sim, tmp_path):
    with script(WITH_PLOTS_AND_WITHOUT, sim, tmp_path) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    first, second, third = out.splitlines()
    assert first == "Plotting: True, Last plot: None"
    assert second.startswith("Current delay: 0.0")
    assert third.endswith(" seconds")


def test_a_script_that_never_stops_its_receiver_ends_without_a_trace(sim, tmp_path):
    text = WITH_A_PAGE.replace("start_webshow=True", "start_webshow=True, web_port=0")
    with script(text, sim, tmp_path) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_the_loop_that_everybody_writes_ends_at_ctrl_c(sim, tmp_path):
    with script(A_LOOP, sim, tmp_path) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert len(first.split()) == 2
    assert out.splitlines()[-2:] == ["interrupted", "stopped False"]
    assert "gc_interval has no meaning" in err


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.1])
def test_ctrl_c_again_while_it_stops_leaves_nothing_behind(pause, sim, tmp_path, wait_for):
    text = A_LOOP.replace("plot_interval=0", "plot_interval=1, start_webshow=True, web_port=0")
    with script(text, sim, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        children = psutil.Process(process.pid).children(recursive=True)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(pause)
        process.communicate(timeout=30)
    assert len(children) == 2, "one that draws, one that serves"
    wait_for(lambda: not any(child.is_running() for child in children), what="their ends")
    assert not list(Path("/dev/shm").glob(f"beamstream-*.{process.pid}-*"))


def test_the_page_answers_as_before_with_the_newest_spectrum(sim, receive, wait_for):
    import httpx

    receiver = receive(sim, start_webshow=True, web_port=0)
    receiver.start()
    url = receiver.get_buffer_status()["web_url"]
    wait_for(lambda: len(httpx.get(f"{url}data").json()) == 768, what="data")
    wait_for(lambda: httpx.get(f"{url}status").json().get("received"), what="the receiver's own account")
    said = httpx.get(f"{url}status").json()
    assert (said["source"], said["connected"], said["lost"]) == (receiver.stream, True, 0)
    assert len(httpx.get(f"{url}refresh?n_frames=5").json()["data"]) == 5
    receiver.stop()
    with pytest.raises(httpx.TransportError):
        httpx.get(url)
    assert json.loads(json.dumps(receiver.get_buffer_status()))["web_running"] is False


def test_a_port_in_use_is_an_error_at_the_start_and_leaves_nothing_running(sim, receive):
    import socket

    from beamstream.errors import ConfigurationError

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        receiver = receive(sim, start_webshow=True, web_port=taken.getsockname()[1])
        with pytest.raises(ConfigurationError, match=r"port .* is in use"):
            receiver.start()
    assert not receiver.running
    assert receiver.ring is None
