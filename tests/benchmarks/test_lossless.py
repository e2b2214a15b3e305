"""The highest rate without loss, against a monitor that does nothing and a writer that does nothing else."""

from collections.abc import Callable, Iterator

import pytest
from bench_rig import Rig, highest

STEPS = 5  # of a bisection: 3 to 5 %


class _SlowDisk(Rig):
    """A rig whose disk holds no rate at all."""

    def written(self, fps: float, seconds: float) -> bool:
        return super().written(fps, seconds) and False


@pytest.fixture
def slow_rig(tmp_path) -> Iterator[Rig]:
    with _SlowDisk(1024, tmp_path) as rig:
        yield rig


def test_on_a_disk_that_holds_no_rate_the_measurement_reports_that(slow_rig):
    told: list[tuple[str, str]] = []
    measure(slow_rig, 0.1, lambda what, result: told.append((what, result)))
    ((what, result),) = told
    assert (what, result[:12]) == ("1024² uint16 without loss", "no rate held")
    assert "bare O_DIRECT 0" in result


@pytest.mark.benchmark
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("rig", [512, 1024, 2048], indirect=True)
def test_lossless_rate_against_bare_monitor_and_bare_disk(rig, seconds, report):
    measure(rig, seconds, report)


def measure(rig: Rig, seconds: float, report: Callable[[str, str], None]) -> None:
    """Report the highest rate that a recording holds, and the two that it is compared with."""
    what, flat_out = f"{rig.size}² uint16 without loss", rig.flat_out()
    monitor = highest(lambda fps: rig.monitored(fps, seconds), flat_out / 5, flat_out, STEPS)
    disk = highest(lambda fps: rig.written(fps, seconds), flat_out / 5, flat_out, STEPS)
    reference = min(monitor, disk)
    bare = f"bare monitor {monitor:.0f} and bare O_DIRECT {disk:.0f}; the server alone {flat_out:.0f}"
    if not reference:
        report(what, f"no rate held from {flat_out / 5:.0f} fps on: {bare}")
        return
    with rig.detector() as cam:
        ours = highest(lambda fps: rig.recorded(fps, seconds, cam).held, reference / 3, reference * 1.2, STEPS)
        held = f"{ours:.0f} fps ({ours * rig.frame_bytes / 1e6:.0f} MB/s) = {ours / reference:.2f} of the smaller of"
        report(what, f"{held if ours else f'no rate held from {reference / 3:.0f} fps on:'} {bare}")
        assert ours
        if rig.size == 2048:
            rate = 0.8 * reference  # what we claim
            long = rig.recorded(rate, 10e9 / rig.frame_bytes / rate, cam)
            report("10 GB at 0.8 of the smaller", f"{long.recorded} recorded at {rate:.0f} fps, {long.lost} lost")
            assert long.held
