"""How long people wait: for an import, for a session, for the first answer of a fresh archive."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark
ROOT = Path(__file__).resolve().parents[2]
TIMES = 5
MAIN = "import sys; from beamstream.cli import main; sys.exit(main())"


def best(*command: str) -> float:
    """Return the shortest of a few runs, s."""
    times = []
    for _ in range(TIMES):
        began = time.monotonic()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        times.append(time.monotonic() - began)
    return min(times)


@pytest.mark.parametrize("module", ["beamstream", "beamstream.frames", "beamstream.cli"])
def test_import(module, report):
    alone = best("-c", "pass")
    report(f"import {module}", f"{best('-c', f'import {module}') - alone:.3f} s, over {alone:.3f} s for Python itself")


@pytest.mark.parametrize("rig", [64], indirect=True)
def test_a_session_is_ready(rig, tmp_path, report):
    config = tmp_path / "beamstream.toml"
    config.write_text(
        f'[archive]\ndirectory = "archive"\nport = 0\nstart = "process"\n[devices.cam]\nkind = "pva_detector"\n'
        f'pv = "{rig.spec.image}"\ncontrol = "{rig.spec.prefix}:cam1:"\n'
    )
    environment = os.environ | {"BEAMSTREAM_CONFIG": str(config), "IPYTHONDIR": str(tmp_path / "ipython")}
    command = [
        sys.executable,
        "-m",
        "IPython",
        f"--profile-dir={ROOT / 'profile'}",
        "-c",
        "import time; print(time.time())",
    ]
    times = []
    for _ in range(TIMES):
        began = time.time()
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        times.append(float(done.stdout.split()[-1]) - began)
    report("session ready", f"{min(times):.1f} s, at worst {max(times):.1f} s of {TIMES}")


def test_a_fresh_archive_answers(tmp_path, report):
    times = []
    for number in range(TIMES):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = ["-c", MAIN, "serve", "--archive", str(tmp_path / str(number)), "--port", str(port), "--json"]
        began = time.monotonic()
        with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
            while not answers(port) and time.monotonic() < began + 60:
                time.sleep(0.01)
            times.append(time.monotonic() - began)
            server.terminate()
    report("first HTTP answer of a fresh archive", f"{min(times):.1f} s, at worst {max(times):.1f} s of {TIMES}")


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False
