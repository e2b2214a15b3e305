"""Plans that say what a viewer is to show of their runs."""

import pytest
from bluesky.plans import count
from ophyd.sim import det
from run_engines import run_engine

from plans.viewer import viewer, viewer_wrapper


def starts(plan):
    found = []
    with run_engine() as engine:
        engine.subscribe(lambda _name, doc: found.append(doc), "start")
        engine(plan)
    return found


def test_a_decorated_plan_says_it_in_every_start_document():
    @viewer("napari", only="recorded", streams=["corrected"])
    def twice(num):
        yield from count([det], num)
        yield from count([det], num, md={"sample": "A7"})

    said = starts(twice(1))
    assert [doc["viewer"] for doc in said] == 2 * [{"napari": {"only": "recorded", "streams": ["corrected"]}}]
    assert (said[1]["sample"], said[1]["num_points"]) == ("A7", 1)


def test_a_plan_of_others_can_be_decorated_or_wrapped_where_it_is_run():
    live = {"napari": {"only": "", "streams": []}}
    assert starts(viewer("napari")(count)([det], 1))[0]["viewer"] == live
    assert starts(viewer_wrapper(count([det], 1), only="recorded"))[0]["viewer"]["napari"]["only"] == "recorded"
    assert "viewer" not in starts(count([det], 1))[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "paraview"}, "viewer: 'paraview' given; use one of 'napari'"),
        ({"only": "raw"}, "viewer: only='raw' given; use \"recorded\""),
        ({"streams": "corrected"}, "viewer: streams='corrected' given; use a list of names, like [\"corrected\"]"),
    ],
)
def test_what_cannot_be_is_said_before_the_plan_runs(arguments, words):
    with pytest.raises(ValueError) as caught:
        viewer(**arguments)
    assert words in str(caught.value)
