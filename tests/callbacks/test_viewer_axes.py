"""What documents say about the dimensions of a run: against what bluesky's own plans do."""

from itertools import pairwise

import pytest
from bluesky.plans import count, grid_scan, inner_product_scan, scan, spiral
from ophyd.sim import det, motor, motor1, motor2, motor3
from run_engines import run_engine

from beamstream.callbacks.viewer_axes import RunAxes
from beamstream.callbacks.viewer_places import Places


def played(plan):
    """Run a plan; return its start, its descriptor, and what each event read."""
    docs = []
    with run_engine() as engine:
        engine.subscribe(lambda name, doc: docs.append((name, doc)))
        engine(plan)
    start, descriptor = (next(doc for name, doc in docs if name == kind) for kind in ("start", "descriptor"))
    return start, descriptor, [doc for name, doc in docs if name == "event"]


def test_a_count_goes_along_time():
    start, descriptor, _ = played(count([det], 3))
    axes = RunAxes(start)
    assert axes.axes(descriptor) == [{"name": "time", "size": 0}]
    assert not axes.placed(descriptor)


@pytest.mark.parametrize("snake", [False, True, [motor2]])
def test_a_grid_has_its_motors_as_axes_and_every_event_its_place(snake):
    plan = grid_scan([det], motor1, 0, 2, 3, motor2, 10, 11, 2, motor3, -1, 1, 3, snake_axes=snake)
    start, descriptor, events = played(plan)
    axes = RunAxes(start)
    expected = [{"name": "motor1", "size": 3}, {"name": "motor2", "size": 2}, {"name": "motor3", "size": 3}]
    assert axes.axes(descriptor) == expected
    assert axes.placed(descriptor)
    assert len(events) == 18
    for event in events:
        i, j, k = axes.place(event["seq_num"])
        read = [event["data"][name] for name in ("motor1", "motor2", "motor3")]
        assert read == pytest.approx([i, 10 + j, k - 1])


def test_motors_that_move_together_share_an_axis_that_grows():
    for plan, name in (
        (scan([det], motor, 0, 4, 5), "motor"),
        (inner_product_scan([det], 3, motor1, 0, 1, motor2, 5, 6), "motor1, motor2"),
        (spiral([det], motor1, motor2, 0, 0, 1, 1, 0.5, 4), "motor1, motor2"),
    ):
        start, descriptor, events = played(plan)
        axes = RunAxes(start)
        assert axes.axes(descriptor) == [{"name": name, "size": 0}]
        assert [axes.place(event["seq_num"]) for event in events] == [[i] for i in range(len(events))]


@pytest.mark.parametrize(
    "start",
    [
        {},
        {"hints": None},
        {"hints": {"dimensions": 7}},
        {"hints": {"dimensions": [["time"]]}},
        {"hints": {"dimensions": [[["gone"], "primary"]]}, "shape": "ab", "snaking": True},
        {"hints": {"dimensions": [[["time"], "primary"]]}, "shape": [0]},
    ],
)
def test_hints_that_are_none_leave_time(start):
    assert RunAxes(start).axes({"data_keys": {}}) == [{"name": "time", "size": 0}]


def test_units_come_from_the_data_keys():
    axes = RunAxes({"hints": {"dimensions": [[["theta"], "primary"], [["x"], "primary"]]}})
    assert axes.units({"data_keys": {"theta": {"units": "deg"}, "x": {}}}) == {"theta": "deg"}


def test_rows_and_readings_meet_whichever_comes_first():
    places = Places(RunAxes({"hints": {"dimensions": [[["theta"], "primary"]]}}))
    places.rows("cam", {"start": 1, "stop": 3}, {"start": 0, "stop": 2})
    assert places.take("cam", 9) == []
    places.values(1, {"theta": 0.5, "other": 3})
    places.values(3, {"theta": float("nan")})
    assert places.waiting("cam")
    assert places.take("cam", 9) == [{"row": 0, "place": [0], "values": {"theta": 0.5}}]
    places.rows("cam", {"start": 3, "stop": 4}, {"start": 2, "stop": 6})  # four frames of one event: the last
    assert places.take("cam", 9) == [{"row": 5, "place": [2], "values": {}}]
    assert not places.waiting("cam")
    numbers = [(n, [n - 1]) for n in range(10, 20)]
    places.rows("cam", {"start": 10, "stop": 20}, {"start": 10, "stop": 20})
    for n, _ in numbers:
        places.values(n, {"theta": n})
    taken = [places.take("cam", 4) for _ in range(3)]
    assert [len(some) for some in taken] == [4, 4, 2]
    rows = [one["row"] for some in taken for one in some]
    assert all(b == a + 1 for a, b in pairwise(rows))
