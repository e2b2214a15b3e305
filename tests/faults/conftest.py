"""Faults at single system calls, of everything that writes."""

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for syscalls

from syscalls import Fault


@pytest.fixture
def report() -> Callable[[str, Path, Sequence[Fault], Callable[[Path, Fault], None]], None]:
    """Try all faults, print what failed, and fail if anything did; what went well is removed."""

    def run(who: str, directory: Path, tried: Sequence[Fault], attempt: Callable[[Path, Fault], None]) -> None:
        failed = []
        for number, fault in enumerate(tried):
            where = directory / str(number)
            try:
                attempt(where, fault)
            except (AssertionError, Exception) as error:
                failed.append(f"{fault}: {type(error).__name__}: {str(error).splitlines()[0][:300]}")
                print(f"{who}: {failed[-1]}", flush=True)  # noqa: T201
            else:
                shutil.rmtree(where, ignore_errors=True)
        kills = sum(fault.kills for fault in tried)
        print(f"{who}: {kills} kills, {len(tried) - kills} errors, {len(failed)} failures")  # noqa: T201
        assert tried, f"{who}: no call was found"
        assert not failed, "\n".join(failed)

    return run
