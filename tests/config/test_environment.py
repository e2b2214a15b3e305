"""What the file says of EPICS reaches ophyd, Channel Access and PVAccess."""

import subprocess
import sys

import pytest

from beamstream.config import apply_environment, load


def test_the_environment_gets_what_the_file_says_and_keeps_the_rest(write):
    environ = {
        "EPICS_CA_ADDR_LIST": "1.2.3.4",
        "OPHYD_CONTROL_LAYER": "pyepics",
        "EPICS_PVA_ADDR_LIST": "5.6.7.8",
    }
    silent = dict(environ)
    assert apply_environment(load(write("")), silent) == {}
    assert silent == environ
    text = '[epics]\nca_addr_list = "10.0.0.1 10.0.0.2"\npva_addr_list = ["10.0.0.3"]\nauto_addr_list = false\n'
    assert apply_environment(load(write(text)), environ) == {
        "EPICS_CA_ADDR_LIST": "10.0.0.1 10.0.0.2",
        "EPICS_PVA_ADDR_LIST": "10.0.0.3",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_PVA_AUTO_ADDR_LIST": "NO",
    }
    assert environ["OPHYD_CONTROL_LAYER"] == "pyepics"
    assert environ["EPICS_CA_ADDR_LIST"] == "10.0.0.1 10.0.0.2"


LATE = """
import os, sys
from beamstream.config import apply_environment, load
os.environ.pop("OPHYD_CONTROL_LAYER", None)
config = load(sys.argv[1])
if sys.argv[2] == "late":
    import ophyd
print(apply_environment(config)["OPHYD_CONTROL_LAYER"])
import ophyd
print(ophyd.cl.name)
"""


@pytest.mark.parametrize("when", ["early", "late"])
def test_ophyd_takes_the_control_layer_that_is_applied_before_its_import_and_a_late_one_fails(write, when):
    path = write('[epics]\ncontrol_layer = "caproto"\n')
    done = subprocess.run([sys.executable, "-c", LATE, path, when], capture_output=True, text=True, timeout=60)
    if when == "early":
        assert done.stdout.split() == ["caproto", "caproto"]
        return
    assert done.returncode == 1
    assert "ConfigurationError" in done.stderr
    assert "ophyd is imported already" in done.stderr
