"""A day of 4 Hz spectra at full speed: does the receiver's memory stay flat?"""

import time

import psutil
import pytest

from beamstream.receiver import SpectraReceiver
from beamstream.sim.spectra_process import SpectraSim
from beamstream.sim.spectrometer import SpectrometerSpec

DAY = 24 * 3600 * 4


@pytest.mark.soak
@pytest.mark.benchmark
@pytest.mark.timeout(900)
def test_a_day_of_spectra_leaves_memory_flat(report, tmp_path):
    spec = SpectrometerSpec(rate=0, interval=0.25, number=DAY, subscribers=1, lossless=True)
    with SpectraSim(spec) as sim:
        port = int(sim.address.rpartition(":")[2])
        with SpectraReceiver("127.0.0.1", port, plot_interval=10, plot_dir=tmp_path) as receiver:
            begun, sizes = time.monotonic(), []
            process = psutil.Process()
            came = -1
            while came < receiver.account.received and time.monotonic() - begun < 800:
                came = receiver.account.received or came  # the first few of the day go to who asks for their shape
                time.sleep(1.0)
                sizes.append((receiver.account.received, process.memory_info().rss))
            account = receiver.account
            lost = receiver.get_buffer_status()["lost"]
    seconds = time.monotonic() - begun
    settled = [size for count, size in sizes if count > DAY // 20]
    quarter = len(settled) // 4
    first, last = (sum(part) / len(part) for part in (settled[:quarter], settled[-quarter:]))
    report(
        "24 h of 4 Hz spectra, 1×3072×4 float32, at full speed, with pictures",
        f"{account.received} in {seconds:.0f} s, {lost} lost; {first / 1e6:.1f} MB in the first quarter, "
        f"{last / 1e6:.1f} MB in the last ({100 * (last / first - 1):+.1f} %)",
    )
    assert account.received > 0.99 * DAY
    assert lost == 0
    assert abs(last / first - 1) < 0.05
