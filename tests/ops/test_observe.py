"""Statistics are noted, the image passes as it is."""

import numpy as np
import pytest

from beamstream.errors import PipelineError
from beamstream.ops.observe import CollectStatistics


def test_the_image_itself_passes_and_its_statistics_are_kept():
    op = CollectStatistics()
    image = np.array([[1, 2], [3, 65535]], "u2")
    assert op.apply(image, {"uid": 7}) is image
    ((uid, said),) = op.take()
    assert uid == 7
    assert (said.total, said.min, said.max, said.saturated) == (65541, 1, 65535, 1)
    assert op.latest == said
    assert op.take() == []


def test_only_the_newest_are_kept_and_the_others_counted():
    op = CollectStatistics(keep=2)
    for uid in range(5):
        op.apply(np.full((2, 2), uid, "u2"), {"uid": uid})
    assert op.dropped == 3
    assert [uid for uid, _ in op.take()] == [3, 4]


def test_a_region_and_colours_are_respected():
    op = CollectStatistics(roi=[0, 1, 2, 1])
    op.apply(np.array([[1, 2, 3], [4, 5, 6]], "u2"), {"color_mode": "mono"})
    assert op.latest is not None
    assert op.latest.total == 7
    op.apply(np.ones((3, 2, 4), "u1"), {"color_mode": "rgb3"})
    assert op.latest.total == 6


@pytest.mark.parametrize("options", [{"keep": 0}, {"roi": [1, 2]}, {"roi": [0, 0, 0, 1]}])
def test_a_wrong_option_is_refused_by_name(options):
    with pytest.raises(PipelineError, match=r"statistics: (keep|roi) = "):
        CollectStatistics(**options)
