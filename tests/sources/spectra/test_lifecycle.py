"""Publishers that come and go, sources that start and stop, listeners that misbehave."""

import itertools
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from spectra_peers import PERIOD, SHAPE, Publisher, a_message, values

from beamstream.ops.spectra import Selection
from beamstream.sim.loopback import free_port
from beamstream.sim.spectra_faults import SpectraFaults
from beamstream.sim.spectra_process import SpectraSim
from beamstream.sim.spectrometer import SpectrometerSpec

QUICK = 1.0  # s; what must not wait for anybody, on a busy machine


def test_a_publisher_that_comes_later_is_found(source_of, listener, wait_for):
    port = free_port()
    source, publishers = source_of(f"tcp://127.0.0.1:{port}"), []
    timer = threading.Timer(0.3, lambda: publishers.append(Publisher(port)))
    timer.start()
    try:
        source.start(listener, 10.0)
        publishers[0].meet()
        publishers[0].send(0)
        wait_for(lambda: listener.ids == [0], what="the frame")
    finally:
        timer.join()
        source.close()
        publishers[0].close()


def test_a_publisher_that_goes_and_comes_back_is_followed_again(source_of, listener, wait_for):
    with SpectraSim(SpectrometerSpec(rate=200.0, shape=SHAPE)) as sim:
        source = source_of(sim.address)
        source.start(listener, 10.0)
        wait_for(lambda: len(listener.frames) > 20, what="frames")
        sim.kill()
        wait_for(lambda: listener.connections == [False], what="the publisher to be missed")
        assert not source.connected
        before = len(listener.frames)
        assert None not in listener.missing
        sim.start()
        wait_for(lambda: len(listener.frames) > before + 20, what="frames after the restart")
        assert listener.connections == [False, True]
        assert listener.missing.count(None) == 1  # its count began anew
        assert (source.connected, source.counters.disconnects) == (True, 1)
        scene = sim.spec.scene()
        for frame in listener.frames:
            np.testing.assert_array_equal(frame.image, scene.spectrum(frame.unique_id))


def test_a_publisher_that_goes_before_we_looked_again_is_missed(source_of, publisher, listener, wait_for, monkeypatch):
    monkeypatch.setattr("beamstream.sources.spectra._LOOK", 5.0)
    monkeypatch.setattr("beamstream.sources.spectra_socket._LOOK_UP", 1000)  # ms
    source = source_of(publisher.address)
    starting = threading.Thread(target=source.start, args=(listener, 10.0))
    starting.start()
    publisher.meet()
    wait_for(lambda: source.connected, what="the connection")
    publisher.send(0)
    wait_for(lambda: listener.ids == [0], what="the frame")
    publisher.close()
    starting.join()
    wait_for(lambda: listener.connections == [False], what="the publisher to be missed")
    assert source.counters.disconnects == 1


def test_a_publisher_that_stalls_stays_connected_and_goes_on(source_of, listener, wait_for):
    faults = SpectraFaults(silent_after=20)
    with SpectraSim(SpectrometerSpec(rate=200.0, shape=SHAPE, subscribers=1), faults=faults) as sim:
        source = source_of(sim.address)
        source.start(listener, 10.0)
        wait_for(lambda: len(listener.frames) == 20, what="the stall")
        sim.set_faults()
        wait_for(lambda: len(listener.frames) >= 40, what="frames after it")
    assert listener.connections in ([], [False])  # the last thing that we hear may be its end
    assert listener.ids[:40] == list(range(40))


def test_the_recorders_cadence_without_a_count_shows_no_false_loss(source_of, listener, wait_for):
    with SpectraSim(SpectrometerSpec(gulps=True, sequence=False, shape=SHAPE)) as sim:
        source = source_of(sim.address)
        source.start(listener, 10.0)
        wait_for(lambda: source.period, what="the cadence to be known")
        assert set(listener.missing) == {0}
        assert source.period == pytest.approx(0.51357, abs=1e-4)


def test_two_sources_at_once_do_not_disturb_each_other(source_of, wait_for):
    publishers, heard = [Publisher(), Publisher()], [[], []]

    class Ids:
        def __init__(self, ids: list) -> None:
            self.ids = ids

        def frame(self, frame, missing) -> None:
            self.ids.append((frame.unique_id, missing))

    sources = [source_of(p.address) for p in publishers]
    try:
        for source, publisher, ids in zip(sources, publishers, heard, strict=True):
            source.start(Ids(ids), 10.0)
            publisher.meet()
        for number in range(200):
            publishers[0].send(number)
            publishers[1].send(number * 2)
        wait_for(lambda: all(len(ids) == 200 for ids in heard), what="200 frames each")
        assert heard == [[(n, 0) for n in range(200)], [(2 * n, min(n, 1)) for n in range(200)]]
    finally:
        for each in (*sources, *publishers):
            each.close()


def test_who_is_sent_more_than_a_part_may_have_hangs_up_and_asks_again(publisher, subscribe, listener, wait_for):
    source = subscribe(publisher)
    good = a_message()
    publisher.send_parts([good[0], good[1], b"\0" * 2**23])
    wait_for(lambda: listener.connections == [False, True], what="the connection to be source_of anew")
    publisher.meet()
    publisher.send(5)
    wait_for(lambda: listener.ids == [5], what="the frame after it")
    assert (source.counters.malformed, source.counters.disconnects) == (0, 1)


def test_stopping_is_quick_and_nothing_is_delivered_afterwards(publisher, subscribe, listener):
    source = subscribe(publisher)
    before = time.monotonic()
    source.stop()
    source.stop()
    assert time.monotonic() - before < QUICK
    publisher.send(0)
    assert (listener.frames, source.connected) == ([], False)


def test_stopping_waits_for_a_call_that_is_under_way(publisher, subscribe, listener, wait_for):
    source = subscribe(publisher)
    inside, may_go = threading.Event(), threading.Event()
    listener.act = lambda what: (inside.set(), may_go.wait(10.0))
    publisher.send(0)
    assert inside.wait(10.0)
    stopper = threading.Thread(target=source.stop)
    stopper.start()
    stopper.join(0.1)
    assert stopper.is_alive()
    may_go.set()
    stopper.join(10.0)
    assert not stopper.is_alive()
    assert len(listener.frames) == 1


def test_a_listener_may_stop_its_own_source(publisher, subscribe, listener, wait_for):
    source = subscribe(publisher)
    listener.act = lambda what: source.stop()
    for number in range(5):
        publisher.send(number)
    wait_for(lambda: not source.connected, what="the end")
    assert (len(listener.frames), listener.failures) == (1, [])
    listener.act = lambda what: None
    source.start(listener, 10.0)
    publisher.meet()
    publisher.send(7)
    wait_for(lambda: len(listener.frames) == 2, what="a frame after the second start")


def test_a_listener_that_raises_is_told_and_the_stream_goes_on(publisher, subscribe, listener, wait_for):
    subscribe(publisher)

    def act(what: str) -> None:
        raise RuntimeError(f"in {what}")

    listener.act = act
    publisher.send(0)
    publisher.send(0)
    publisher.send_parts([b"data"])
    publisher.close()
    wait_for(lambda: len(listener.failures) == 4, what="every call to have failed")
    assert [str(e) for e in listener.failures] == ["in frame", "in repeated", "in malformed", "in connection"]


def test_counters_and_numbers_begin_anew_with_each_start(publisher, subscribe, listener, wait_for):
    source = subscribe(publisher)
    for number in range(5):
        publisher.send(number, counted=False)
    wait_for(lambda: len(listener.frames) == 5, what="5 frames")
    source.start(listener, 10.0)
    publisher.meet()
    publisher.send(1000, counted=False)
    wait_for(lambda: len(listener.frames) == 6, what="the frame")
    assert (source.counters.frames, listener.ids[-1], listener.missing[-1]) == (1, 0, 0)
    assert source.period == pytest.approx(PERIOD, abs=1e-5)  # what was learnt is still the best that is known


def test_another_selection_counts_from_the_next_start_on(publisher, subscribe, listener, wait_for):
    source = subscribe(publisher)
    source.treat = Selection("I")
    publisher.send(0)
    wait_for(lambda: listener.frames, what="a frame")
    source.start(listener, 10.0)
    publisher.meet()
    publisher.send(1)
    wait_for(lambda: len(listener.frames) == 2, what="another")
    assert [f.geometry.shape for f in listener.frames] == [SHAPE, (1, 32)]


def test_what_came_while_the_listener_was_busy_is_delivered_afterwards(publisher, subscribe, listener, wait_for):
    subscribe(publisher)
    may_go = threading.Event()
    listener.act = lambda what: may_go.wait(10.0)
    for number in range(2000):
        publisher.send(number)
    may_go.set()
    wait_for(lambda: len(listener.frames) == 2000, what="2000 frames")
    assert listener.missing == [0] * 2000


def test_what_finds_no_room_is_dropped_by_the_publisher_and_accounted_for_here(source_of, listener, wait_for):
    publisher, may_go, me = Publisher(high_water=10), threading.Event(), psutil.Process()
    source = source_of(publisher.address, memory=10 * 2**20)
    listener.act = lambda what: may_go.wait(20.0)
    data, number = values(0, (1, 3072, 4)), 4000  # 197 MB
    try:
        source.start(listener, 10.0)
        publisher.meet()
        before = me.memory_info().rss
        for n in range(number):
            publisher.send(n, data)
        grown = me.memory_info().rss - before
        may_go.set()
        later = itertools.count(number)
        wait_for(lambda: publisher.send(next(later), data) or listener.ids[-1] >= number, 30, "one sent after that")
    finally:
        source.close()
        publisher.close()
    assert grown < 60e6  # what waits at both ends, and what malloc makes of it
    assert 160 <= len(listener.frames) < number
    assert len(listener.frames) + sum(listener.missing) == listener.ids[-1] + 1
    assert source.counters.malformed == 0


def test_starting_and_stopping_again_and_again_leaks_nothing(publisher, source_of, repeating, listener):
    repeating(a_message())
    source = source_of(publisher.address)
    me = psutil.Process()

    def cycles(number: int) -> tuple[int, int, int]:
        for _ in range(number):
            source.start(listener, 10.0)
            source.stop()
            source.connect(10.0)
        return me.num_threads(), len(list(Path("/proc/self/fd").iterdir())), me.memory_info().rss

    before = cycles(5)
    after = cycles(50)
    assert after[:2] == before[:2]
    assert after[2] < before[2] + 20e6
