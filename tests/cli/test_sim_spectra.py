"""`beamstream sim spectra`: what it says it publishes, it publishes; it ends when asked."""

import json
import signal
import time
from dataclasses import fields

import numpy as np
import pytest
import zmq
from cli_commands import started
from typer.testing import CliRunner

from beamstream.cli.sim import app
from beamstream.cli.sim_spectra import faults_from
from beamstream.sim.solar import Scene
from beamstream.sim.spectra_faults import SpectraFaults
from beamstream.spectra_wire import decode

FREE = ("--bind", "tcp://127.0.0.1:0", "--json", "--shape", "1x64x4")


def received(address, number):
    """Return so many messages, taken apart."""
    context = zmq.Context()
    try:
        socket = context.socket(zmq.SUB)
        socket.set(zmq.RCVTIMEO, 10_000)
        socket.subscribe(b"data")
        socket.connect(address)
        return [decode(socket.recv_multipart()) for _ in range(number)]
    finally:
        context.destroy(linger=0)


def test_it_publishes_the_scene_and_ends_by_itself_after_so_many(tmp_path):
    options = (*FREE, "--rate", 200, "--seed", 7, "--wait", 1, "--num", 40, "--fault", "skip_ids=3,4")
    with started(tmp_path, "sim", "spectra", *options) as sim:
        ready = json.loads(sim.line())
        spectra = received(ready["address"], 38)
        counters = json.loads(sim.line())
        assert (sim.process.wait(20), sim.err) == (0, "")
    assert [s.sequence for s in spectra] == [n for n in range(40) if n not in (3, 4)]
    scene = Scene((1, 64, 4), 7, ready["cadence"])
    assert all(np.array_equal(s.values, scene.spectrum(s.sequence)) for s in spectra if s.sequence is not None)
    assert (counters["made"], counters["sent"], counters["skipped"], counters["done"]) == (40, 38, 2, True)
    assert ready["uri"] == ready["address"].replace("tcp", "zmq")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_its_counters(tmp_path, number):
    with started(tmp_path, "sim", "spectra", *FREE, "--rate", 0.1, "--no-sequence") as sim:
        address = json.loads(sim.line())["address"]
        began = time.monotonic()
        ended = sim.end(number)
    assert (ended.status, ended.err) == (0, "")
    assert json.loads(ended.out)["done"] is False
    assert time.monotonic() - began < 5  # it was in the middle of 10 s
    assert address.startswith("tcp://127.0.0.1:")


def test_the_real_cadence_comes_without_a_sequence(tmp_path):
    with started(tmp_path, "sim", "spectra", *FREE, "--gulps", "--no-sequence", "--wait", 1) as sim:
        ready = json.loads(sim.line())
        first, second = received(ready["address"], 2)
        sim.end()
    assert (first.sequence, second.sequence) == (None, None)
    assert first.timestamp == second.timestamp
    assert second.last_block_time - first.last_block_time == pytest.approx(ready["cadence"], abs=2e-6)


def test_people_are_told_where_it_is_and_how_it_went(tmp_path):
    options = ("--bind", "127.0.0.1:0", "--shape", "2x128x4", "--rate", 50, "--num", 5)
    with started(tmp_path, "sim", "spectra", *options) as sim:
        said = "".join(sim.line() for _ in range(5))
        sim.process.wait(20)
        ended = sim.end()
    assert "zmq://127.0.0.1:" in said
    assert "2x128x4 float32, 50 a second" in said
    assert "Ctrl-C" in said
    assert (ended.status, "ended: 5 sent" in ended.err) == (0, True)


def test_a_port_in_use_is_one_sentence(beamstream, tmp_path):
    with started(tmp_path, "sim", "spectra", *FREE) as sim:
        address = json.loads(sim.line())["address"]
        beamstream("sim", "spectra", "--bind", address).failed_with("Address already in use", "another address")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--shape", "3072x4"), ("--shape", "1x3072x4")),
        (("--shape", "1x3072x5"), ("5 polarisations",)),
        (("--fault", "skip=3"), ("skip_every", "NAME=VALUE")),
        (("--fault", "skip_every=often"), ("a number",)),
        (("--fault", "malformed=badly"), ("json, parts",)),
        (("--rate", "-1"), ("--rate",)),
    ],
)
def test_wrong_options_are_explained(options, words):
    done = CliRunner().invoke(app, ["spectra", *options])
    said = " ".join(done.output.replace("│", " ").split())
    assert done.exit_code == 2
    for word in words:
        assert word in said


def test_every_fault_has_an_option():
    said = faults_from([
        "skip_ids=3,4", "skip_every=2", "skip_random=0.5", "seed=1", "repeat_every=3", "malformed_at=4", "nan_every=9",
        "malformed_count=5", "malformed=size", "wrong_size_at=6", "silent_after=7", "silent_seconds=0.5",
        "restart_at=8", "restart_jump=2.5",
    ])  # fmt: skip
    changed = {f.name for f in fields(SpectraFaults) if getattr(said, f.name) != f.default}
    assert changed == {f.name for f in fields(SpectraFaults)}
    assert (said.skip_ids, said.silent_seconds, said.restart_at) == ({3, 4}, 0.5, 8)
