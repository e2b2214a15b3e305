"""Publishers of spectra, and sources that follow them."""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for spectra_peers

from spectra_peers import Publisher

from beamstream.sources.spectra import SpectraSource


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    made = Publisher()
    yield made
    made.close()


@pytest.fixture
def subscribe(listener) -> Iterator[Callable[..., SpectraSource]]:
    """Return a function that follows a publisher with `listener`; sources are closed afterwards."""
    made: list[SpectraSource] = []

    def start(publisher: Publisher, **options: Any) -> SpectraSource:
        made.append(SpectraSource(publisher.address, name="spec", **options))
        made[-1].start(listener, timeout=10.0)
        publisher.meet()
        return made[-1]

    yield start
    for source in made:
        source.close()


@pytest.fixture
def source_of() -> Iterator[Callable[..., SpectraSource]]:
    """Return a function that makes a source; sources are closed afterwards."""
    sources: list[SpectraSource] = []

    def make(address: str, **options: Any) -> SpectraSource:
        sources.append(SpectraSource(address, name="spec", **options))
        return sources[-1]

    yield make
    for source in sources:
        source.close()


@pytest.fixture
def repeating(publisher) -> Iterator[Callable[..., None]]:
    """Return a function that has the publisher send one message every 5 ms, until the end of the test."""
    ended = threading.Event()
    threads: list[threading.Thread] = []

    def begin(parts: list) -> None:
        def run() -> None:
            while not ended.wait(0.005):
                publisher.send_parts(parts)

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield begin
    ended.set()
    for thread in threads:
        thread.join()
