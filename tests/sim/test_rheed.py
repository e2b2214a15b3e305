"""Simulated RHEED: patterns with the lattice's symmetry, growth that can be measured, pixels that come again."""

from dataclasses import replace

import numpy as np
import pytest

from beamstream.frames import ColorMode, Geometry
from beamstream.sim.rheed import BRIGHTEST, RheedScene, RheedSpec, RheedState, rheed_spec

SPEC = RheedSpec((120, 200), growth_rate=0.8, growth=((2.0, 30.0),), black=((40.0, 41.0),), seed=7)
FULL = {"|u1": 255, "<u2": 65_535}


@pytest.fixture(scope="module")
def scene():
    return RheedScene(SPEC)


@pytest.fixture(scope="module")
def large():
    return RheedScene(RheedSpec())


def profile(scene, azimuth):
    """Return the brightness along the columns, above the shadow edge, without the background."""
    light = scene.mean(RheedState(azimuth))[: int(0.75 * scene.spec.shape[0])].max(axis=0).astype(float)
    return light - np.convolve(light, np.ones(61) / 61, "same")


def peaks(scene, azimuth, above=2.0):
    """Return where streaks are, columns from the middle."""
    p = profile(scene, azimuth)
    top = (p[1:-1] > p[:-2]) & (p[1:-1] >= p[2:]) & (p[1:-1] > above)
    return [int(c) + 1 - (scene.spec.shape[1] - 1) / 2 for c in np.flatnonzero(top)]


def test_two_scenes_of_one_spec_make_the_same_pictures_in_any_order(scene):
    times = [0.0, 3.1, 12.25, 40.5, 41.0, 60.0]
    first = {t: scene.image(t) for t in times}
    again = RheedScene(RheedSpec.from_dict(SPEC.to_dict()))
    assert all(np.array_equal(first[t], again.image(t)) for t in reversed(times))


def test_noise_is_another_in_each_frame_and_for_each_seed(scene):
    a, b = (scene.image(t).astype(int) for t in (0.0, 1 / 120))
    assert (a != b).mean() > 0.5
    other = RheedScene(replace(SPEC, seed=8)).image(0.0)
    assert (a != other).mean() > 0.5
    quiet = RheedScene(replace(SPEC, noise=0.0))
    assert np.array_equal(quiet.image(0.0), quiet.image(1.0))


@pytest.mark.parametrize("dtype", ["|u1", "<u2"])
def test_the_mean_of_many_frames_is_the_truth_and_their_scatter_that_of_shot_noise(dtype):
    scene = RheedScene(RheedSpec((64, 96), dtype, noise=0.03))
    state = RheedState(10.0, 0.4)
    images = np.array([scene.draw(state, n) for n in range(400)], float)
    mean = scene.mean(state)
    deviation = np.sqrt((0.03**2 * FULL[dtype] * mean).astype(float) + 1 / 12)
    off = (images.mean(axis=0) - mean) / deviation * 20
    assert abs(off.mean()) < 0.03
    assert off.std() == pytest.approx(1, abs=0.05)
    assert (images.std(axis=0) / deviation).mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("dtype", ["|u1", "<u2"])
@pytest.mark.parametrize("lattice", ["square", "hexagonal"])
def test_nothing_is_ever_clipped(dtype, lattice):
    scene = RheedScene(RheedSpec((96, 128), dtype, lattice=lattice, noise=0.04))
    full = FULL[dtype]
    for azimuth in np.arange(0, 360, 1.7):
        for disorder in (0.0, 1.0):
            mean = scene.mean(RheedState(azimuth, disorder))
            assert 0.029 * full < mean.min()
            assert mean.max() < (BRIGHTEST + 0.005) * full
        image = scene.draw(RheedState(azimuth), int(azimuth * 10))
        assert image.min() > 0
        assert image.max() < full


def test_a_covered_screen_is_black_in_each_pixel_and_only_then(scene):
    assert not scene.image(40.0).any()
    assert not scene.image(40.999).any()
    assert scene.specular(40.5) == 0
    assert scene.image(39.999).min() > 0
    assert scene.image(41.0).min() > 0


@pytest.mark.parametrize(("lattice", "step"), [("square", 90), ("hexagonal", 60)])
def test_streaks_of_whole_order_come_again_with_the_symmetry_of_the_lattice(lattice, step):
    scene = RheedScene(RheedSpec(lattice=lattice))
    at = 10 if lattice == "square" else 0  # away from streaks of half order
    reference = peaks(scene, at, above=8)
    assert len(reference) >= 1
    for n in range(1, 360 // step):
        azimuth = at + n * step
        whole = [p for p in peaks(scene, azimuth, above=8) if any(abs(p - r) <= 1 for r in reference)]
        assert len(whole) == len(reference)
    assert peaks(scene, at + step / 2, above=8) != reference


def test_a_whole_turn_brings_the_very_same_picture(large):
    assert large.azimuth(0.0) == 0
    turning = RheedScene(RheedSpec(rotations_per_min=10.0))
    assert turning.azimuth(1.5) == pytest.approx(90.0)
    assert turning.azimuth(6.0) == pytest.approx(0.0)
    assert np.array_equal(turning.mean(turning.state(6.0)), large.mean(RheedState(0.0)))


def test_streaks_of_half_order_stand_between_the_others_at_0_and_180_degrees_only(large):
    with_half, without = peaks(large, 0.0), peaks(large, 90.0)
    spacing = min(p for p in without if p > 5)
    assert all(abs(p / spacing - round(p / spacing)) < 0.05 for p in without)
    halves = [2 * p / spacing for p in with_half]
    assert all(abs(half - round(half)) < 0.1 for half in halves)
    assert {-3, -1, 1, 3} < {round(half) for half in halves}
    assert len(peaks(large, 180.0)) == len(with_half)


def test_at_45_degrees_streaks_are_farther_apart_by_the_root_of_two(large):
    near, far = (next(p for p in peaks(large, azimuth) if p > 5) for azimuth in (90.0, 45.0))
    assert far / near == pytest.approx(2**0.5, rel=0.03)


def test_spots_lie_on_a_circle_around_the_foot_of_the_specular_spot(large):
    mean = large.mean(RheedState(90.0))
    horizon, middle = 0.8 * 300, 249.5
    row, _, n_rows, _ = large.region
    radius = horizon - (row + n_rows / 2)
    for order in (-1, 1):
        across = order * 56
        column = int(middle + across)
        brightest = mean[: int(horizon) - 8, column - 2 : column + 3].sum(axis=1).argmax()
        assert np.hypot(horizon - brightest, across) == pytest.approx(radius, rel=0.05)


def test_it_is_dark_below_the_shadow_edge(large):
    mean = large.mean(RheedState(0.0)) - 0.03 * 255
    assert mean[260:].max() < 0.2 * mean[200:230, 200:300].mean()
    assert mean[260:].mean() < 0.05 * mean[60:230, 150:350].mean()


def test_the_region_holds_the_specular_spot(large):
    row, col, n_rows, n_cols = large.region
    mean = large.mean(RheedState(33.0))
    brightest = np.unravel_index(mean.argmax(), mean.shape)
    assert row < brightest[0] < row + n_rows
    assert col < brightest[1] < col + n_cols


def test_the_spot_of_frames_oscillates_with_the_growth_rate():
    rate = 0.61
    scene = RheedScene(RheedSpec((120, 200), growth_rate=rate, decay=100.0, growth=((0.0, 60.0),)))
    row, col, n_rows, n_cols = scene.region
    seen = np.array([scene.image(n / 10)[row : row + n_rows, col : col + n_cols].mean() for n in range(600)])
    true = np.array([scene.specular(n / 10) for n in range(600)])
    assert np.abs(seen - true).max() < 2.0
    power = np.abs(np.fft.rfft((seen - seen.mean()) * np.hanning(600), 1 << 16))
    assert np.fft.rfftfreq(1 << 16, 0.1)[power.argmax()] == pytest.approx(rate, rel=0.005)
    assert true.max() / true.min() > 1.4


def test_intensity_comes_back_when_the_source_is_closed(scene):
    flat, grown = scene.specular(1.0), scene.specular(30.0)
    assert grown < 0.9 * flat
    rest = [scene.specular(t) for t in (30.0, 32.0, 36.0, 39.0)]
    assert rest == sorted(rest)
    assert scene.specular(120.0) == pytest.approx(flat, rel=1e-4)


def test_rotation_does_not_hide_the_growth_of_the_spot():
    still = RheedScene(replace(SPEC, black=()))
    turning = RheedScene(replace(SPEC, black=(), rotations_per_min=10.0))
    times = np.arange(2.0, 20.0, 0.05)
    a, b = (np.array([s.specular(t) for t in times]) for s in (still, turning))
    assert np.corrcoef(a, b)[0, 1] > 0.98


def test_memory_that_is_given_is_drawn_into(scene):
    out = np.full((120, 200), 255, "|u1")
    assert scene.image(5.0, out) is out
    assert np.array_equal(out, scene.image(5.0))
    scene.image(40.5, out)
    assert not out.any()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"shape": (20, 200)}, "32 or more"),
        ({"shape": (64, 64, 3)}, "rows and columns"),
        ({"dtype": "<f4"}, "uint8 and uint16"),
        ({"dtype": ">u2"}, "uint8 and uint16"),
        ({"noise": 0.05}, "nothing is clipped"),
        ({"noise": float("nan")}, "nothing is clipped"),
        ({"lattice": "cubic"}, "square, hexagonal"),
        ({"black": ((2, 1),)}, "black"),
        ({"growth": ((2, 1),)}, "growth"),
        ({"growth_rate": -1.0}, "at least 0"),
        ({"seed": -1}, "0 or more"),
        ({"rotations_per_min": float("inf")}, "say how fast"),
    ],
)
def test_a_film_that_cannot_be_is_refused_with_the_reason(wrong, words):
    with pytest.raises(ValueError, match=words):
        RheedSpec(**wrong)


def test_a_camera_in_colour_has_no_such_scene():
    with pytest.raises(ValueError, match="it is mono"):
        rheed_spec(Geometry((64, 64, 3), "|u1", ColorMode.RGB1))
    assert rheed_spec(Geometry((64, 80), "<u2"), SPEC) == replace(SPEC, shape=(64, 80), dtype="<u2")
