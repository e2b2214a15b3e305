"""What the measurements share: a camera of any size and rate, and a table at the end."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for bench_rig

from bench_rig import Rig

SECONDS = float(os.environ.get("BEAMSTREAM_BENCH_SECONDS", "20"))
_ROWS: list[tuple[str, str]] = []


@pytest.fixture
def report() -> Callable[[str, str], None]:
    """Say what was measured, now and in the table at the end."""

    def tell(what: str, result: str) -> None:
        print(f"\n{what}: {result}", flush=True)
        _ROWS.append((what, result))

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if _ROWS:
        terminalreporter.section("measured")
        width = max(len(what) for what, _ in _ROWS)
        for what, result in _ROWS:
            terminalreporter.write_line(f"{what:<{width}}  {result}")


@pytest.fixture
def seconds() -> float:
    """How long a rate must be held; ``BEAMSTREAM_BENCH_SECONDS``, 20."""
    return SECONDS


@pytest.fixture
def rig(request, tmp_path) -> Iterator[Rig]:
    """A camera of ``request.param`` squared uint16 pixels, or of (size, dtype), and what is measured with it."""
    size, dtype = request.param if isinstance(request.param, tuple) else (request.param, "<u2")
    with Rig(size, tmp_path, dtype) as rig:
        yield rig
