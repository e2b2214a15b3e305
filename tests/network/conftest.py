"""Certificates of servers under test."""

import sys
from pathlib import Path

import pytest

from beamstream.network.tls import Certificate

sys.path.insert(0, str(Path(__file__).parent))  # for serving and certificates
from certificates import make_certificate


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> Certificate:
    """A certificate for a name that is not the one under which tests reach their servers."""
    return make_certificate(tmp_path_factory.mktemp("tls"), "beam.example")


@pytest.fixture(scope="module")
def local_tls(tmp_path_factory) -> Certificate:
    """A certificate for this machine."""
    return make_certificate(tmp_path_factory.mktemp("tls"), "127.0.0.1", "localhost")
