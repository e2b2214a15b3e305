"""A PVAccess source delivers every frame once and says what is missing: what its listener hears, from a real server."""

import threading
import time

import numpy as np
import pytest

from beamstream.errors import CodecError, MalformedFrame, NotAnImage, NotConnected, RingError
from beamstream.frames import Geometry
from beamstream.sim.encode import encode
from beamstream.sim.pattern import Pattern
from beamstream.sources.pva import PvaSource

QUICK = 3.0  # s; what must not wait for a server that does not answer, on a busy machine


@pytest.fixture
def source(cam, follow) -> PvaSource:
    """Follow camera A, which is idle."""
    return follow(cam.pv)


def test_the_frame_that_the_server_already_had_is_not_delivered(cam, follow, listener, wait_for):
    source = follow(cam.pv)
    assert (source.counters.stale, listener.frames) == (1, [])
    before = cam.last_id()
    cam.acquire(3)
    wait_for(lambda: len(listener.frames) >= 3, what="3 frames")
    assert listener.ids == [before + 1, before + 2, before + 3]
    assert listener.missing == [0, 0, 0]


def test_to_eyes_it_is_delivered_as_old_as_it_is_and_what_follows_as_ever(cam, follow, listener, wait_for):
    cam.acquire(1)
    before = cam.last_id()
    time.sleep(0.2)
    follow(cam.pv, present=True)
    assert listener.ids == [before]
    assert listener.frames[0].received == listener.frames[0].timestamp < time.time() - 0.2
    cam.acquire(3)
    wait_for(lambda: len(listener.frames) >= 4, what="3 frames")
    assert listener.ids == [before, before + 1, before + 2, before + 3]
    assert listener.missing == [0] * 4
    listener.assert_bit_exact(cam.geometry)


def test_every_frame_of_an_acquisition_is_delivered_bit_exact(cam, source, listener, wait_for):
    before = time.time()
    cam.acquire(200)
    wait_for(lambda: len(listener.frames) >= 200, what="200 frames")
    assert listener.ids == list(range(listener.ids[0], listener.ids[0] + 200))
    assert listener.missing == [0] * 200
    listener.assert_bit_exact(cam.geometry)  # all of them still, after the last one came
    assert not any(f.payload.flags.writeable for f in listener.frames)
    assert all(before <= f.timestamp <= f.received <= time.time() for f in listener.frames)
    assert listener.frames[0].source == f"pva://{cam.pv}"
    assert listener.frames[0].attributes["Model"] == "SimCamera"
    assert (source.counters.frames, source.counters.repeated, source.counters.malformed) == (200, 0, 0)


def test_frames_that_were_skipped_are_told_as_missing_before_the_next(cam, source, listener, wait_for):
    cam.put("sim1:SkipEvery", 5)
    cam.acquire(21)
    wait_for(lambda: len(listener.frames) >= 17, what="17 frames")
    assert listener.missing == [0, 0, 0, 0, *[1, 0, 0, 0] * 3, 1]
    listener.assert_all_accounted_for()
    listener.assert_bit_exact(cam.geometry)


def test_several_in_a_row_are_counted_and_so_are_those_right_after_the_start(cam, source, listener, wait_for):
    last = cam.last_id()
    cam.put("sim1:SkipIds", [last + n for n in (1, 2, 5, 6, 7)])
    cam.acquire(10)
    wait_for(lambda: len(listener.frames) >= 5, what="5 frames")
    assert [i - last for i in listener.ids] == [3, 4, 8, 9, 10]
    assert listener.missing == [2, 0, 3, 0, 0]


def test_repeated_updates_are_told_and_not_delivered_again(cam, source, listener, wait_for):
    cam.put("sim1:RepeatEvery", 5)
    cam.acquire(20)
    wait_for(lambda: len(listener.frames) >= 20 and listener.repeats >= 4, what="20 frames and 4 repeats")
    assert listener.ids == list(range(listener.ids[0], listener.ids[0] + 20))
    assert (listener.repeats, source.counters.repeated) == (4, 4)
    assert listener.missing == [0] * 20
    listener.assert_bit_exact(cam.geometry)


def test_a_count_that_runs_back_leaves_missing_unknown(cam, source, listener, wait_for):
    last = cam.last_id()
    cam.put("sim1:RestartAt", 10)
    cam.acquire(20)
    wait_for(lambda: len(listener.frames) >= 20, what="20 frames")
    assert listener.ids == [*range(last + 1, last + 11), *range(10)]
    assert listener.missing == [*[0] * 10, None, *[0] * 9]
    listener.assert_bit_exact(cam.geometry)


@pytest.mark.parametrize("fault", [None, "RepeatEvery", "MalformedAt"])
def test_frames_posted_field_by_field_are_delivered_once_with_their_own_pixels(cam, source, listener, wait_for, fault):
    cam.put("sim1:Piecewise", 1)
    if fault:
        cam.put(f"sim1:{fault}", 5)
    cam.acquire(31)
    last = cam.last_id()
    wait_for(lambda: listener.ids and listener.ids[-1] == last, what="the last frame")
    malformed = last - 25  # what came of it, if it was that
    assert listener.ids == [n for n in range(last - 30, last + 1) if fault != "MalformedAt" or n != malformed]
    assert source.counters.partial > 0  # so it did come in pieces
    listener.assert_bit_exact(cam.geometry)
    listener.assert_all_accounted_for()


@pytest.mark.parametrize("how", ["product", "negative", "zero", "missing"])
def test_a_malformed_update_is_told_and_the_stream_goes_on(cam, source, listener, wait_for, how):
    cam.put("sim1:Malformed", ["none", "product", "negative", "zero", "missing"].index(how))
    cam.put("sim1:MalformedCount", 2)
    cam.put("sim1:MalformedAt", 5)
    cam.acquire(20)
    wait_for(lambda: len(listener.frames) >= 18, what="18 frames")
    assert [type(e) for e in listener.errors] == [MalformedFrame] * 2
    assert cam.pv in str(listener.errors[0])
    assert listener.missing == [0, 0, 0, 0, 0, 2, *[0] * 12]
    assert (listener.failures, source.counters.malformed) == ([], 2)
    listener.assert_bit_exact(cam.geometry)


def test_a_new_shape_and_a_new_pixel_type_are_delivered_as_what_they_are(cam, source, listener, wait_for):
    cam.put("sim1:ChangeDtype", "<f4")
    cam.put("sim1:ChangeDtypeAt", 10)
    cam.put("sim1:ChangeShapeAt", 5)
    cam.acquire(15)
    wait_for(lambda: len(listener.frames) >= 15, what="15 frames")
    geometries = [cam.geometry] * 5 + [Geometry((48, 64), "<u2")] * 5 + [Geometry((48, 64), "<f4")] * 5
    assert [f.geometry for f in listener.frames] == geometries
    for frame, geometry in zip(listener.frames, geometries, strict=True):
        np.testing.assert_array_equal(frame.image, Pattern(geometry).image(frame.unique_id))
    assert listener.missing == [0] * 15


def test_what_is_stopped_delivers_nothing_and_a_new_start_drops_the_old_frame_anew(cam, source, listener, wait_for):
    cam.acquire(5)
    wait_for(lambda: len(listener.frames) >= 5, what="5 frames")
    source.stop()
    source.stop()
    last = listener.ids[-1]
    cam.acquire(5)
    wait_for(lambda: cam.last_id() == last + 5, what="5 exposures that nobody follows")
    source.start(listener, timeout=10.0)
    assert (source.counters.stale, source.counters.frames) == (1, 0)
    cam.acquire(5)
    wait_for(lambda: len(listener.frames) >= 10, what="5 more frames")
    assert listener.ids == [*range(last - 4, last + 1), *range(last + 6, last + 11)]
    assert listener.missing == [0] * 10
    listener.assert_bit_exact(cam.geometry)


class _Tripped(Exception):
    """What a listener of these tests raises."""


@pytest.mark.parametrize("error", [_Tripped, RingError, CodecError])
def test_a_listener_that_raises_is_told_and_the_stream_goes_on(cam, source, listener, wait_for, error):
    def act(what: str) -> None:
        if what == "frame" and len(listener.frames) == 3:
            raise error("tripped")

    listener.act = act
    cam.acquire(10)
    wait_for(lambda: len(listener.frames) >= 10, what="10 frames")
    assert [(type(e), str(e)) for e in listener.failures] == [(error, "tripped")]
    assert (listener.errors, source.counters.malformed) == ([], 0)
    assert listener.missing == [0] * 10


@pytest.mark.parametrize("what", ["repeated", "malformed"])
def test_a_listener_that_raises_at_a_remark_is_told_as_well(cam, source, listener, wait_for, what):
    def act(said: str) -> None:
        if said == what:
            raise _Tripped(said)

    listener.act = act
    cam.put("sim1:RepeatEvery", 5)
    cam.put("sim1:MalformedAt", 6)
    cam.acquire(20)
    wait_for(lambda: len(listener.frames) >= 19, what="19 frames")
    wait_for(lambda: listener.failures, timeout=5, what=f"to be told that {what}() raised")
    assert {(type(e), str(e)) for e in listener.failures} == {(_Tripped, what)}


def test_a_listener_that_is_late_once_loses_nothing_at_500_frames_a_second(camera, follow, listener, wait_for):
    fast, late = camera("SRC:Q"), threading.Event()

    def act(what: str) -> None:
        if len(listener.frames) == 200:
            time.sleep(0.02)  # ten frames
            late.set()

    listener.act = act
    follow(fast.pv)
    fast.acquire(1000)
    wait_for(lambda: len(listener.frames) >= 1000, what="1000 frames")
    assert late.is_set()
    assert listener.missing == [0] * 1000
    stamps = [f.timestamp for f in listener.frames]
    assert stamps[-1] - stamps[0] == pytest.approx(999 * 0.002, rel=0.2)


def test_a_queue_that_is_too_short_loses_frames_and_they_are_counted(camera, follow, listener, wait_for):
    large = camera("SRC:L")

    def act(what: str) -> None:
        if len(listener.frames) == 50:
            time.sleep(0.3)  # 150 frames

    listener.act = act
    follow(large.pv, queue_size=2)
    before = large.last_id()
    large.acquire(300)
    wait_for(lambda: large.last_id() == before + 300, what="300 exposures")
    large.acquire(5)  # a server whose queue ran over may keep its last update until there is another
    wait_for(lambda: listener.ids and listener.ids[-1] == before + 305, what="the last frame")
    lost = 305 - len(listener.frames)
    assert lost > 0
    assert sum(n or 0 for n in listener.missing) == lost
    listener.assert_all_accounted_for()
    listener.assert_bit_exact(large.geometry)


def test_connect_tells_the_geometry_and_nothing_where_there_is_no_frame_yet(camera, follow, listener, wait_for):
    empty = camera("SRC:E")
    source = PvaSource(empty.pv)
    assert source.connect(5.0) is None
    source.start(listener, 5.0)
    empty.acquire(5)
    wait_for(lambda: len(listener.frames) >= 5, what="5 frames")
    assert listener.ids == [1, 2, 3, 4, 5]
    assert listener.missing == [0] * 5
    listener.assert_bit_exact(empty.geometry)
    assert source.connect(5.0) == empty.geometry
    source.close()
    source.close()


@pytest.mark.parametrize("way", ["connect", "start"])
def test_a_name_that_nobody_serves_is_an_error_within_its_timeout(beamline, listener, way):
    source = PvaSource("SRC:NOSUCH:Pva1:Image", name="cam")
    begun = time.monotonic()
    with pytest.raises(NotConnected, match=r"cam: the PV SRC:NOSUCH:Pva1:Image .* within 0.5 s"):
        source.connect(0.5) if way == "connect" else source.start(listener, 0.5)
    assert 0.4 < time.monotonic() - begun < 0.5 + QUICK
    assert not source.connected
    source.close()


def test_a_number_is_not_an_image(beamline):
    source = PvaSource("SRC:A:Pva1:Scalar", name="cam")
    with pytest.raises(NotAnImage, match=r"cam: .*an NTNDArray asked for, it has no dimension"):
        source.connect(5.0)
    source.close()


def test_every_pixel_type_colour_mode_and_codec_arrives_bit_exact(kind, camera, follow, listener, wait_for):
    cam = camera(kind.prefix)
    source = follow(cam.pv)
    assert source.connect(5.0) == cam.geometry
    cam.acquire(5)
    wait_for(lambda: len(listener.frames) >= 5, what="5 frames")
    assert listener.missing == [0] * 5
    if cam.geometry.codec != "jpeg":
        listener.assert_bit_exact(cam.geometry)
        return
    pattern = Pattern(cam.geometry)
    for frame in listener.frames:  # jpeg is lossy: what arrived is what was sent
        np.testing.assert_array_equal(frame.payload, encode(pattern.image(frame.unique_id), "jpeg"))
        assert frame.image.shape == cam.geometry.shape


def test_a_server_that_stands_still_delivers_nothing_and_goes_on_later(beamline, camera, follow, listener, wait_for):
    free = camera("SRC:F")
    source = follow(free.pv)
    wait_for(lambda: len(listener.frames) >= 20, what="20 frames")
    beamline.suspend()
    try:
        wait_for(lambda: time.monotonic() - listener.heard > 0.3, what="silence for 60 frame times")
    finally:
        beamline.resume()
    seen = len(listener.frames)
    wait_for(lambda: len(listener.frames) >= seen + 50, what="frames again")
    assert listener.connections == []  # nobody hung up
    assert source.counters.stale == 1
    listener.assert_all_accounted_for()
    listener.assert_bit_exact(free.geometry)


def test_a_source_can_be_left_while_its_server_stands_still(beamline, camera, follow, listener, wait_for):
    source = follow(camera("SRC:F").pv)
    wait_for(lambda: len(listener.frames) >= 20, what="20 frames")
    beamline.suspend()
    try:
        begun = time.monotonic()
        source.stop()
        assert time.monotonic() - begun < QUICK
        seen = len(listener.frames)
        with pytest.raises(NotConnected, match=r"no first update within 0\.5 s|did not answer"):
            source.start(listener, 0.5)
        source.close()
        assert time.monotonic() - begun < 2 * QUICK
        assert len(listener.frames) == seen
    finally:
        beamline.resume()


def test_a_first_connection_that_takes_its_time_is_not_told_as_a_lost_one(beamline, camera, follow, listener, wait_for):
    free = camera("SRC:F")
    beamline.suspend()
    resume = threading.Timer(0.3, beamline.resume)
    resume.start()
    try:
        source = follow(free.pv)
    finally:
        resume.join()
    wait_for(lambda: len(listener.frames) >= 50, what="50 frames")
    assert (listener.connections, source.counters.disconnects, source.counters.stale) == ([], 0, 1)


@pytest.mark.leaks_by_intention  # the beamline's process is another one afterwards
def test_a_server_that_was_killed_and_started_again_is_followed(beamline, camera, follow, listener, wait_for, caplog):
    free = camera("SRC:F")
    free.put("cam1:ArrayCounter", 100_000)  # so that the new server's count is lower for sure
    wait_for(lambda: free.read("cam1:ArrayCounter_RBV") > 100_003, what="the count to go on from there")
    source = follow(free.pv)
    wait_for(lambda: listener.ids and listener.ids[-1] > 100_020, what="frames before")
    beamline.kill()
    wait_for(lambda: listener.connections == [False], what="to hear that the server is gone")
    assert not source.connected
    before = len(listener.frames)
    beamline.start()
    wait_for(lambda: len(listener.frames) >= before + 50, timeout=30, what="frames after")
    wait_for(lambda: listener.connections == [False, True], what="to hear that the server is back")
    assert (source.counters.disconnects, source.counters.stale) == (1, 2)
    after = listener.ids[before:]
    assert after == list(range(after[0], after[0] + len(after)))
    assert listener.missing == [0] * len(listener.frames)  # unknown; the connection told that
    assert listener.failures == listener.errors == []
    listener.assert_bit_exact(free.geometry)
    assert f"the server of {free.pv} was restarted" in caplog.text


@pytest.mark.leaks_by_intention  # the beamline's process is another one afterwards
def test_a_listener_that_raises_when_the_server_goes_is_told_and_hears_of_the_return(
    beamline, camera, follow, listener, wait_for
):
    def act(what: str) -> None:
        if what == "connection":
            raise _Tripped(what)

    listener.act = act
    follow(camera("SRC:F").pv)
    wait_for(lambda: len(listener.frames) >= 20, what="frames before")
    beamline.restart()
    before = len(listener.frames)
    wait_for(lambda: len(listener.frames) >= before + 50, timeout=30, what="frames after")
    wait_for(lambda: listener.connections == [False, True], what="to hear that the server is back")
    assert {(type(e), str(e)) for e in listener.failures} == {(_Tripped, "connection")}
