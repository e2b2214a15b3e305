"""The simulated spectrometer as a child process: it can be told, suspended, killed, and it ends with its parent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for spectra_subscriber

from spectra_subscriber import Subscriber

from beamstream.errors import NotConnected
from beamstream.sim.spectra_faults import SpectraFaults
from beamstream.sim.spectra_process import SpectraSim
from beamstream.sim.spectrometer import SpectrometerSpec

SPEC = SpectrometerSpec(shape=(1, 64, 4), rate=200)


@pytest.fixture
def sim():
    with SpectraSim(SPEC) as sim:
        yield sim


@pytest.fixture
def subscriber(sim):
    subscriber = Subscriber(sim.address)
    yield subscriber
    subscriber.close()


def test_what_a_child_sends_can_be_checked_here_bit_by_bit(sim, subscriber):
    scene = sim.spec.scene()
    for message in subscriber.take(50):
        assert np.array_equal(message.spectrum.values, scene.spectrum(message.header["sequence"]))
    assert sim.uri == sim.address.replace("tcp", "zmq")


def test_faults_are_in_force_from_the_next_message_on_and_counters_are_told(sim, subscriber):
    last = subscriber.sequences(5)[-1]
    sim.set_faults(SpectraFaults(silent_after=0))
    while message := subscriber.receive(0.3):
        last = message.header["sequence"]
    assert (sim.counters()["made"], sim.counters()["subscribers"]) == (last + 1, 1)
    sim.set_faults()
    assert subscriber.sequences(20) == list(range(last + 1, last + 21))


def test_a_suspended_spectrometer_is_silent_and_goes_on(sim, subscriber):
    subscriber.take(5)
    sim.suspend()
    while subscriber.receive(0.2):
        pass
    assert psutil.Process(sim.pid).status() == psutil.STATUS_STOPPED
    sim.resume()
    assert subscriber.receive() is not None


def test_killed_and_started_again_it_has_the_same_address_and_begins_at_0(sim, subscriber):
    (*_, message) = subscriber.take(60)
    last = message.header["sequence"]
    first, address = sim.pid, sim.address
    sim.kill()
    while message := subscriber.receive(0.2):
        last = message.header["sequence"]
    sim.start()
    assert (sim.pid != first, sim.address) == (True, address)
    assert subscriber.sequences(1)[0] < last  # it reconnected by itself


def test_after_the_last_message_it_stays_until_it_is_closed(wait_for):
    with SpectraSim(SpectrometerSpec(shape=(1, 64, 4), rate=0, number=100, subscribers=1)) as sim:
        subscriber = Subscriber(sim.address)
        assert subscriber.sequences(100) == list(range(100))
        wait_for(lambda: sim.counters()["done"], what="the end")
        assert sim.running
        subscriber.close()
        wait_for(lambda: sim.counters()["subscribers"] == 0, what="the subscriber to be missed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(sim, number, wait_for):
    os.kill(sim.pid, number)
    wait_for(lambda: not sim.running, what="its end")
    assert sim.stop() == 0
    assert sim.error_output() == ""
    with pytest.raises(NotConnected, match="simulated spectrometer"):
        sim.counters()


def test_stop_ends_it_even_while_it_is_suspended(sim):
    sim.suspend()
    assert sim.stop() == 0


@pytest.mark.parametrize("suspended", [False, True])
def test_it_dies_with_its_parent(suspended, wait_for):
    program = (
        "import time\n"
        "from beamstream.sim.spectra_process import SpectraSim\n"
        "sim = SpectraSim().start()\n"
        f"{'sim.suspend()' if suspended else ''}\n"
        "print(sim.pid, flush=True)\n"
        "time.sleep(100)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, what="the child to end")


def test_one_that_cannot_start_says_why(sim):
    taken = SpectrometerSpec(shape=(1, 64, 4), address=sim.address)
    with pytest.raises(NotConnected, match="Address already in use; choose another address"):
        SpectraSim(taken).__enter__()
