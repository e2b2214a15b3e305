"""Spectra: rates without loss while recording, how old they are when they come, the CPU time of receivers."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from beamstream.sim.loopback import free_port

pytestmark = pytest.mark.benchmark
HERE = Path(__file__).parent
SECONDS = 10.0


class Program:
    """A script beside this one, which talks JSON line by line."""

    def __init__(self, script: str, *arguments: object) -> None:
        command = [sys.executable, str(HERE / script), *map(str, arguments)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hear(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        return json.loads(self._child.stdout.readline())

    def say(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write("\n")
        self._child.stdin.flush()

    def end(self) -> None:
        self._child.stdin.close()  # type: ignore[union-attr]
        self._child.stdout.close()  # type: ignore[union-attr]
        self._child.kill()
        self._child.wait()


@contextmanager
def program(script: str, *arguments: object) -> Iterator[Program]:
    running = Program(script, *arguments)
    try:
        yield running
    finally:
        running.end()


def received(rate: float, script: str, *arguments: object) -> dict[str, Any]:
    """Return what a receiver says of so many seconds at a rate, with `missing`: what was sent and did not come."""
    with program("spectra_sender.py", rate, int(rate * SECONDS)) as sender:
        address = sender.hear()["address"]
        with program(script, address, *arguments) as receiver:
            assert receiver.hear()["ready"]
            sender.say()
            sent = sender.hear()
            time.sleep(1.0)  # what is under way may come
            receiver.say()
            found = receiver.hear()
    missing = found["gaps"] + sent["last"] - found["last"]
    return found | {"missing": missing, "held": sent["seconds"] <= 1.03 * SECONDS, "seconds": sent["seconds"]}


def words(found: dict[str, Any], rate: float) -> str:
    return (
        f"{found['missing']} of {int(rate * SECONDS)} missing, {1e3 * found['delay']:.2f} ms old at the median "
        f"(99 %: {1e3 * found['delay_99']:.1f}), {100 * found['cpu'] / found['seconds']:.0f} % of a core"
        + ("" if found["held"] else f"; the sender took {found['seconds']:.1f} s")
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rate", [1000.0, 2000.0, 5000.0, 10000.0])
def test_recording_spectra_against_a_plain_receiver(rate, tmp_path, report):
    ours = received(rate, "spectra_recorder.py", tmp_path)
    plain = received(rate, "plain_receiver.py", 0)
    report(f"{rate:.0f}/s of 1×3072×4 float32, recorded to HDF5", words(ours, rate))
    report(f"{rate:.0f}/s, a plain receiver into memory", words(plain, rate))
    assert (ours["error"], ours["lost"] - ours["gaps"]) == (None, 0)  # what is missing, the ledger knows


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rate", [1000.0, 5000.0])
def test_receiving_spectra_against_a_plain_receiver(rate, report):
    ours = received(rate, "spectra_receiving.py", 0)
    plain = received(rate, "plain_receiver.py", 0)
    report(f"{rate:.0f}/s of 1×3072×4 float32, SpectraReceiver", words(ours, rate))
    report(f"{rate:.0f}/s, a plain receiver into memory", words(plain, rate))


FILLED = 1200  # messages before the clients come
BESIDE = 100.0  # messages/s meanwhile


def asked(script: str, *arguments: object, path: str, clients: int) -> tuple[dict[str, Any], int]:
    """Return what clients say of a receiver's page, and how many spectra it lost meanwhile."""
    with program("spectra_sender.py", BESIDE, FILLED + int(60 * BESIDE)) as sender:
        address = sender.hear()["address"]
        with program(script, address, *arguments) as receiver:
            port = receiver.hear()["port"]
            sender.say()
            time.sleep(FILLED / BESIDE)
            with program("web_clients.py", port, path, clients, 10) as crowd:
                found = crowd.hear()
            receiver.say()
            return found, receiver.hear()["gaps"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("clients", [10, 50])
@pytest.mark.parametrize("path", ["/refresh?n_frames=600", "/data"])
def test_the_page_against_json_dumps_for_each_request(path, clients, report):
    ours, lost = asked("spectra_receiving.py", 1, path=path, clients=clients)
    plain, plain_lost = asked("plain_receiver.py", free_port(), path=path, clients=clients)
    for who, found, gone in (("ours", ours, lost), ("json.dumps", plain, plain_lost)):
        report(
            f"{path}, {clients} clients, {BESIDE:.0f} spectra/s meanwhile: {who}",
            f"{found['rate']:.1f} requests/s, {1e3 * found['median']:.1f} ms at the median, slowest "
            f"{1e3 * found['slowest']:.0f} ms, {found['bytes'] / 1e6:.2f} MB each, {gone} spectra lost",
        )
    report(f"{path}, {clients} clients: ratio", f"{ours['rate'] / plain['rate']:.1f}")
    assert lost == 0
