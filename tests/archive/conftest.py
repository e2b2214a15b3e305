"""One archive server for all tests that only read and write runs: a start costs seconds."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from bluesky import RunEngine

sys.path.insert(0, str(Path(__file__).parent))  # for archive_session

import dask

from beamstream.archive.layout import Layout
from beamstream.archive.process import running_server

dask.config.set(scheduler="synchronous")  # its pool of threads would outlive a test


@dataclass
class Archive:
    """A served archive, and how to ask it."""

    layout: Layout
    url: str
    key: str
    pid: int
    engine: RunEngine
    client: Any

    def get(self, path: str, **kwargs: Any) -> httpx.Response:
        """GET below the API, with the key."""
        return httpx.get(f"{self.url}/api/v1{path}", headers={"Authorization": f"Apikey {self.key}"}, **kwargs)

    def curl(self, *arguments: str) -> bytes:
        """Run curl as a scientist would; ``$A`` and ``$K`` are the API and the key."""
        shell = " ".join(["curl -sS --fail", *arguments])
        environment = {"A": f"{self.url}/api/v1", "K": self.key, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["bash", "-c", shell], env=environment, capture_output=True, timeout=30)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


@contextmanager
def running_archive(directory: Path) -> Iterator[Archive]:
    """Run an archive with a feeder, in a process of its own."""
    from archive_session import make_engine

    from beamstream.archive.catalog import connect

    layout = Layout(directory)
    with running_server(layout.directory) as address:
        client = connect(layout.directory)
        key = layout.key.read_text().strip()
        yield Archive(layout, address.url, key, address.pid, make_engine(layout.journal), client)
        client.context.close()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """A running archive that tests share: they add runs to it, and nothing else."""
    with running_archive(tmp_path_factory.mktemp("archive")) as archive:
        yield archive


@pytest.fixture(scope="session")
def own_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """A running archive into which anything is written."""
    with running_archive(tmp_path_factory.mktemp("written")) as archive:
        yield archive


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users may read, which `tmp_path` is not."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def connected() -> Iterator[Callable[..., Any]]:
    """`connect`, with the connections closed afterwards."""
    from beamstream.archive.catalog import connect

    clients = []

    def connecting(*args: Any, **kwargs: Any) -> Any:
        clients.append(connect(*args, **kwargs))
        return clients[-1]

    yield connecting
    for client in clients:
        client.context.close()
