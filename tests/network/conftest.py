"""Certificates of servers under test, and an application to be served."""

import sys
from pathlib import Path

import pytest

from beamstream.network.tls import Certificate

sys.path.insert(0, str(Path(__file__).parent))  # for certificates and serving

from certificates import make_certificate
from serving import Application


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> Certificate:
    """A certificate for a name that is not the one under which tests reach their servers."""
    return make_certificate(tmp_path_factory.mktemp("tls"), "beam.example")


@pytest.fixture(scope="module")
def local_tls(tmp_path_factory) -> Certificate:
    """A certificate for this machine."""
    return make_certificate(tmp_path_factory.mktemp("tls"), "127.0.0.1", "localhost")


@pytest.fixture
def app() -> Application:
    return Application()
