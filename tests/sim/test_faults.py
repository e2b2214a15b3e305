"""Faults are a pure function of the exposure."""

from hypothesis import given
from hypothesis import strategies as st

from beamstream.frames import ColorMode, Geometry
from beamstream.sim.faults import Faults

MONO = Geometry((10, 20), "<u2")


@given(st.integers(0, 10**6), st.integers(0, 2**31 - 1))
def test_without_faults_every_exposure_is_posted_once_as_it_is(index, unique_id):
    faults = Faults()
    assert faults.posts(index, unique_id) == 1
    assert not faults.silent(index)
    assert faults.geometry(index, MONO) == MONO
    assert faults.dimensions(index, (20, 10)) == [20, 10]


def test_every_nth_is_skipped_or_repeated():
    assert [Faults(skip_every=3).posts(i, i) for i in range(7)] == [1, 1, 0, 1, 1, 0, 1]
    assert [Faults(repeat_every=3).posts(i, i) for i in range(7)] == [1, 1, 2, 1, 1, 2, 1]
    assert [Faults(skip_ids=frozenset({5, 6})).posts(i, i + 4) for i in range(4)] == [1, 0, 0, 1]


@given(st.integers(0, 2**31 - 1))
def test_random_losses_are_the_same_for_the_same_seed(seed):
    faults = Faults(skip_random=0.3, seed=seed)
    first = [faults.posts(i, i) for i in range(200)]
    assert first == [faults.posts(i, i) for i in range(200)]
    assert 20 < first.count(0) < 100


def test_a_changed_shape_keeps_the_colour_axis():
    for mode, shape, half in (
        (ColorMode.RGB1, (10, 20, 3), (5, 10, 3)),
        (ColorMode.RGB2, (10, 3, 20), (5, 3, 10)),
        (ColorMode.RGB3, (3, 10, 20), (3, 5, 10)),
    ):
        faults = Faults(change_shape_at=2)
        assert faults.geometry(1, Geometry(shape, "<u2", mode)).shape == shape
        assert faults.geometry(2, Geometry(shape, "<u2", mode)).shape == half


def test_shape_and_type_can_change_at_different_exposures():
    faults = Faults(change_shape_at=2, change_shape=(7, 9), change_dtype_at=4, change_dtype="<i4")
    assert [str(faults.geometry(i, MONO)) for i in (1, 3, 5)] == ["10 × 20 uint16", "7 × 9 uint16", "7 × 9 int32"]


def test_malformed_dimensions_do_not_fit_for_as_long_as_asked():
    for kind, sizes in {"product": [21, 10], "negative": [-20, 10], "zero": [0, 10], "missing": []}.items():
        faults = Faults(malformed_at=1, malformed_count=2, malformed=kind)
        assert [faults.dimensions(i, (20, 10)) for i in range(4)] == [[20, 10], sizes, sizes, [20, 10]]
