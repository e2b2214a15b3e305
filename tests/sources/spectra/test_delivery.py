"""A source of spectra delivers every message once and says what is missing: what its listener hears, over sockets."""

import logging
import time

import numpy as np
import pytest
from spectra_peers import GEOMETRY, PERIOD, SHAPE, START, a_message, values

from beamstream.errors import GeometryChanged, MalformedMessage
from beamstream.frames import Geometry
from beamstream.ops.spectra import Selection
from beamstream.recording import Recording
from beamstream.ring import Ring
from beamstream.sinks.npy import NpySink
from beamstream.window import Window


def test_every_spectrum_is_delivered_bit_exact_with_its_times(publisher, subscribe, listener, wait_for):
    source = subscribe(publisher)
    before = time.time()
    for number in range(300):
        publisher.send(number)
    wait_for(lambda: len(listener.frames) >= 300, what="300 frames")
    assert listener.ids == list(range(300))
    assert listener.missing == [0] * 300
    for number, frame in enumerate(listener.frames):  # all of them still, after the last one came
        np.testing.assert_array_equal(frame.image, values(number))
        assert frame.geometry == GEOMETRY
        assert not frame.payload.flags.writeable
        assert before <= frame.timestamp <= frame.received <= time.time()
        assert frame.attributes["delay"] == pytest.approx(frame.received - frame.timestamp)
        assert frame.attributes["last_block_time"] == pytest.approx(START + number * PERIOD, abs=1e-6)
        assert frame.attributes["time_tag"] == 1
        assert frame.source == source.uri == publisher.address.replace("tcp", "zmq")
    assert (source.counters.frames, source.counters.messages, source.counters.malformed) == (300, 300, 0)
    assert source.period == pytest.approx(PERIOD, abs=1e-5)


def test_what_the_publisher_counted_and_never_came_is_told_as_missing(publisher, subscribe, listener, wait_for):
    subscribe(publisher)
    for number in (10, 11, 15, 16, 3, 4):
        publisher.send(number)
    wait_for(lambda: len(listener.frames) >= 6, what="6 frames")
    assert listener.ids == [10, 11, 15, 16, 3, 4]
    assert listener.missing == [0, 0, 3, 0, None, 0]


def test_without_a_count_jumps_of_the_time_are_told_as_missing(publisher, subscribe, listener, wait_for):
    subscribe(publisher)
    numbers = [*range(8), *range(11, 20)]
    for number in numbers:
        publisher.send(number, counted=False)
    wait_for(lambda: len(listener.frames) >= len(numbers), what="all frames")
    assert listener.ids == numbers
    assert listener.missing == [*[0] * 8, 3, *[0] * 8]


@pytest.mark.parametrize("counted", [True, False])
def test_a_message_that_comes_again_is_told_and_not_delivered_twice(counted, publisher, subscribe, listener, wait_for):
    source = subscribe(publisher)
    for number in range(5):
        for _ in range(3):
            publisher.send(number, counted=counted, timestamp=START + number)
    wait_for(lambda: source.counters.messages >= 15, what="15 messages")
    assert listener.ids == list(range(5))
    assert (listener.repeats, source.counters.repeated) == (10, 10)


def test_equal_headers_over_different_values_are_different_spectra(publisher, subscribe, listener, wait_for):
    subscribe(publisher)
    for number in range(3):
        publisher.send(0, values(number), counted=False, timestamp=START)
    publisher.send(0, np.full(SHAPE, np.nan, "<f4"), counted=False, timestamp=START)
    publisher.send(0, np.full(SHAPE, np.nan, "<f4"), counted=False, timestamp=START)
    wait_for(lambda: listener.repeats, what="the repetition of the last one")
    assert (len(listener.frames), listener.repeats) == (4, 1)


def test_a_publisher_that_begins_again_at_the_same_number_is_a_restart_and_no_repetition(
    publisher, subscribe, listener, wait_for
):
    subscribe(publisher)
    publisher.send(0)
    publisher.send(0, values(1), last_block_time=START + 100)
    wait_for(lambda: len(listener.frames) >= 2, what="2 frames")
    assert listener.missing == [0, None]


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", ">f8", "<i2", "<u2", "<i4", "<u4", "|i1", "|u1"])
def test_every_number_type_arrives_as_it_was_sent(dtype, publisher, subscribe, listener, wait_for):
    subscribe(publisher)
    sent = np.arange(24).reshape(2, 3, 4).astype(dtype)
    publisher.send(0, sent)
    wait_for(lambda: listener.frames, what="a frame")
    assert listener.frames[0].geometry == Geometry((2, 3, 4), dtype)
    np.testing.assert_array_equal(listener.frames[0].image, sent)


def test_a_selection_is_applied_to_what_is_delivered(publisher, subscribe, source_of, repeating, listener, wait_for):
    treat = Selection("I", 4)
    subscribe(publisher, treat=treat)
    sent = values(5)
    publisher.send(0, sent)
    wait_for(lambda: listener.frames, what="a frame")
    expected = ((sent[..., 0] + sent[..., 1]) / 2).reshape(1, 8, 4).mean(axis=2)
    np.testing.assert_allclose(listener.frames[0].image, expected, rtol=1e-6)
    repeating(a_message())
    assert (
        source_of(publisher.address, treat=treat).connect(10.0)
        == listener.frames[0].geometry
        == Geometry((1, 8), "<f4")
    )


def test_messages_that_are_none_are_told_named_once_and_the_good_ones_between_them_arrive(
    publisher, subscribe, listener, wait_for, caplog
):
    source = subscribe(publisher)
    good = a_message()
    wrong = [
        *[[good[0], good[1]]] * 3,
        [*good, b""],
        [*good, *[b"x" * 1000] * 5000],
        [good[0], b"{}", good[2]],
        [good[0], good[1], good[2][:-1]],
        [good[0], good[1].replace(b"<f4", b"|O8"), good[2]],
    ]
    with caplog.at_level(logging.WARNING):
        for number, parts in enumerate(wrong):
            publisher.send_parts(parts)
            publisher.send(number)
        wait_for(lambda: len(listener.frames) >= len(wrong), what="the good ones")
    assert listener.ids == list(range(len(wrong)))
    assert source.counters.malformed_kinds == {"parts": 5, "shape": 1, "size": 1, "dtype": 1}
    assert [type(e) for e in listener.errors] == [MalformedMessage] * 8
    said = [r.getMessage() for r in caplog.records if "malformed" in r.getMessage()]
    assert len(said) == 4
    assert all(text.startswith("spec: ") for text in said)
    assert any("the message has 5003" in str(e) for e in listener.errors)
    assert listener.failures == []


def test_rubbish_from_the_very_first_message_on_is_counted(publisher, source_of, repeating, listener, wait_for):
    repeating([b"data", b"rubbish", b""])
    source = source_of(publisher.address)
    source.start(listener, 10.0)
    wait_for(lambda: source.counters.messages > 10, what="messages")
    source.stop()
    assert source.counters.malformed == source.counters.messages == len(listener.errors)


def test_a_listener_that_calls_a_frame_malformed_has_failed(publisher, subscribe, listener, wait_for):
    source = subscribe(publisher)

    def act(what: str) -> None:
        raise MalformedMessage("not to my liking", kind="taste")

    listener.act = act
    publisher.send(0)
    wait_for(lambda: listener.failures, what="the failure")
    assert (source.counters.frames, source.counters.malformed) == (1, 0)


def test_another_shape_in_mid_stream_is_delivered_as_what_it_is(publisher, subscribe, listener, wait_for):
    subscribe(publisher)
    publisher.send(0)
    publisher.send(1, values(1, (4, 3072, 4)))  # 196 kB where 512 bytes came before
    publisher.send(2, values(2, (1, 16, 1), "<f8"))
    wait_for(lambda: len(listener.frames) >= 3, what="3 frames")
    assert [f.geometry for f in listener.frames] == [
        GEOMETRY,
        Geometry((4, 3072, 4), "<f4"),
        Geometry((1, 16, 1), "<f8"),
    ]
    assert listener.missing == [0] * 3


def test_a_recording_refuses_another_shape_in_mid_stream(publisher, source_of, wait_for, tmp_path):
    ring, ended = Ring("spec-test", slots=16), []
    recording = Recording("spec", ring, NpySink(tmp_path / "r.npy", GEOMETRY, name="spec"), GEOMETRY)
    source = source_of(publisher.address)
    try:
        source.start(recording, 10.0)
        publisher.meet()
        recording.arm(Window(10, ended.append, deadline=20.0))
        for number in range(3):
            publisher.send(number)
        publisher.send(3, values(3, (1, 16, 4)))
        wait_for(lambda: ended, what="the end of the window")
    finally:
        source.close()
        recording.close()
        ring.close()
    assert isinstance(ended[0], GeometryChanged)
    assert recording.ledger.recorded == 3


def test_a_shape_that_cannot_be_selected_from_is_malformed_and_the_stream_goes_on(
    publisher, subscribe, listener, wait_for
):
    source = subscribe(publisher, treat=Selection("V"))
    publisher.send(0)
    publisher.send(1, values(1, (1, 32, 2)))
    publisher.send(2)
    wait_for(lambda: len(listener.frames) >= 2, what="2 frames")
    assert source.counters.malformed_kinds == {"selection": 1}
    assert "the spectra have 2" in str(listener.errors[0])
    assert listener.missing == [0, 1]  # nothing was lost without a word
