"""A processor that misbehaves fails on that frame, with its name, the frame and the cause; the rest goes on."""

import json
from contextlib import nullcontext

import numpy as np
import pytest

from beamstream.errors import PipelineError, ProcessorFailed
from beamstream.ops.filters import Clip, MedianFilter
from beamstream.ops.reduce import Crop
from beamstream.ops.temporal import RunningAverage
from beamstream.pipeline import Pipeline

IMAGE = np.arange(12, dtype="u2").reshape(3, 4)
IMAGE.flags.writeable = False


def on(uid):
    return {"uid": uid, "timestamp": 0.0}


def returning(value):
    return Pipeline([lambda image: value], names=["it"])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "returned None; return the image"),
        (3.5, "returned float, no array"),
        (np.float64(3), "returned float64, no array"),
        ([[1, 2]], "returned list, no array"),
        (np.array([[{}]], dtype=object), "returned an array of 1 × 1 object; return rows and columns of numbers"),
        (np.array([["x"]]), "returned an array of 1 × 1 <U1"),
        (np.array(["2020-01-01"], "M8[D]"), "returned an array of 1 datetime64"),
        (np.zeros((0, 4)), "returned an array of 0 × 4 float64"),
        (np.array(3), "returned an array of no axis, int64"),
        (np.ma.masked_array([[1, 2]], [[True, False]]), "returned a masked array"),
        (np.array([[1.0, np.nan]]), "returned NaN where the frame has none; look for a division by zero"),
        (np.array([[1.0, np.nan]], "f2"), "returned NaN"),
        (np.array([[1.0, complex(0, np.nan)]]), "returned NaN"),
        ((IMAGE, "more"), "returned tuple, no array"),
    ],
)
def test_what_is_no_image_is_refused_with_name_and_frame(value, words):
    with pytest.raises(ProcessorFailed) as error:
        returning(value).apply(IMAGE, on(17))
    assert str(error.value).startswith(f"it: no image of frame 17: {words}")


def test_an_exception_is_told_with_type_text_and_line(project):
    plugin = project.plugin(
        """
        import numpy as np

        def process(img, meta=None):
            return inner(img)

        def inner(img):
            raise KeyError("no such thing")
        """
    )
    pipeline = Pipeline.load(project.functions({"name": "broken", "module": "mine"}))
    with pytest.raises(ProcessorFailed) as error:
        pipeline.apply(IMAGE, on(3))
    assert str(error.value) == f"broken: no image of frame 3: KeyError: 'no such thing' ({plugin}:8)"
    assert isinstance(error.value.__cause__, KeyError)


def test_an_error_inside_numpy_names_the_plugins_line(project):
    plugin = project.plugin(
        "import numpy as np\nclass A:\n    def apply(self, img, meta):\n        return np.linalg.inv(img[:2, :2] * 0)"
    )
    pipeline = Pipeline.load(project.classes({"name": "a", "module": "processors.mine", "class": "A"}))
    with pytest.raises(ProcessorFailed, match=rf"LinAlgError: Singular matrix \({plugin}:4\)"):
        pipeline.apply(IMAGE, on(1))


def test_a_plugin_that_wants_to_end_the_process_does_not(project):
    project.plugin("import sys\ndef process(img, meta=None):\n    sys.exit(3)")
    with pytest.raises(ProcessorFailed, match="SystemExit: 3"):
        Pipeline.load(project.functions({"name": "a", "module": "mine"})).apply(IMAGE, on(1))


def test_a_failure_is_over_with_its_frame_and_counted():
    def picky(image, meta):
        if meta["uid"] == 2:
            raise ValueError("not this one")
        return image + 1

    pipeline = Pipeline([Clip(high=100), picky], names=["clip", "picky"])
    for uid in (0, 1, 2, 3, 4):
        with pytest.raises(ProcessorFailed, match="picky: no image of frame 2: ") if uid == 2 else nullcontext():
            assert pipeline.apply(IMAGE, on(uid))[0, 0] == 1
    clip, picky_ = pipeline.statistics()
    assert (clip.name, clip.calls, clip.failures, clip.last_error) == ("clip", 5, 0, None)
    assert (picky_.calls, picky_.failures) == (5, 1)
    assert picky_.last_error is not None
    assert picky_.last_error.startswith("ValueError: not this one (")
    assert picky_.seconds > 0


def test_a_live_view_gets_what_the_others_made_and_the_errors():
    def broken(image):
        raise RuntimeError("always")

    pipeline = Pipeline([lambda image: image + 1, broken, Crop(0, 0, 2, 2)], names=["add", "broken", "crop"])
    image, errors = pipeline.apply_or_pass(IMAGE, on(1))
    assert image.tolist() == [[1, 2], [5, 6]]
    assert [str(e).partition(":")[0] for e in errors] == ["broken"]


def test_a_processor_that_is_passed_over_does_not_put_the_next_one_in_the_wrong():
    def sometimes(image, meta):
        if meta["uid"] == 2:
            raise ValueError
        return image[:2, :2]

    pipeline = Pipeline([sometimes, lambda image: image * 2], names=["crop", "double"])
    shapes = []
    for uid in range(4):
        image, errors = pipeline.apply_or_pass(IMAGE, on(uid))
        shapes.append((image.shape, len(errors)))
    assert shapes == [((2, 2), 0), ((2, 2), 0), ((3, 4), 1), ((2, 2), 0)]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (IMAGE[:2], "changed from 3 × 4 uint16 to 2 × 4 uint16; return the same shape and type for each frame"),
        (IMAGE.astype("f4"), "changed from 3 × 4 uint16 to 3 × 4 float32"),
    ],
)
def test_a_change_from_frame_to_frame_fails_each_frame_that_differs(second, words):
    pipeline = Pipeline([lambda image, meta: IMAGE if meta["uid"] in (0, 3) else second], names=["it"])
    pipeline.apply(IMAGE, on(0))
    for uid in (1, 2):
        with pytest.raises(ProcessorFailed, match=f"it: no image of frame {uid}: {words}"):
            pipeline.apply(IMAGE, on(uid))
    pipeline.apply(IMAGE, on(3))
    assert pipeline.statistics()[0].failures == 2


def test_a_camera_that_changes_its_region_is_not_the_processors_fault():
    pipeline = Pipeline([MedianFilter(), RunningAverage()])
    for image in (IMAGE, IMAGE[:2], IMAGE.astype("f4"), IMAGE):
        assert pipeline.apply(image, on(1)).shape == image.shape


def test_nan_that_came_in_may_go_out():
    image = IMAGE.astype("f4")
    image[1, 1] = np.nan
    assert np.isnan(returning(image).apply(image, on(1))).sum() == 1
    with pytest.raises(ProcessorFailed, match="returned NaN where the frame has none"):
        returning(image).apply(IMAGE, on(1))


@pytest.mark.parametrize(
    "value", [np.full((2, 2), 3e38, "f4"), np.array([[np.inf, -np.inf]]), np.full((9, 9), 6e4, "f2")]
)
def test_infinity_and_overflowing_sums_are_no_nan(value):
    assert returning(value).apply(IMAGE, on(1)) is value


@pytest.mark.parametrize(
    "change",
    [
        "img[img > 3] = 0",
        "img += 1",
        "img.sort()",
        "np.clip(img, 0, 1, out=img)",
        "img.flags.writeable = True; img[:] = 0",
    ],
)
def test_a_plugin_may_change_its_image_in_place_and_nobody_else_sees_it(project, change):
    project.plugin(f"import numpy as np\ndef process(img, meta=None):\n    {change}\n    return img")
    pipeline = Pipeline.load(project.functions({"name": "a", "module": "mine"}))
    before = IMAGE.copy()
    writable = before.copy()
    expected = before.copy()
    exec(change, {"img": expected, "np": np})
    for image in (IMAGE, writable):
        assert pipeline.apply(image, on(1)).tolist() == expected.tolist()
    assert IMAGE.tolist() == writable.tolist() == before.tolist()


def test_a_plugin_may_keep_its_image_while_the_memory_it_came_in_is_used_again(project):
    project.plugin(
        """
        class Change:
            before = None
            def apply(self, img, meta):
                before, self.before = self.before, img
                return img.astype("i4") * 0 if before is None else img.astype("i4") - before
        """
    )
    pipeline = Pipeline.load(project.classes({"name": "c", "module": "processors.mine", "class": "Change"}))
    slot = np.zeros((2, 2), "u2")
    made = []
    for value in (5, 7, 100):
        slot[:] = value
        made.append(int(pipeline.apply(slot, on(value))[0, 0]))
    assert made == [0, 2, 93]


def test_our_own_ops_cannot_change_the_callers_image():
    class Bad(Clip):
        def apply(self, image, meta):
            image[0, 0] = 7
            return image

    Bad.__module__ = "beamstream.ops.filters"
    writable = np.ones((2, 2))
    with pytest.raises(ProcessorFailed, match="read-only"):
        Pipeline([Bad(high=1)]).apply(writable, on(1))
    assert (writable == 1).all()
    assert writable.flags.writeable


def test_functions_are_called_as_they_can_be():
    seen = []

    def plain(image):
        return image

    def with_meta(image, meta):
        seen.append(meta["uid"])
        return image

    def named(image, *, meta=None):
        seen.append(meta and meta["uid"])
        return image

    def second_required(image, told):
        seen.append(told["uid"])
        return image

    def option(image, factor=2):
        return image * factor

    made = Pipeline([plain, with_meta, named, second_required, option, np.sqrt, np.flipud]).apply(IMAGE, on(4))
    assert seen == [4, 4, 4]
    np.testing.assert_allclose(made, np.flipud(np.sqrt(IMAGE * 2.0)))


def test_names_are_unique_and_ops_are_ops():
    pipeline = Pipeline([Clip(high=1), Clip(high=2), np.sqrt])
    assert [s.name for s in pipeline.statistics()] == ["Clip 1", "Clip 2", "sqrt"]
    assert pipeline["Clip 2"].high == 2
    with pytest.raises(KeyError):
        pipeline["Clip 3"]
    for names in (["a", "a"], ["a"]):
        with pytest.raises(PipelineError, match="give each a name of its own"):
            Pipeline([np.sqrt, np.abs], names=names)
    for op in (3, Clip):
        with pytest.raises(PipelineError, match="no op; give an object with apply"):
            Pipeline([op])


def test_a_pipeline_is_an_op_in_another_and_describes_itself_as_json():
    inner = Pipeline([Clip(high=5), np.sqrt])
    outer = Pipeline([inner, RunningAverage(window=None)], names=["inner", "average"])
    assert outer.apply(IMAGE, on(1)).max() == pytest.approx(5**0.5)
    said = json.loads(json.dumps(outer.describe(), allow_nan=False))
    assert [p["name"] for p in said["processors"]] == ["inner", "average"]
    assert said["processors"][0]["parameters"]["processors"][0]["parameters"] == {"low": None, "high": 5}
    assert said["processors"][1]["parameters"] == {"window": None}


def test_an_empty_pipeline_passes_the_image():
    assert Pipeline([]).apply(IMAGE) is IMAGE
    assert Pipeline([]).describe() == {"processors": []}
