"""bluesky's queue server runs the same startup files: a plan from its queue records every frame."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest
from bluesky_queueserver.manager.comms import ZMQCommSendThreads

from beamstream.frames import Geometry
from beamstream.sim.beamline import Beamline, CameraSpec, MotorSpec
from beamstream.sim.loopback import free_port
from beamstream.sim.process import SimProcess

STARTUP = Path(__file__).resolve().parents[2] / "profile" / "startup"
CONFIG = """
[archive]
directory = "archive"
start = "no"
[devices.cam]
kind = "pva_detector"
pv = "SIM:CAM:Pva1:Image"
control = "SIM:CAM:cam1:"
[devices.motor]
kind = "motor"
pv = "SIM:MTR1"
"""
USER = {"user": "tests", "user_group": "primary"}


@contextmanager
def child(command: list[str], log: Path, **options) -> Iterator[subprocess.Popen]:
    """Run a process while the block runs; it ends by SIGTERM."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def redis_port(tmp_path, wait_for) -> Iterator[int]:
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.fail("the queue server keeps its queue in Redis, which is not here; apt install redis-server")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--appendonly", "no", "--dir", str(tmp_path)]
    with child(command, tmp_path / "redis.log"):
        wait_for(lambda: listens(port), what="redis")
        yield port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Queue:
    """The client's side of a queue server."""

    def __init__(self, comm: ZMQCommSendThreads, log: Path, wait_for) -> None:
        self._comm, self._log, self._wait_for = comm, log, wait_for

    def ask(self, method: str, **parameters) -> dict:
        """Return the answer to a request that must succeed."""
        answer = self._comm.send_message(method=method, params=parameters)
        assert answer.get("success", True), f"{method}: {answer}\n{self._log.read_text()[-3000:]}"
        return answer

    def until(self, timeout: float = 60, **wanted) -> dict:
        """Return the status as soon as it has these values."""
        status: dict = {}

        def reached() -> bool:
            status.update(self.ask("status"))
            return all(status[key] == value for key, value in wanted.items())

        try:
            self._wait_for(reached, timeout=timeout, what=f"{wanted}")
        except BaseException:
            print(self._log.read_text()[-5000:])  # noqa: T201
            raise
        return status


@pytest.fixture
def queue(tmp_path, redis_port, wait_for) -> Iterator[Queue]:
    shutil.copytree(STARTUP, tmp_path / "startup", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "beamstream.toml").write_text(CONFIG)
    control, info = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    log = tmp_path / "manager.log"
    command = [str(Path(sys.executable).with_name("start-re-manager"))]
    command += ["--startup-dir", str(tmp_path / "startup"), "--redis-addr", f"127.0.0.1:{redis_port}"]
    command += ["--zmq-control-addr", control, "--zmq-info-addr", info]
    command += ["--update-existing-plans-devices", "ENVIRONMENT_OPEN"]
    environment = os.environ | {"BEAMSTREAM_CONFIG": str(tmp_path / "beamstream.toml")}
    with child(command, log, env=environment, cwd=tmp_path):
        comm = ZMQCommSendThreads(zmq_server_address=control, timeout_recv=5000, raise_exceptions=False)
        queue = Queue(comm, log, wait_for)
        try:
            wait_for(lambda: "manager_state" in comm.send_message(method="status"), timeout=60, what="the manager")
            yield queue
        finally:
            comm.send_message(method="manager_stop", params={"option": "safe_off"})
            comm.close()
            comm._ctx.term()  # it forgets that, and Python says so


@pytest.fixture
def beamline():
    with SimProcess(Beamline((CameraSpec(geometry=Geometry((64, 96), "<u2")),), (MotorSpec(),))) as running:
        yield running


def test_a_plan_from_the_queue_records_every_frame(beamline, queue, tmp_path, wait_for):
    began = time.monotonic()
    queue.ask("environment_open")
    queue.until(worker_environment_exists=True, manager_state="idle")
    print(f"environment open after {time.monotonic() - began:.1f} s")  # noqa: T201

    def allowed(what: str) -> set[str]:
        return set(queue.ask(f"{what}_allowed", user_group="primary")[f"{what}_allowed"])

    wait_for(lambda: allowed("plans") and allowed("devices"), what="the lists, which come after the worker is open")
    assert {"record", "monitor", "darks", "flats", "count", "scan", "grid_scan"} <= allowed("plans")
    devices = allowed("devices")
    assert {"cam", "motor"} <= devices
    assert "cat" not in devices

    items = [
        {"item_type": "plan", "name": "record", "args": [["cam"]], "kwargs": {"num": 20}},
        {"item_type": "plan", "name": "scan", "args": [["cam"], "motor", 0, 1, 3]},
    ]
    for item in items:
        queue.ask("queue_item_add", item=item, **USER)
    queue.ask("queue_start")
    queue.until(manager_state="idle")
    results = [item["result"] for item in queue.ask("history_get")["items"]]
    assert [result["exit_status"] for result in results] == ["completed", "completed"], results

    recorded = [20, 3]
    for result, number in zip(results, recorded, strict=True):
        (uid,) = result["run_uids"]
        documents = journal(tmp_path / "archive" / "journal", uid)
        assert documents[-1][0] == "stop"
        assert documents[-1][1]["exit_status"] == "success"
        account = next(doc["data"] for name, doc in documents if name == "event" and "cam_ledger_lost" in doc["data"])
        assert (account["cam_ledger_recorded"], account["cam_ledger_lost"]) == (number, 0)
    files = sorted((tmp_path / "archive" / "recordings").rglob("*.h5"), key=lambda p: p.stat().st_mtime_ns)
    assert [longest(path) for path in files] == recorded

    queue.ask("environment_close")
    queue.until(worker_environment_exists=False, manager_state="idle")


def journal(directory: Path, uid: str) -> list[tuple[str, dict]]:
    (path,) = directory.rglob(f"{uid}.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(line["name"], line["doc"]) for line in lines]


def longest(path: Path) -> int:
    """Return the number of rows of the images."""
    with h5py.File(path) as file:
        rows: list[int] = []
        file.visititems(
            lambda _, node: rows.append(len(node)) if isinstance(node, h5py.Dataset) and node.ndim == 3 else None
        )
    (only,) = rows
    return only
