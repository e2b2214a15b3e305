"""The live page beside a recording: frames drawn and their age, over a slow link too, and what lookers-on cost."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import pytest
from devtools import Tab

from beamstream.frames import Geometry
from beamstream.live.hub_settings import HubSettings
from beamstream.live.page import LivePage
from beamstream.sim.beamline import Beamline, CameraSpec
from beamstream.sim.process import SimProcess

sys.path.insert(0, str(Path(__file__).parents[1] / "live"))  # for slow_link
from slow_link import SlowLink  # pyright: ignore[reportMissingImports]

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(400)]

HERE = Path(__file__).parent
STREAM = "rheed"  # as live_upload.py names its camera
SIZE, FPS = 1024, 60.0
BITS, DELAY = 10e6, 0.02  # of the slow link: bit/s, s each way
LONGEST = 20.0  # s of one measurement
STARTING = 15.0  # s that a browser may take until it is measured
SETTLING = 1.5  # s at the begin of a recording that do not count, and at its end

# every drawn frame: when, ms, and how old it was then, ms
NOTE = """window.drawn = []; new MutationObserver((changes) => {
    for (const {target} of changes) drawn.push([performance.now(), Number(target.dataset.age)]);
}).observe(document.querySelector("#image"), {attributes: true, attributeFilter: ["data-age"]});"""
# what this browser can do at best: as many pixels, each time others, by themselves
BARE = """new Promise((done) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIZE;
    canvas.style.height = "90vh";
    document.body.append(canvas);
    const context = canvas.getContext("2d");
    const image = context.createImageData(SIZE, SIZE);
    const begun = performance.now();
    let drawn = 0;
    requestAnimationFrame(function draw(now) {
        if (now > begun + 3000) return done(1000 * drawn / (now - begun));
        new Uint32Array(image.data.buffer).fill(0xff000000 + 1000 * ++drawn);
        context.putImageData(image, 0, 0);
        requestAnimationFrame(draw);
    });
})""".replace("SIZE", str(SIZE))


@pytest.fixture
def seconds(seconds) -> float:
    return min(seconds, LONGEST)


@pytest.fixture(scope="module")
def camera() -> Iterator[CameraSpec]:
    """A camera that runs all the time."""
    spec = CameraSpec("PAGE:CAM", Geometry((SIZE, SIZE), "<u2"), period=1 / FPS, free_running=True)
    with SimProcess(Beamline((spec,), ())):
        yield spec


@pytest.fixture
def page() -> Iterator[LivePage]:
    with LivePage(HubSettings(streams=[{"name": STREAM, "about": {}}], port=0)) as page:
        yield page


@contextmanager
def recording(camera: CameraSpec, seconds: float, place: Path) -> Iterator["subprocess.Popen[str]"]:
    """Record in a process of its own."""
    place.mkdir()
    command = [sys.executable, str(HERE / "live_upload.py"), camera.image, str(seconds), str(place)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def account(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for the end of a recording; return what became of it, its file gone."""
    said, errors = process.communicate(timeout=LONGEST + 60)
    assert process.returncode == 0, errors
    found = json.loads(said.splitlines()[-1])
    path = Path(found["file"])
    with h5py.File(path) as file:
        group: Any = file["entry/data"]
        stamps, received = group["timestamp"][:], group["received"][:]
    settled = stamps > stamps[0] + SETTLING
    found["late"] = float(np.percentile((received - stamps)[settled], 99))
    found["rate"] = found["recorded"] / float(np.ptp(stamps))
    path.unlink()
    assert found["recorded"]
    assert found["lost"] == 0
    return found


def spent(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    """Return the CPU of processes and their descendants so far, s."""
    found = dict.fromkeys(processes, 0.0)
    for name, top in processes.items():
        for one in (top, *top.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # browsers end some of theirs now and then
                found[name] += sum(one.cpu_times()[:2])
    return found


def watch(tab: Tab, url: str, process: "subprocess.Popen[str]", page: LivePage, seconds: float) -> dict[str, Any]:
    """Look at the stream in a browser; return what was drawn, and the CPU of all who take part."""
    assert page.pid is not None
    parts = {"hub": page.pid, "recorder": process.pid}
    processes = {"browser": tab.process, **{name: psutil.Process(pid) for name, pid in parts.items()}}
    tab.go(url)
    until(lambda: tab.evaluate("window.beamstreamPage?.shown > 10"), "frames on the page")
    tab.evaluate(NOTE)
    before, begun = spent(processes), time.monotonic()
    time.sleep(seconds)
    after, took = spent(processes), time.monotonic() - begun
    assert process.poll() is None, "the recording ended before the measurement"
    drawn = np.array(tab.evaluate("drawn"))
    return {
        "rate": len(drawn) / took,
        "ages": drawn[:, 1],
        "bin": tab.evaluate("document.querySelector('#image').dataset.bin"),
        "cores": {name: (after[name] - before[name]) / took for name in processes},
    }


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"not within a minute: {what}"
        time.sleep(0.1)


def aged(ages: np.ndarray) -> str:
    p50, p95 = np.percentile(ages, (50, 95))
    return f"{p50:.0f} / {p95:.0f} ms"


def test_frames_are_drawn_while_they_are_recorded(camera, page, seconds, report, tmp_path, chromium):
    with Tab(tmp_path / "profile", chromium) as tab:
        bare = tab.evaluate(BARE)
        with recording(camera, seconds + STARTING, tmp_path / "archive") as process:
            seen = watch(tab, f"{page.url}streams/{STREAM}/", process, page, seconds)
            kept = account(process)
    cores = ", ".join(f"{name} {100 * core:.0f} %" for name, core in seen["cores"].items())
    report(
        f"page, {SIZE}² uint16 at {FPS:.0f} fps, recorded",
        f"{seen['rate']:.1f} drawn/s (bin {seen['bin']}), age when drawn p50 / p95 {aged(seen['ages'])}; CPU of a "
        f"core: {cores}; {kept['recorded']} recorded, {kept['lost']} lost; putImageData by itself {bare:.0f}/s",
    )


def test_lookers_on_cost_a_recording_little(camera, page, seconds, report, tmp_path):
    alone: dict[str, float] = {}
    for clients in (0, 1, 8):
        kept, seen = looked_at(camera, page, clients, seconds, tmp_path / f"with{clients}")
        alone = alone or kept
        idle, idle_alone = 1 - kept["core"], 1 - alone["core"]
        report(
            f"recording with {clients} looking on",
            f"{kept['recorded']} recorded ({kept['rate']:.1f}/s), {kept['lost']} lost, "
            f"{1e3 * kept['core'] / kept['rate']:.2f} ms CPU a frame ({kept['core'] / alone['core']:.2f} ×), "
            f"{idle:.1%} of a core free ({idle / idle_alone:.3f} ×), 99 % received within {1e3 * kept['late']:.1f} ms"
            + got(seen),
        )


def got(seen: dict[str, float]) -> str:
    if not seen:
        return ""
    return (
        f"; each got {seen['least']:.1f} to {seen['most']:.1f} frames/s of {seen['bytes'] / 1e6:.1f} MB, "
        f"age p50 / p95 {1e3 * seen['p50']:.0f} / {1e3 * seen['p95']:.0f} ms"
    )


def looked_at(
    camera: CameraSpec, page: LivePage, clients: int, seconds: float, place: Path
) -> tuple[dict[str, Any], dict[str, float]]:
    """Record while clients look on from the first frame almost to the last; return what both say, and the CPU."""
    arguments = [f"{page.url}streams/{STREAM}/", str(SIZE), str(clients), str(seconds)]
    command = [sys.executable, str(HERE / "page_clients.py"), *arguments]
    looking = subprocess.Popen(command, stdout=subprocess.PIPE, text=True) if clients else None
    try:
        if looking is not None and looking.stdout is not None:
            assert looking.stdout.readline() == "connected\n"
        with recording(camera, seconds + 2 * SETTLING, place) as process:
            until(lambda: any(place.rglob("*.h5")), "a recording")
            time.sleep(SETTLING)
            recorder = {"core": psutil.Process(process.pid)}
            before, begun = spent(recorder)["core"], time.monotonic()
            time.sleep(seconds)
            core = (spent(recorder)["core"] - before) / (time.monotonic() - begun)
            kept = account(process) | {"core": core}
        return kept, json.loads(looking.communicate(timeout=30)[0]) if looking else {}
    finally:
        if looking is not None:
            looking.kill()
            looking.communicate()


def test_frames_come_over_a_slow_link_without_a_queue(camera, page, seconds, report, tmp_path, chromium):
    recorder = recording(camera, seconds + STARTING, tmp_path / "archive")
    with SlowLink(page.port, BITS, DELAY) as link, Tab(tmp_path / "profile", chromium) as tab, recorder as process:
        seen = watch(tab, link.through(f"{page.url}streams/{STREAM}/"), process, page, seconds)
        account(process)
    quarter = max(1, len(seen["ages"]) // 4)
    raw = BITS / 8 / (2 * SIZE**2)
    report(
        f"page over {BITS / 1e6:.0f} Mbit/s and {1e3 * DELAY:.0f} ms each way",
        f"{seen['rate']:.1f} drawn/s (bin {seen['bin']}; as they are {raw:.2f}/s would fit), age when drawn p50 / p95 "
        f"{aged(seen['ages'][:quarter])} in the first quarter, {aged(seen['ages'][-quarter:])} in the last",
    )
