"""One ingest for all tests that need none of their own, and clients: the real one, and one by hand."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for by_hand

import numpy as np
from by_hand import ByHand
from zarr.core.sync import cleanup_resources

from beamstream.ingest.process import IngestProcess
from beamstream.sim.child import ChildProcess

CLIENT = Path(__file__).parent / "rheed_client.py"


@pytest.fixture(autouse=True)
def no_threads_of_zarr() -> Iterator[None]:
    """End the threads that zarr-python keeps for its reads."""
    yield
    cleanup_resources()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IngestProcess]:
    """A running ingest."""
    with IngestProcess(tmp_path_factory.mktemp("ingest")) as process:
        yield process


@pytest.fixture
def own(tmp_path: Path) -> Iterator[IngestProcess]:
    """A running ingest that may be killed."""
    with IngestProcess(tmp_path / "archive") as process:
        yield process


@pytest.fixture
def by_hand() -> Iterator[Callable[[IngestProcess], ByHand]]:
    """Talk to an ingest without the client: ``by_hand(ingest)``."""
    made: list[ByHand] = []

    def make(process: IngestProcess) -> ByHand:
        made.append(ByHand(process.url, process.key))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture(scope="session")
def client_process() -> Iterator[ChildProcess]:
    """The process that has imported the real client, which takes seconds."""
    with ChildProcess("client", [sys.executable, str(CLIENT)], timeout=60) as process:
        yield process


@pytest.fixture
def real(tmp_path: Path, client_process: ChildProcess) -> Iterator[Callable[..., "RealClient"]]:
    """Make a real client: ``real(ingest)``."""
    made: list[RealClient] = []

    def make(process: IngestProcess, url: str = "", key: str = "") -> "RealClient":
        made.append(RealClient(client_process, tmp_path / f"client{len(made)}"))
        made[-1].do("open", url=url or process.url, key=key or process.key)
        return made[-1]

    yield make
    for client in made:
        client.do("close")


class RealClient:
    """The real client, in a process of its own."""

    def __init__(self, process: ChildProcess, where: Path) -> None:
        self._process, self._where = process, where
        where.mkdir()

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Call a method of it; return what came of that."""
        return self._process.ask({"do": what, "spool": str(self._where / "spool"), **arguments})

    def do(self, what: str, **arguments: Any) -> Any:
        """Call a method of it that works."""
        answer = self.ask(what, **arguments)
        assert "error" not in answer, answer["error"]
        return answer["answer"]

    def push(self, data_id: str, number: int, frames: np.ndarray, start_ms: int) -> None:
        """Push a chunk."""
        path = self._where / f"{number}.npy"
        np.save(path, frames)
        self.do("push", data_id=data_id, chunk_idx=number, frames=str(path), capture_start_ms_utc=start_ms)
