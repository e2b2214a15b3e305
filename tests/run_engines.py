"""RunEngines for tests: their loop ends with the test, documents are remembered, a condition pauses them."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky.utils import MsgGenerator, RunEngineInterrupted


class Documents(list[tuple[str, dict[str, Any]]]):
    """Documents in order, of whoever takes this as a subscriber."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # a RunEngine looks its subscribers up

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        self.append((name, doc))

    def of(self, name: str) -> list[dict[str, Any]]:
        return [doc for n, doc in self if n == name]


@contextmanager
def run_engine(md: dict[str, Any] | None = None, **options: Any) -> Iterator[RunEngine]:
    """Have a RunEngine with a loop of its own."""
    loop = asyncio.new_event_loop()
    options.setdefault("context_managers", [])
    engine = RunEngine(md or {}, loop=loop, **options)
    try:
        yield engine
    finally:
        loop.call_soon_threadsafe(loop.stop)
        engine._th.join(5)
        loop.close()


def pause_when(engine: RunEngine, plan: MsgGenerator[Any], when: Callable[[], bool]) -> None:
    """Run a plan and pause it as soon as a condition holds, as Ctrl-C twice does."""
    held: list[bool] = []

    def watch() -> None:
        deadline = time.monotonic() + 20.0
        while not held and time.monotonic() < deadline:
            held.extend([True] if when() else [])
            time.sleep(0.005)
        engine.request_pause()

    thread = threading.Thread(target=watch, name="interrupter")
    thread.start()
    with pytest.raises(RunEngineInterrupted):
        engine(plan)
    thread.join()
    assert held, "the condition did not come true within 20 s"
