"""The end of an interpreter that has devices."""

import subprocess
import sys

from beamstream.sim.beamline import Beamline
from beamstream.sim.process import SimProcess

ASKING = """
import sys
import beamstream.exits
from ophyd import EpicsSignalRO

signal = EpicsSignalRO("SIM:MTR1.RBV", name="position")
signal.wait_for_connection(timeout=10)
print("connected", flush=True)
sys.stdin.readline()
signal._read_pv.get_all_metadata_callback(print, timeout=30)
"""


def test_the_interpreter_ends_in_silence_though_a_server_leaves_a_question_open():
    pipe = subprocess.PIPE
    with (
        SimProcess(Beamline(cameras=())) as sim,
        subprocess.Popen([sys.executable, "-c", ASKING], stdin=pipe, stdout=pipe, stderr=pipe) as child,
    ):
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"connected\n"
            sim.suspend()
            out, err = child.communicate(b"\n", timeout=12)
        finally:
            sim.resume()
            child.kill()
    assert (child.returncode, out, err) == (0, b"", b"")
