"""The surface of a simulated film: it oscillates by the layer, decays, heals, and never jumps."""

from math import exp, inf, nan

import numpy as np
import pytest

from beamstream.sim.rheed import RheedSpec
from beamstream.sim.rheed_chamber import Chamber
from beamstream.sim.rheed_growth import FLAT, Growth, Kinetics, disorder

KINETICS = Kinetics(growth_rate=0.4, decay=12.0, recovery=3.0)


@pytest.fixture
def growth():
    return Growth(KINETICS, ((10.0, 40.0), (46.0, 50.0)))


def test_the_surface_is_flat_until_the_source_opens(growth):
    assert [growth.order(t) for t in (-5.0, 0.0, 10.0)] == [FLAT] * 3
    assert disorder(FLAT) == 0


@pytest.mark.parametrize("n", [1, 2, 7])
def test_each_closed_layer_brings_a_maximum_that_is_lower_by_the_decay(growth, n):
    closed = 10.0 + n / 0.4
    assert growth.order(closed) == pytest.approx(exp(-n / 12.0))
    half = disorder(growth.order(closed - 1.25))
    assert half == pytest.approx((1 + exp(-(n - 0.5) / 12.0)) / 2)
    assert half > disorder(growth.order(closed))


def test_the_period_is_one_over_the_growth_rate_to_the_last_layer(growth):
    times = np.arange(10.0, 40.0, 0.001)
    wave = np.array([growth.order(t).real for t in times])
    up = times[1:][(wave[:-1] < 0) & (wave[1:] >= 0)]
    assert len(up) == 12
    assert np.diff(up) == pytest.approx(np.full(11, 2.5), abs=0.002)


def test_rest_heals_what_growth_left(growth):
    left = growth.order(40.0) - 1
    assert growth.order(43.0) - 1 == pytest.approx(left * exp(-1))
    assert disorder(growth.order(1000.0)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("t", [10.0, 40.0, 46.0, 50.0])
def test_nothing_jumps_when_the_source_opens_or_closes(growth, t):
    assert growth.order(t - 1e-9) == pytest.approx(growth.order(t + 1e-9), abs=1e-6)


def test_layers_are_counted_while_the_source_is_open(growth):
    assert [growth.layers(t) for t in (0.0, 15.0, 43.0, 100.0)] == pytest.approx([0.0, 2.0, 12.0, 13.6])
    assert [growth.open(t) for t in (9.9, 10.0, 39.9, 40.0, 47.0)] == [False, True, True, False, True]


def test_periods_that_touch_are_one():
    apart, whole = Growth(KINETICS, ((0, 5), (5, 9))), Growth(KINETICS, ((0, 9),))
    for t in (3.0, 5.0, 7.5, 20.0):
        assert apart.order(t) == pytest.approx(whole.order(t))


@pytest.mark.parametrize("periods", [((5, 5),), ((5, 4),), ((0, 5), (4, 9)), ((0, inf),), ((nan, 2),)])
def test_periods_that_make_no_sense_are_refused(periods):
    with pytest.raises(ValueError, match=r"growth .* in order, without overlap"):
        Growth(KINETICS, periods)


@pytest.mark.parametrize("wrong", [{"growth_rate": -0.1}, {"decay": 0.0}, {"recovery": -1.0}, {"decay": nan}])
def test_kinetics_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="more than 0"):
        Kinetics(**wrong)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_chamber_that_is_switched_goes_as_the_film_with_these_periods(growth):
    clock = Clock()
    chamber = Chamber(clock, RheedSpec(growth_rate=0.4, decay=12.0, recovery=3.0))
    for number, time in enumerate((10.0, 40.0, 46.0, 50.0)):
        clock.now = 1000.0 + time
        chamber.switch(source_open=number % 2 == 0)
        assert chamber.now().order == pytest.approx(growth.order(time))
        assert chamber.now().layers == pytest.approx(growth.layers(time))
    assert chamber.at(1051.5).order == pytest.approx(growth.order(51.5))


def test_a_chamber_turns_and_heats_at_the_rates_it_was_given():
    clock = Clock()
    chamber = Chamber(clock, RheedSpec(rotations_per_min=10.0, azimuth=-30.0))
    chamber.switch(setpoint=125.0, ramp_rate=20.0)
    assert [chamber.at(1000.0 + s).temperature for s in (0, 2, 4.9, 60)] == pytest.approx([25, 65, 123, 125])
    assert [chamber.at(1000.0 + s).azimuth for s in (0, 1, 6)] == pytest.approx([330, 30, 330])
    clock.now = 1003.0
    chamber.switch(setpoint=0.0, rotation=-5.0)
    assert chamber.at(1005.0).temperature == pytest.approx(45.0)
    assert chamber.at(1005.0).azimuth == pytest.approx(90.0)


def test_another_rate_counts_from_the_moment_it_is_set():
    clock = Clock()
    chamber = Chamber(clock, RheedSpec(growth_rate=1.0))
    chamber.switch(source_open=True)
    clock.now += 2.0
    chamber.switch(growth_rate=0.25)
    clock.now += 2.0
    assert chamber.now().layers == pytest.approx(2.5)


def test_a_frame_that_comes_late_shows_what_was_when_it_was_exposed():
    clock = Clock()
    chamber = Chamber(clock, RheedSpec(growth_rate=1.0, rotations_per_min=10.0))
    clock.now += 2.0
    chamber.switch(source_open=True)
    clock.now += 1.0
    chamber.switch(source_open=False, rotation=0.0)
    late = [chamber.at(1000.0 + s) for s in (-5.0, 1.0, 2.25, 4.0)]
    assert [c.source_open for c in late] == [False, False, True, False]
    assert [c.layers for c in late] == pytest.approx([0.0, 0.0, 0.25, 1.0])
    assert [c.azimuth for c in late] == pytest.approx([0.0, 60.0, 135.0, 180.0])
