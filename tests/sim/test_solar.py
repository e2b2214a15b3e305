"""The simulated Sun: a function of few numbers, and what one expects of a solar dynamic spectrum."""

import math

import numpy as np
import pytest

from beamstream.ops.spectra import Band
from beamstream.sim.bursts import SLOT
from beamstream.sim.interference import SLOT as LINE_SLOT
from beamstream.sim.interference import Interference
from beamstream.sim.solar import QUIET, Scene

SMALL = (1, 768, 4)
XX, YY, RE, IM = range(4)


@pytest.fixture(scope="module")
def minutes():
    """Five minutes at 4 Hz, XX, YY, Re, Im of one beam."""
    scene = Scene(SMALL)
    return scene, np.array([scene.spectrum(i)[0] for i in range(1200)])


def channel(scene, frequency):
    return int(np.argmin(abs(scene.frequency - frequency)))


@pytest.mark.parametrize("shape", [(1, 3072, 4), (3, 64, 2), (2, 1, 1), (1, 1000, 4), (1, 513, 3)])
def test_a_spectrum_is_a_function_of_shape_seed_interval_and_number(shape):
    numbers = [0, 1, 7, 250_000, 3, 999, 24 * 3600 * 4]
    first, second = Scene(shape, 5), Scene(shape, 5)
    out = np.empty(shape, np.float32)
    expected = {n: first.spectrum(n) for n in numbers}
    assert len({spectrum.tobytes() for spectrum in expected.values()}) == len(numbers)
    for number in reversed(numbers):
        assert second.spectrum(number, out) is out
        assert np.array_equal(out, expected[number])
    assert expected[0].dtype == np.float32
    assert expected[0].shape == shape


def test_another_seed_is_another_sun():
    scenes = Scene(SMALL, 1), Scene(SMALL, 2)
    pictures = [np.array([scene.spectrum(i)[0, :, IM] for i in range(0, 80, 4)]) for scene in scenes]
    assert abs(np.corrcoef(pictures[0].ravel(), pictures[1].ravel())[0, 1]) < 0.5


@pytest.mark.parametrize("shape", [(1, 3072, 4), (1, 768, 4), (1, 64, 4)])
def test_however_many_channels_there_are_they_share_the_band(shape):
    scene = Scene(shape)
    assert scene.frequency[0] == Band().first
    assert scene.frequency[-1] == pytest.approx(Band().axis(3072)[-1], abs=73.5 / shape[1])


def test_power_is_positive_and_finite_at_any_rate():
    for interval in (10, 0.25, 0.01, 2e-4):
        scene = Scene(SMALL, 3, interval)
        rows = np.array([scene.spectrum(i) for i in range(0, 2000, 40)])
        assert np.isfinite(rows).all()
        assert rows[..., [XX, YY]].min() > 0


def test_the_band_rolls_off_at_its_edges(minutes):
    scene, rows = minutes
    quiet = np.percentile(rows[..., XX], 10, axis=0)
    middle = quiet[channel(scene, 40) : channel(scene, 60)]
    assert middle.mean() == pytest.approx(QUIET, rel=0.5)
    assert quiet[:10].mean() < 0.1 * middle.mean()
    assert quiet[-10:].mean() < 0.1 * middle.mean()


def test_bursts_drift_from_high_to_low_frequencies_within_seconds(minutes):
    scene, rows = minutes
    burst = max(scene.bursts.between(10, 280), key=lambda b: b.strength * (b.high > 75) * (b.low < 25))
    frequencies = np.linspace(max(25, burst.low + 5), 70, 8)
    expected = np.array([burst.passes(f) for f in frequencies])
    brightest = []
    for frequency, when in zip(frequencies, expected, strict=True):
        window = rows[:, channel(scene, frequency) + np.arange(-4, 5), XX].mean(axis=1)
        start = round((when - 1.5) * 4)
        brightest.append((start + np.argmax(window[start : start + 13])) / 4)
    assert np.all(np.diff(expected) < 0)
    assert 2 < expected[0] - expected[-1] < 15
    assert np.array(brightest) == pytest.approx(expected, abs=0.6)


def test_every_slot_has_a_burst_and_they_are_those_of_the_seed():
    scene = Scene(SMALL, 9)
    found = scene.bursts.between(0, 300)
    starts = {math.floor(burst.start / SLOT) for burst in found}
    assert starts == set(range(60))
    assert found == Scene((1, 64, 4), 9, 0.01).bursts.between(0, 300)


@pytest.mark.parametrize("rate", [4, 100])
def test_bursts_stand_out_in_any_three_hundred_rows(rate):
    scene = Scene((1, 256, 4), 1, 1 / rate)
    for start in range(0, 300 * 15, 300):
        rows = np.array([scene.spectrum(i)[0, :, XX] for i in range(start, start + 300, 10)])
        typical = np.median(rows, axis=0)
        shining = (abs(rows / typical - 1) > 0.25).mean()
        assert shining > 0.03, start  # of the picture


def test_lines_of_television_are_always_there_and_others_come_and_go():
    scene = Scene()
    lines = Interference(scene.frequency, 0)
    rows = np.array([scene.spectrum(i)[0, :, XX] for i in range(0, 600, 2)])
    tv = channel(scene, 55.25)
    assert np.all(rows[:, tv - 1 : tv + 2].max(axis=1) > 1.2 * rows[:, tv + 12])
    slots = [int(i * 0.25 / LINE_SLOT) for i in range(0, 600, 2)]
    on = np.array([lines.on(slot) for slot in slots])
    at = [channel(scene, f) for f in lines.sometimes]
    power = [rows[:, a - 1 : a + 2].max(axis=1) / rows[:, a + 15] for a in at]
    changed = [np.median(p[o]) / np.median(p[~o]) for p, o in zip(power, on.T, strict=True) if o.any() and not o.all()]
    assert len(changed) > 8
    assert np.mean(np.array(changed) > 1.1) > 0.7


def test_stokes_v_is_a_part_of_the_bursts_and_nothing_else(minutes):
    scene, rows = minutes
    total, circular = rows[..., [XX, YY]].mean(axis=-1), rows[..., IM]
    burst = max(scene.bursts.between(10, 280), key=lambda b: b.strength * abs(b.polarization) * (b.high > 60))
    row, at = round(burst.passes(50) * 4), channel(scene, 50)
    assert np.sign(circular[row, at]) == np.sign(burst.polarization)
    assert abs(circular[row, at]) > 0.05 * total[row, at]
    quiet = total < 1.05 * np.median(total, axis=0)
    assert np.median(abs(circular[quiet]) / total[quiet]) < 0.03
    assert np.mean(abs(circular) <= total) > 0.999


def noise_of_one_moment(shape, interval, number):
    """Return the noise of spectra between which nothing else changes, each channel of variance 1."""
    scene = Scene(shape, 4, interval)
    rows = np.array([scene.spectrum(i) for i in range(number)])
    assert number * interval < 0.02
    return (rows - rows.mean(axis=0)) / rows.std(axis=0), rows


def test_the_noise_is_that_of_a_radiometer():
    _, rows = noise_of_one_moment((1, 3072, 4), 5e-3, 3)
    relative = (rows[1] / rows[0] - 1)[0, :, [XX, YY]]
    bandwidth = 196e6 / 8192  # Hz
    assert relative.std() == pytest.approx((2 / bandwidth / 5e-3) ** 0.5, rel=0.05)


def test_the_noise_of_one_spectrum_says_nothing_about_that_of_another():
    noise, _ = noise_of_one_moment(SMALL, 2e-4, 60)
    alike = np.corrcoef(noise.reshape(60, -1)) - np.eye(60)
    assert np.percentile(abs(alike), 95) < 0.05
    assert abs(np.corrcoef(noise[:, 0, 1:, XX].ravel(), noise[:, 0, :-1, XX].ravel())[0, 1]) < 0.02


def test_the_first_beam_sees_the_most_of_a_burst_and_each_its_own_noise():
    scene = Scene((3, 256, 4))
    burst = max(scene.bursts.between(10, 100), key=lambda b: b.strength * (b.high > 60))
    row, at = round(burst.passes(50) * 4), channel(scene, 50)
    rise = scene.spectrum(row)[:, at, XX] - scene.spectrum(row - 12)[:, at, XX]
    assert rise[0] > 1.5 * max(rise[1:])
    noise, _ = noise_of_one_moment((3, 256, 4), 2e-4, 60)
    assert abs(np.corrcoef(noise[..., XX].swapaxes(0, 1).reshape(3, -1)) - np.eye(3)).max() < 0.05


@pytest.mark.parametrize("shape", [(1, 3072), (0, 3072, 4), (1, 3072, 5), (1, -1, 4), ()])
def test_spectra_that_do_not_exist_are_refused(shape):
    with pytest.raises(ValueError, match="asked for"):
        Scene(shape)


def test_an_interval_is_positive():
    with pytest.raises(ValueError, match="interval"):
        Scene(SMALL, 0, 0)
