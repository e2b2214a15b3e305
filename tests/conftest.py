"""What every test stands on: EPICS that stays on loopback, and nothing left behind."""

import contextlib
import gc
import os
import resource
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from beamstream.sim.loopback import loopback_environment

os.environ.update(loopback_environment())  # before anything imports EPICS
os.environ["BEAMSTREAM_RINGS"] = f"test{os.getpid()}"  # before anything has a ring; tests run in two processes

import psutil
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).parent))  # for what several rooms use: pva_camera, damaged_frames

SHM = Path("/dev/shm")
# caproto's shared client context and pvaccess live as long as the interpreter, by their design
FOREVER = (
    "caproto",
    "SharedBroadcaster",
    "selector",
    "VirtualCircuit",
    "ophyd",
    "bluesky",
    "AnyIO",
    "user-callback-executor",  # caproto's
    "Dummy-",  # pvaccess' own, seen when they call Python
)

CHROMIUM = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",  # software draws
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=SpareRendererForSitePerProcess",
]


def _wait_for(condition: Callable[[], object], timeout: float = 10.0, what: str = "") -> None:
    """Return as soon as the condition holds; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout} s: {what or condition}")
        time.sleep(0.005)


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """Wait on a condition with a deadline: ``wait_for(lambda: x > 3, timeout=5, what="x to grow")``."""
    return _wait_for


def _threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if not t.name.startswith(FOREVER)}


def _segments() -> set[str]:
    return {p.name for p in SHM.glob(f"*beamstream-test{os.getpid()}-*")}


def _children() -> set[psutil.Process]:
    living = set()
    tasks = list(Path("/proc/self/task").glob("*/children"))  # not every kernel has them
    if tasks and not any(map(_read, tasks)):
        return living  # to look through all processes for none takes 2 ms, twice a test
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends this moment
            if child.status() != psutil.STATUS_ZOMBIE:
                living.add(child)
    return living


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):  # of a thread that ends this moment
        return path.read_text()
    return ""


@pytest.fixture(scope="module", autouse=True)
def little_to_look_through() -> None:
    """Tell the garbage collector to pass over all that is there already: to look through it takes 0.25 s a test."""
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, a process or a shared-memory segment."""
    before = _threads(), _segments(), _children()
    yield
    if request.node.get_closest_marker("leaks_by_intention"):
        return
    deadline = time.monotonic() + 5.0
    while True:
        gc.collect()  # a channel that pvaccess gives back in the middle of the next test disturbs its search
        left = [now - then for now, then in zip((_threads(), _segments(), _children()), before, strict=True)]
        if not any(left) or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert not any(left), f"left behind: threads {left[0]}, segments {left[1]}, processes {left[2]}"


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Fail where the process has to grow by more than 200 MiB beyond the most that it ever had."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


@pytest.fixture(scope="session")
def chromium() -> list[str]:
    """How Chromium is started without a window."""
    return CHROMIUM


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A real Chromium without a window; a test that has none is skipped, in CI it fails."""
    path = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        message = "chromium and playwright asked for; apt install chromium, pip install playwright"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def many_files() -> Iterator[None]:
    """Enough descriptors for a thousand connections and both their ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 3000)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
