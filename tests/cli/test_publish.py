"""`beamstream publish spectra`: what subscribers get of the Sun, of files and of another publisher."""

import json
import math
import re
import signal
import time

import numpy as np
import pytest
import zmq
from cli_commands import started
from typer.testing import CliRunner

from beamstream.cli.publish import app
from beamstream.errors import NotConnected
from beamstream.sim.solar import Scene
from beamstream.sinks.spectra_publisher import SpectraPublisher
from beamstream.spectra_wire import decode

START = "2025-08-18T17:18:34.794256"
SECONDS = 1755537514.794256
GULP = 1024 * 24 * 8192 / 196e6  # s
SHAPE = (1, 48, 4)
ANY = "tcp://127.0.0.1:0"


@pytest.fixture
def subscribe():
    """Subscribe where a command says that it publishes."""
    context, kept = zmq.Context(), []  # which only knows sockets that somebody holds

    def one(command, wait_for):
        wait_for(lambda: "publishes at" in command.err, what="the address")
        socket = context.socket(zmq.SUB)
        kept.append(socket)
        socket.set(zmq.RCVHWM, 0)
        socket.subscribe(b"data")
        socket.connect(re.search(r"tcp://\S+", command.err)[0])
        return socket

    yield one
    context.destroy(linger=0)


@pytest.fixture
def usage():
    """Run a command that is wrong, here."""

    def fails(*arguments):
        done = CliRunner().invoke(app, ["spectra", *map(str, arguments)], env={"COLUMNS": "300"})
        assert done.exit_code == 2, done.output
        return " ".join(done.output.replace("│", " ").split())

    return fails


@pytest.fixture
def samples(tmp_path):
    made = np.random.default_rng(7).normal(1000, 50, (1000, *SHAPE)).astype("f4")
    np.save(tmp_path / "samples.npy", made)
    return made


def receive(socket):
    assert socket.poll(10_000), "no message"
    return decode(socket.recv_multipart())


def mean(samples):
    return samples.mean(axis=0, dtype="f8").astype("f4")


def test_a_file_is_published_to_its_last_sample(samples, subscribe, wait_for, tmp_path):
    options = ("--from", "samples.npy", "--bind", ANY, "--wait", "--pace", "fast", "--start", START, "--json")
    with started(tmp_path, "publish", "spectra", *options) as command:
        socket = subscribe(command, wait_for)
        got = [receive(socket) for _ in range(math.ceil(1000 / 61))]  # 61 samples of 4.1 ms are the first 0.25 s
        result = json.loads(command.process.stdout.read())
        assert command.process.wait(10) == 0
    for number, spectrum in enumerate(got):
        part = samples[61 * number : 61 * number + 61]
        np.testing.assert_array_equal(spectrum.values, mean(part))
        last = SECONDS + (61 * number + len(part) - 1) * GULP / 250
        assert spectrum.last_block_time == pytest.approx(last, abs=2e-6)
        assert spectrum.time_tag == pytest.approx(SECONDS * 196e6, abs=196)
        assert spectrum.sequence == number
    assert (result["published"], result["samples"], result["short"], result["unheard"]) == (17, 1000, 1, 0)
    assert (result["overflows"], result["missing"], result["ended"]) == (0, 0, "end of data")


def test_raw_binary_is_published_again_and_again_until_ctrl_c(subscribe, wait_for, tmp_path):
    samples = np.arange(5 * 48, dtype=">i2").reshape(5, 1, 12, 4)
    samples.tofile(tmp_path / "beam.raw")
    options = (
        "--from",
        "beam.raw",
        "--shape",
        "10x1x12x4",
        "--dtype",
        ">i2",
        "--gulp-seconds",
        0.1,
        "--interval",
        0.02,
    )
    with started(tmp_path, "publish", "spectra", *options, "--bind", ANY, "--repeat", "--no-sequence") as command:
        socket = subscribe(command, wait_for)
        first = receive(socket)
        got = [first, *(receive(socket) for _ in range(9))]
        done = command.end(signal.SIGINT)
    assert done.status == 0, done.err
    assert "published" in done.out
    assert [spectrum.sequence for spectrum in got] == [None] * 10
    begin = round((first.last_block_time - first.time_tag / 196e6) / 0.01) - 1  # of its first sample
    for number, spectrum in enumerate(got):
        pair = [(begin + 2 * number) % 5, (begin + 2 * number + 1) % 5]
        np.testing.assert_array_equal(spectrum.values, mean(samples[pair]))


def test_the_simulated_sun_is_averaged_as_it_is_seen(subscribe, wait_for, tmp_path):
    options = ("--shape", "100x1x256x2", "--gulp-seconds", 1, "--interval", 0.1, "--seconds", 0.3, "--seed", 5)
    with started(tmp_path, "publish", "spectra", *options, "--bind", ANY, "--wait", "--json") as command:
        socket = subscribe(command, wait_for)
        began = time.time()
        got = [receive(socket) for _ in range(3)]
        took = time.time() - began
        assert command.process.wait(10) == 0
    scene = Scene((1, 256, 2), 5, 0.01)
    for number, spectrum in enumerate(got):
        seen = np.stack([scene.spectrum(10 * number + n) for n in range(10)])
        np.testing.assert_array_equal(spectrum.values, mean(seen))
        assert 0 <= spectrum.timestamp - spectrum.last_block_time < 1.0  # just taken
    assert took > 0.25  # and not at once


def test_what_another_publisher_averages_is_averaged_further(samples, subscribe, wait_for, tmp_path):
    with SpectraPublisher("tcp://127.0.0.1:*", interval=0.1, time_tag=99) as other:
        address = other.address.replace("tcp:", "zmq:")
        options = ("--from", address, "--bind", ANY, "--wait", "--interval", 0.4, "--json")
        with started(tmp_path, "publish", "spectra", *options) as command:
            socket = subscribe(command, wait_for)
            assert other.wait(10)
            for number in range(12):
                if number == 9:
                    other._published += 2  # lost on the way
                    other._outlet.send([b"data", b"{}", b""])
                other.add(samples[number : number + 1], SECONDS + number / 10, 0.1)
            got = [receive(socket) for _ in range(3)]
            done = command.end(signal.SIGINT)
    assert done.status == 0, done.err
    for number, spectrum in enumerate(got):
        np.testing.assert_allclose(spectrum.values, mean(samples[4 * number : 4 * number + 4]), rtol=1e-6)
        assert spectrum.last_block_time == pytest.approx(SECONDS + 0.4 * number + 0.3, abs=2e-6)
        assert (spectrum.time_tag, spectrum.sequence) == (99, number)
    assert (done.json["published"], done.json["samples"]) == (3, 12)
    assert (done.json["missing"], done.json["malformed"]) == (2, 1)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_file_that_a_signal_cuts_short_is_published_so_far(samples, subscribe, wait_for, tmp_path, number, status):
    options = ("--from", "samples.npy", "--bind", ANY, "--wait", "--json")
    options += ("--shape", "7x1x48x4", "--gulp-seconds", 0.07, "--interval", 0.1)
    with started(tmp_path, "publish", "spectra", *options) as command:
        socket = subscribe(command, wait_for)
        got = [receive(socket)]
        done = command.end(number)
    result = done.json
    got += [receive(socket) for _ in range(result["published"] - 1)]
    assert not socket.poll(50)
    assert (done.status, result["ended"]) == (status, number.name)
    assert "Traceback" not in done.err
    assert 10 <= result["samples"] < 1000
    assert result["published"] == math.ceil(result["samples"] / 10)
    np.testing.assert_array_equal(got[-1].values, mean(samples[10 * (len(got) - 1) : result["samples"]]))


def test_ctrl_c_ends_the_wait_for_a_subscriber(wait_for, tmp_path):
    with started(tmp_path, "publish", "spectra", "--bind", ANY, "--wait", "--json") as command:
        wait_for(lambda: "publishes at" in command.err, what="it to wait")
        done = command.end(signal.SIGINT)
    assert (done.status, done.json["samples"]) == (0, 0)


def test_a_port_in_use_is_one_red_line(beamstream):
    with SpectraPublisher("tcp://127.0.0.1:*") as other:
        done = beamstream("publish", "spectra", "--bind", other.address)
    done.failed_with(f"{other.address} to be listened on, it is in use")


def test_a_publisher_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr("beamstream.cli.publish_inputs._ANSWER", 0.2)  # s
    with SpectraPublisher("tcp://127.0.0.1:*") as other:
        address = other.address.replace("tcp:", "zmq:")
    done = CliRunner().invoke(app, ["spectra", "--from", address, "--bind", ANY])
    assert isinstance(done.exception, NotConnected)
    assert f"no publisher at {other.address} within 0.2 s" in str(done.exception)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (1000, "its 1000 bytes are no whole number of samples of 1 x 12 x 4 float32 (192 bytes); correct --shape"),
        (0, "its 0 bytes are no whole number of samples"),
    ],
)
def test_raw_binary_of_a_wrong_size_says_what_was_expected(usage, tmp_path, size, words):
    (tmp_path / "beam.raw").write_bytes(bytes(size))
    assert words in usage("--from", tmp_path / "beam.raw", "--shape", "250x1x12x4")


def test_raw_binary_needs_a_shape_and_a_type(usage, tmp_path):
    (tmp_path / "beam.raw").write_bytes(bytes(384))
    assert "is no .npy file; say what is in it: 1x3072x4" in usage("--from", tmp_path / "beam.raw")
    assert "sunn cannot be read: No such file" in usage("--from", "sunn")
    options = ("--from", tmp_path / "beam.raw", "--shape", "1x12x4")
    assert "'wide' given; give one of numpy's" in usage(*options, "--dtype", "wide")
    assert "real numbers" in usage(*options, "--dtype", "c8")


def test_arrays_that_are_no_samples_are_refused(usage, tmp_path):
    for name, array in (("flat", np.zeros((10, 48, 4))), ("none", np.zeros((0, 1, 48, 4)))):
        np.save(tmp_path / name, array)
        assert f"holds float64 of shape {array.shape}" in usage("--from", tmp_path / f"{name}.npy")
    np.save(tmp_path / "objects", np.array([{}]), allow_pickle=True)
    assert "objects.npy cannot be read" in usage("--from", tmp_path / "objects.npy")
    (tmp_path / "text.npy").write_text("no array")
    assert "text.npy cannot be read" in usage("--from", tmp_path / "text.npy")
    assert "absent.npy cannot be read: No such file" in usage("--from", tmp_path / "absent.npy")


def test_a_shape_that_is_not_that_of_the_file_is_refused(usage, samples, tmp_path):
    said = usage("--from", tmp_path / "samples.npy", "--shape", "1x48x2")
    assert "1 x 48 x 2 asked for" in said
    assert "holds 1 x 48 x 4" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--shape", "big"), "'big' given; write 250x1x3072x4"),
        (("--shape", "250x1x3072x5"), "5 polarisations"),
        (("--start", "yesterday"), "'yesterday' given; write 2025-"),
        (("--bind", "9798"), "address '9798' given; give tcp://HOST:PORT"),
        (("--interval", "inf"), "interval = inf"),
        (("--from", "zmq://127.0.0.1:9798"), "which is where we publish; choose another port"),
    ],
)
def test_wrong_options_are_named(usage, options, words):
    assert words in usage(*options)
