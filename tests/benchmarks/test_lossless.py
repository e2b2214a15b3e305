"""The highest rate without loss, against a monitor that does nothing and a writer that does nothing else."""

import pytest
from bench_rig import highest

pytestmark = pytest.mark.benchmark
STEPS = 5  # of a bisection: 3 to 5 %


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("rig", [512, 1024, 2048], indirect=True)
def test_lossless_rate_against_bare_monitor_and_bare_disk(rig, seconds, report):
    flat_out = rig.flat_out()
    monitor = highest(lambda fps: rig.monitored(fps, seconds), flat_out / 5, flat_out, STEPS)
    disk = highest(lambda fps: rig.written(fps, seconds), flat_out / 5, flat_out, STEPS)
    reference = min(monitor, disk)
    with rig.detector() as cam:
        ours = highest(lambda fps: rig.recorded(fps, seconds, cam).held, reference / 3, reference * 1.2, STEPS)
        report(
            f"{rig.size}² uint16 without loss",
            f"{ours:.0f} fps ({ours * rig.frame_bytes / 1e6:.0f} MB/s) = {ours / reference:.2f} of the smaller of "
            f"bare monitor {monitor:.0f} and bare O_DIRECT {disk:.0f}; the server alone {flat_out:.0f}",
        )
        assert ours
        if rig.size == 2048:
            rate = 0.8 * reference  # what we claim
            long = rig.recorded(rate, 10e9 / rig.frame_bytes / rate, cam)
            report("10 GB at 0.8 of the smaller", f"{long.recorded} recorded at {rate:.0f} fps, {long.lost} lost")
            assert long.held
