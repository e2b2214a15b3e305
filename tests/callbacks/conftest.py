"""What tests of single callbacks share."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for growing

from growing import Documents

from beamstream.callbacks.chain import Chain


@pytest.fixture
def docs() -> Documents:
    return Documents()


@pytest.fixture
def chain(docs) -> Chain:
    chain = Chain()
    chain.add(docs, required=True)
    return chain
