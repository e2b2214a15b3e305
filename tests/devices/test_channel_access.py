"""The port where answers to searches arrive, with sockets that would share it."""

import subprocess
import sys

import pytest

SHARED = """
import errno, socket
{before}
from caproto.threading.pyepics_compat import PV

searcher = PV.default_context().broadcaster
with socket.socket(type=socket.SOCK_DGRAM) as other:
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        other.bind(("127.0.0.1", searcher.udp_sock.getsockname()[1]))
        print("shared")
    except OSError as error:
        print(errno.errorcode[error.errno])
    assert searcher.udp_sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
PV.default_context().disconnect()
searcher.disconnect()
"""
QUIET = """
import sys
from devices.channel_access import keep_search_port
keep_search_port()
print("caproto" in sys.modules)
"""


def said(code: str) -> str:
    """Return what a Python of its own prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize(("before", "answer"), [("import devices.pva_detector", "EADDRINUSE"), ("", "shared")])
def test_answers_to_searches_go_to_nobody_else(before, answer):
    assert said(SHARED.format(before=before)) == f"{answer}\n"


def test_without_caproto_there_is_nothing_to_do():
    assert said(QUIET) == "False\n"
