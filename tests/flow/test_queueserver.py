"""bluesky's queue server runs the same startup files: a plan from its queue records every frame."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest
from bluesky_queueserver.manager.comms import ZMQCommSendThreads
from bluesky_queueserver.manager.profile_ops import load_existing_plans_and_devices, validate_plan

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
[devices.stage]
kind = "motor"
pv = "SIM:MTR2"
[devices.shutter]
kind = "signal"
pv = "SIM:CAM:sim1:Shutter"
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

    def refused(self, name: str, *args, **kwargs) -> str:
        """Return why a plan is not accepted."""
        item = {"item_type": "plan", "name": name, "args": args, "kwargs": kwargs}
        answer = self._comm.send_message(method="queue_item_add", params={"item": item, **USER})
        assert answer["success"] is False, answer
        return answer["msg"]

    def add(self, name: str, *args, **kwargs) -> None:
        """Put a plan at the end of the queue."""
        self.ask("queue_item_add", item={"item_type": "plan", "name": name, "args": args, "kwargs": kwargs}, **USER)

    def open(self) -> None:
        """Start the worker, and wait for its lists, which come later."""
        self.ask("environment_open")
        self.until(worker_environment_exists=True, manager_state="idle")
        self._wait_for(lambda: self.allowed("plans") and self.allowed("devices"), what="the lists")

    def allowed(self, what: str) -> set[str]:
        """Return the names of the plans or devices that an item may have."""
        return set(self.ask(f"{what}_allowed", user_group="primary")[f"{what}_allowed"])

    def close(self) -> None:
        """End the worker."""
        self.ask("environment_close")
        self.until(worker_environment_exists=False, manager_state="idle")

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
    camera = CameraSpec(geometry=Geometry((64, 96), "<u2"), period=0.02, scene="beam")
    motors = MotorSpec(velocity=50.0), MotorSpec("SIM:MTR2", velocity=50.0)
    with SimProcess(Beamline((camera,), motors)) as running:
        yield running


def test_a_plan_from_the_queue_records_every_frame(beamline, queue, tmp_path):
    queue.open()
    assert {"cam", "motor"} <= queue.allowed("devices")
    assert "cat" not in queue.allowed("devices")

    queue.add("record", ["cam"], num=20)
    queue.add("scan", ["cam"], "motor", 0, 1, 3)
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
    queue.close()


def test_the_queue_runs_blueskys_own_plans_and_refuses_devices_that_are_none_of_what_they_take(
    beamline, queue, tmp_path
):
    queue.open()
    for name, args in {
        "record": [["kamera"]],
        "count": [["kamera"]],
        "darks": ["kamera"],
        "rel_scan": [["kamera"], "motor", 0, 1, 3],
    }.items():
        assert "should be 'cam'" in queue.refused(name, *args)
    assert "DeviceThatCanStream" in (words := queue.refused("record", ["motor"], num=2))
    assert "should be 'cam'" in words
    assert "should be 'cam', 'motor', 'shutter' or 'stage'" in queue.refused("count", ["kamera"])
    assert "DeviceThatCanMove" in queue.refused("mv", "motor", 1, "shuter", "Closed")

    plans = {
        "mv": ["motor", 1, "shutter", "Closed"],
        "mvr": ["motor", 0.5],
        "abs_set": ["shutter", "Open"],
        "rel_set": ["motor", 0.5],
        "sleep": [0.01],
        "rel_scan": [["cam"], "motor", 0, 0.2, 2],
        "list_scan": [["cam"], "shutter", ["Closed", "Open"]],
        "rel_list_scan": [["cam"], "motor", [0, 0.1]],
        "grid_scan": [["cam"], "motor", 0, 0.1, 2, "stage", 0, 0.1, 2, True],
        "rel_grid_scan": [["cam"], "motor", 0, 0.1, 2, "stage", 0, 0.1, 2],
        "list_grid_scan": [["cam"], "motor", [0, 0.1], "stage", [0, 0.1]],
        "log_scan": [["cam"], "motor", -1, 0, 2],
        "spiral": [["cam"], "motor", "stage", 0, 0, 0.2, 0.2, 0.1, 2],
        "spiral_fermat": [["cam"], "motor", "stage", 0, 0, 0.2, 0.2, 0.1, 2],
        "spiral_square": [["cam"], "motor", "stage", 0, 0, 0.2, 0.2, 2, 2],
        "x2x_scan": [["cam"], "motor", "stage", 0, 0.2, 2],
        "adaptive_scan": [["cam"], "cam_stats_total", "motor", 0, 0.2, 0.1, 0.2, 1.0, False],
        "tune_centroid": [["cam"], "cam_stats_total", "motor", 0, 0.2, 0.2, 2],
        "count": [["cam.stats", "motor.user_setpoint"], 2],
    }
    assert set(plans) <= queue.allowed("plans")
    for name, args in plans.items():
        queue.add(name, *args, **({"wait": True} if name.endswith("_set") else {}))
    queue.ask("queue_start")
    queue.until(manager_state="idle", timeout=180)
    done = queue.ask("history_get")["items"]
    assert {item["name"]: item["result"]["exit_status"] for item in done} == dict.fromkeys(plans, "completed"), [
        item["result"]["msg"] for item in done
    ]
    runs = [item["result"]["run_uids"] for item in done]
    assert [len(uids) for uids in runs] == [0] * 5 + [1] * (len(plans) - 5)
    scanned = journal(tmp_path / "archive" / "journal", runs[6][0])
    values = [doc["data"]["shutter"] for name, doc in scanned if name == "event" and "shutter" in doc["data"]]
    assert values == ["Closed", "Open"]
    queue.close()


@pytest.mark.parametrize("option", ["immediate", "deferred"])
def test_a_flight_that_is_paused_in_the_queue_goes_on_with_what_was_asked_for(beamline, queue, tmp_path, option):
    queue.open()
    queue.add("record", ["cam"], num=200)
    queue.ask("queue_start")
    queue.until(manager_state="executing_queue", re_state="running")
    queue.ask("re_pause", option=option)
    queue.until(manager_state="paused")
    queue.ask("re_resume")
    queue.until(manager_state="idle")
    (item,) = queue.ask("history_get")["items"]
    assert item["result"]["exit_status"] == "completed", item["result"]
    documents = journal(tmp_path / "archive" / "journal", item["result"]["run_uids"][0])
    (account,) = [doc["data"] for name, doc in documents if name == "event" and "cam_ledger_lost" in doc["data"]]
    assert (account["cam_ledger_recorded"], account["cam_ledger_lost"]) == (200, 0)
    (path,) = (tmp_path / "archive" / "recordings").rglob("*.h5")
    assert longest(path) == 200
    queue.close()


def test_the_lists_of_plans_and_devices_can_be_made_without_a_server(beamline, tmp_path):
    shutil.copytree(STARTUP, tmp_path / "startup", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "beamstream.toml").write_text(CONFIG)
    program = str(Path(sys.executable).with_name("qserver-list-plans-devices"))
    environment = os.environ | {"BEAMSTREAM_CONFIG": str(tmp_path / "beamstream.toml")}
    subprocess.run(
        [program, "--startup-dir", str(tmp_path / "startup"), "--file-dir", str(tmp_path)],
        env=environment,
        cwd=tmp_path,
        timeout=120,
        check=True,
    )
    plans, devices = load_existing_plans_and_devices(tmp_path / "existing_plans_and_devices.yaml")
    assert {"record", "mv", "scan", "spiral"} <= set(plans)
    assert {"cam", "motor", "stage", "shutter"} <= set(devices)
    item = {"name": "count", "args": [["kamera"]]}
    accepted, words = validate_plan(item, allowed_plans=plans, allowed_devices=devices)
    assert not accepted
    assert "'kamera'" in words


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
