"""Frames on their way to a page: which pixels, how many, true to the count."""

import contextlib
import json

import numpy as np
import pytest
from hub_rig import KEY, noise
from hub_viewer import Viewer

from beamstream.frames import ColorMode
from beamstream.ring import Ring


def test_a_page_is_told_the_scene_and_gets_the_pixels_that_were_sent(url, camera):
    image = camera.put(noise((64, 96), "<u2"))
    with Viewer(url) as viewer:
        scene = viewer.text("scene")
        viewer.view(64, 96)
        shown = viewer.frame()
    assert (scene["stream"], scene["rows"], scene["cols"]) == (camera.name, 64, 96)
    assert (scene["dtype"], scene["color_mode"], scene["pixel_size"]) == ("<u2", "mono", [6.5, 6.5])
    assert shown.refined
    assert shown.factor == 1
    assert not shown.deflated
    np.testing.assert_array_equal(shown.pixels, image)
    assert (shown.index, shown.unique_id, shown.region) == (0, 0, (0, 0, 64, 96))


@pytest.mark.parametrize("dtype", ["|u1", "|i1", "<i2", ">u2", "<u4", "<f4", "<f8"])
def test_pixels_of_every_type_keep_their_values(url, camera, dtype):
    image = camera.put(noise((20, 31), dtype))
    with Viewer(url) as viewer:
        viewer.view(20, 31)
        shown = viewer.frame()
    np.testing.assert_allclose(shown.values, image.astype(float), rtol=6e-8)
    assert shown.refined


@pytest.mark.parametrize("mode", [ColorMode.RGB1, ColorMode.RGB2, ColorMode.RGB3])
def test_colours_come_last_whatever_their_place_in_memory(url, camera, mode):
    colours = noise((12, 20, 3), "|u1")
    order = {ColorMode.RGB1: (0, 1, 2), ColorMode.RGB2: (0, 2, 1), ColorMode.RGB3: (2, 0, 1)}[mode]
    camera.color_mode = mode
    camera.put(np.ascontiguousarray(colours.transpose(order)))
    with Viewer(url) as viewer:
        viewer.say(cross=[3, 4])
        viewer.view(12, 20)
        shown = viewer.frame()
    np.testing.assert_array_equal(shown.pixels, colours)
    assert shown.notes["cross"] == {"row": 3, "col": 4, "value": colours[3, 4].tolist()}


def test_a_window_gets_the_means_of_areas_and_a_region_the_pixels_themselves(url, camera):
    image = camera.put(noise((64, 96), "<u2"))
    with Viewer(url) as viewer:
        viewer.view(64, 96, width=40, height=27)
        small = viewer.frame()
        viewer.view(10, 15, row=20, col=30, width=400, height=270)
        large = viewer.frame(lambda shown: shown.region != small.region)
    assert small.factor == 2
    expected = image.reshape(32, 2, 48, 2).astype(float).mean(axis=(1, 3))
    np.testing.assert_allclose(small.values, expected, atol=0.5)
    assert large.region == (20, 30, 10, 15)
    np.testing.assert_array_equal(large.pixels, image[20:30, 30:45])


def test_a_region_that_reaches_beyond_the_frame_is_cut_and_one_outside_gets_nothing(url, camera):
    image = camera.put(noise((64, 96), "<u2"))
    with Viewer(url) as viewer:
        viewer.view(30, 30, row=50, col=-10)
        assert viewer.frame().region == (50, 0, 14, 20)
        viewer.view(30, 30, row=500, col=500)
        viewer.view(5.5, 4.5, row=0.5, col=1.5)
        shown = viewer.frame()
    assert shown.region == (0, 1, 6, 5)
    np.testing.assert_array_equal(shown.pixels, image[0:6, 1:6])


def test_one_frame_is_under_way_and_the_newest_wins(url, camera):
    camera.put()
    with Viewer(url) as viewer:
        viewer.view(64, 96)
        first = viewer.frame(ack=False)
        for _ in range(9):
            camera.put()
        viewer.patience = 1.3  # longer than it takes to notice a frame, and than a status takes
        heard = [viewer.hear() for _ in range(1)]
        assert all(isinstance(message, dict) for message in heard)
        viewer.patience = 10
        viewer.say(ack=first.serial)
        second = viewer.frame()
    assert (first.index, second.index) == (0, 9)
    assert second.notes["skipped"] == 8


def test_a_page_gets_no_more_frames_a_second_than_it_wants(url, camera, wait_for):
    camera.put()
    with Viewer(url) as viewer:
        viewer.say(rate=4)
        viewer.view(64, 96)
        times = []
        while len(times) < 4:
            camera.put()
            with contextlib.suppress(TimeoutError):
                viewer.patience = 0.02
                heard = viewer.hear()
                if not isinstance(heard, dict):
                    viewer.say(ack=heard.serial)
                    times.append(heard.received)
    assert 0.2 < (times[-1] - times[0]) / 3 < 0.5


def test_numbers_are_those_of_the_whole_frame_not_of_what_is_shown(url, camera):
    image = camera.put(noise((64, 96), "<u2"))
    rois = [
        {"id": "A", "shape": "rectangle", "row": 10, "col": 20, "rows": 8, "cols": 5},
        {"id": "B", "shape": "ellipse", "row": 0, "col": 0, "rows": 64, "cols": 96},
        {"id": "C", "shape": "line", "row": 2, "col": 3, "row2": 2, "col2": 40},
    ]
    with Viewer(url) as viewer:
        viewer.say(cross=[63, 95])
        viewer.say(rois=rois)
        viewer.view(64, 96, width=12, height=8)
        notes = viewer.frame().notes
    part = image[10:18, 20:25].astype(float)
    a, b = notes["rois"]
    assert notes["cross"]["value"] == int(image[63, 95])
    assert (a["id"], a["sum"], a["pixels"]) == ("A", part.sum(), 40)
    assert a["mean"] == pytest.approx(part.mean())
    assert a["std"] == pytest.approx(part.std())
    assert (a["min"], a["max"]) == (part.min(), part.max())
    rows, cols = np.mgrid[0:64, 0:96]
    inside = ((rows + 0.5 - 32) / 32) ** 2 + ((cols + 0.5 - 48) / 48) ** 2 <= 1
    assert (b["pixels"], b["sum"]) == (inside.sum(), image[inside].sum())
    assert b["row"] == pytest.approx((rows * image)[inside].sum() / image[inside].sum())
    assert notes["lines"] == [{"id": "C", "values": image[2, 3:41].tolist()}]


def test_a_cross_that_moves_over_a_still_frame_brings_numbers_without_pixels(url, camera):
    image = camera.put(noise((64, 96), "<u2"))
    with Viewer(url) as viewer:
        viewer.view(64, 96)
        viewer.frame()
        viewer.say(cross=[7, 8])
        notes = viewer.text("notes")
        viewer.say(cross=[7, 800])
        outside = viewer.text("notes")
    assert notes["cross"] == {"row": 7, "col": 8, "value": int(image[7, 8])}
    assert notes["index"] == 0
    assert outside["cross"]["value"] is None


def test_a_paused_page_keeps_its_frame_in_full_while_others_go_on(url, camera):
    first = camera.put(noise((64, 96), "<u2", seed=1))
    with Viewer(url) as paused, Viewer(url) as other:
        for viewer in (paused, other):
            viewer.view(64, 96, width=24, height=16)
            assert viewer.frame().index == 0
        paused.say(pause=True)
        paused.text("status", lambda status: status["state"] == "paused")
        for seed in range(2, 40):  # the ring holds 16
            camera.put(noise((64, 96), "<u2", seed=seed))
        other.frame(lambda shown: shown.index == 38)
        paused.view(8, 8, row=5, col=6, width=500, height=500)
        shown = paused.frame(lambda shown: shown.factor == 1)
        assert (shown.index, shown.region) == (0, (5, 6, 8, 8))
        np.testing.assert_array_equal(shown.pixels, first[5:13, 6:14])
        paused.say(pause=False)
        assert paused.frame(lambda shown: shown.index > 0).index == 38


def test_another_geometry_is_a_new_scene_and_the_page_goes_on(url, camera):
    camera.put()
    with Viewer(url) as viewer:
        viewer.view(64, 96)
        viewer.frame()
        one = viewer.last["scene"]
        image = camera.put(noise((30, 40), "|u1"))
        shown = viewer.frame(lambda shown: shown.region == (0, 0, 30, 40))
        two = viewer.last["scene"]
    np.testing.assert_array_equal(shown.pixels, image)
    assert (one["rows"], two["rows"], two["dtype"]) == (64, 30, "|u1")
    assert one["epoch"] != two["epoch"]


def test_a_writer_that_comes_late_goes_and_comes_again_is_waited_for_in_words(url, camera):
    camera.ring.close()
    with Viewer(url) as viewer:
        viewer.view(64, 96)
        status = viewer.text("status", lambda status: "nobody writes" in status["words"])
        assert status["state"] == "waiting"
        assert camera.name in status["words"]
        camera.ring = Ring(camera.name, slots=8)
        image = camera.put()
        np.testing.assert_array_equal(viewer.frame().pixels, image)
        camera.ring.close()
        viewer.text("status", lambda status: status["state"] == "waiting")
        camera.ring = Ring(camera.name, slots=8)
        image = camera.put(noise((64, 96), "<u2"))
        viewer.frame(lambda shown: np.array_equal(shown.pixels, image))
        assert viewer.text("status", lambda status: status["state"] == "live")["clients"] == 1


def test_pixels_without_a_brightness_are_named_not_drawn(url, camera):
    camera.put(np.zeros((8, 9), "<c8"))
    with Viewer(url) as viewer:
        viewer.view(4, 4)
        status = viewer.text("status", lambda status: status["state"] == "red")
        assert "pixels of type complex64 cannot be shown" in status["words"]
        camera.put(np.zeros((8, 9), "<u2"))
        assert viewer.frame().region == (0, 0, 4, 4)


def test_what_is_not_understood_is_answered_and_changes_nothing(url, camera):
    camera.put()
    nonsense = ["", "x", "[1", "null", "[]", "7", '"view"', "{}", '{"view": 3}', '{"ack": "1"}', '{"rois": [{}]}']
    nonsense += ['{"view": {"row": 0, "col": 0, "rows": 1e999, "cols": 3, "width": 3, "height": 3}}', "[" * 20000]
    nonsense += ['{"cross": [1]}', '{"cross": ["1", 2]}', '{"rate": "fast"}', '{"rate": NaN}', '{"pause": 1}']
    nonsense += [json.dumps({"rois": [{"id": "A", "shape": "star", "row": 0, "col": 0, "rows": 2, "cols": 2}]})]
    nonsense += [json.dumps({"rois": [{"id": i, "shape": "line"} for i in range(1000)]})]
    with Viewer(url) as viewer:
        viewer.view(64, 96)
        viewer.frame()
        for text in nonsense:
            viewer.socket.send(text)
            answer = viewer.text("answer")
            assert (answer["to"], answer["ok"]) == (None, False)
            assert "no message of this protocol" in answer["words"]
        viewer.socket.send(b"\x00\xff")
        assert not viewer.text("answer")["ok"]
        camera.put()
        assert viewer.frame().index == 1


def test_a_message_of_megabytes_ends_that_page_and_no_other(url, camera):
    camera.put()
    with Viewer(url) as loud, Viewer(url) as other:
        # what announces a text of 2 MB; were the text sent, a reset could overtake the answer
        loud.socket.socket.sendall(bytes([0x81, 0xFF]) + (2_000_000).to_bytes(8, "big") + bytes(4))
        with pytest.raises(Exception, match="1009"):
            loud.frame()
        other.view(64, 96)
        assert other.frame().index == 0


@pytest.mark.parametrize("what", ["capture", "record", "stop"])
def test_control_takes_the_key(url, camera, places, what):
    camera.put()
    asked = {"kind": "flat", "frames": 1, "directory": "", "prefix": "p", "format": "npy"}
    with Viewer(url) as viewer:
        answer = viewer.do(what, **asked)
        assert not viewer.text("status")["may_control"]
    assert not answer["ok"]
    assert "key" in answer["words"]
    assert not places["recordings"].exists()
    with Viewer(url, Cookie=f"beamstream-page-1={KEY}") as viewer:
        assert not viewer.do(what, **asked)["ok"]
