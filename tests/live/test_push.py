"""Spectra over the websocket: each once and in order, and nobody waits for a page that is slow."""

import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from live_ring import Writer, get_json
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from beamstream.live import LiveServer


@dataclass
class Batch:
    history: bool
    beam: int
    serial: int
    first: int
    times: np.ndarray
    many: np.ndarray
    values: np.ndarray


def decode(message: bytes) -> Batch:
    """Read a batch as the documentation in `beamstream.live.push` describes it."""
    kind, history, beam, n, m, serial, first = struct.unpack_from("<BBHIIIQ", message)
    assert kind == 1
    assert len(message) == 24 + 8 * n + 4 * n + 4 * n * m
    times = np.frombuffer(message, "<f8", n, 24)
    many = np.frombuffer(message, "<u4", n, 24 + 8 * n)
    values = np.frombuffer(message, "<f4", n * m, 24 + 12 * n).reshape(n, m)
    return Batch(bool(history), beam, serial, first, times, many, values)


@dataclass
class Page:
    """What a page does, without a browser."""

    socket: ClientConnection
    scenes: list[dict[str, Any]] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)

    def hear(self, timeout: float = 5.0, *, ack: bool = True) -> Batch | None:
        """Take one message; return it if it is a batch."""
        message = self.socket.recv(timeout)
        if isinstance(message, str):
            document = json.loads(message)
            (self.scenes if document["is"] == "scene" else self.statuses).append(document)
            return None
        self.batches.append(decode(message))
        if ack:
            self.say(ack=self.batches[-1].serial)
        return self.batches[-1]

    def say(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def until(self, number: int) -> None:
        """Hear until so many spectra have come, rows counted by what they are the mean of."""
        while self.spectra < number:
            self.hear()

    @property
    def spectra(self) -> int:
        return int(sum(batch.many.sum() for batch in self.batches))

    @property
    def values(self) -> np.ndarray:
        return np.concatenate([batch.values for batch in self.batches])


@contextmanager
def page_of(server: LiveServer, query: str = "", **options: Any) -> Iterator[Page]:
    address = f"ws://127.0.0.1:{server.port}/ws?{query}"
    with connect(address, compression=None, max_size=2**26, **options) as socket:
        yield Page(socket)


def put(writer: Writer, number: int, rate: float = 0.0) -> None:
    pace = threading.Event()
    for _ in range(number):
        writer.put()
        if rate:
            pace.wait(1 / rate)


def seen(server: LiveServer, number: int):
    return lambda: get_json(server, "/status")["spectra"] >= number


def test_history_comes_first_and_then_every_spectrum_once_and_in_order(server, writer, wait_for):
    live = server(title="Sun", band=(14.0, 0.5))
    put(writer, 700)
    wait_for(seen(live, 700))
    with page_of(live, "rows=600") as page:
        page.until(600)
        put(writer, 100, rate=400)
        page.until(700)
    (scene,) = page.scenes
    assert (scene["title"], scene["n_beams"], scene["n_channels"], scene["rows"]) == ("Sun", 1, 16, 1200)
    assert scene["frequency"] == [14.0 + 0.5 * i for i in range(16)]
    assert page.batches[0].first == scene["first"] == 100
    np.testing.assert_array_equal(page.values, np.concatenate(writer.values[100:]))
    assert np.concatenate([b.times for b in page.batches]).tolist() == writer.times[100:]
    assert [b.history for b in page.batches][:4] == [True, True, True, False]
    assert all((b.many == 1).all() for b in page.batches)
    assert page.statuses[0]["spectra"] == 700


def test_at_the_recorders_cadence_both_spectra_of_a_gulp_come_when_they_are_there(server, writer):
    live, pace = server(), threading.Event()
    with page_of(live, "interval=0.03") as page:
        for _ in range(3):
            writer.put()
            page.until(len(writer.values))  # before the second is there
            pace.wait(0.15)  # the cadence
            writer.put()
            page.until(len(writer.values))
            pace.wait(0.3)
    np.testing.assert_array_equal(page.values, np.concatenate(writer.values))
    assert [len(b.values) for b in page.batches] == [1] * 6


def test_a_page_that_does_not_acknowledge_gets_means_afterwards_and_none_is_left_out(server, writer, wait_for):
    live = server()
    writer.put()
    wait_for(seen(live, 1))
    with page_of(live) as page:
        while page.hear(ack=False) is None:
            pass
        put(writer, 1000)
        wait_for(seen(live, 1001))
        page.say(ack=page.batches[-1].serial)
        page.until(1001)
    batch = page.batches[1]
    assert (len(page.batches), len(batch.values), batch.first) == (2, 125, 1)
    assert batch.many.tolist() == [8] * 125
    means = np.concatenate(writer.values[1:]).reshape(125, 8, 16).mean(axis=1)
    np.testing.assert_allclose(batch.values, means)
    np.testing.assert_allclose(batch.times, np.reshape(writer.times[1:], (125, 8)).mean(axis=1))


def test_what_a_slow_page_missed_altogether_is_counted(server, writer, wait_for):
    live = server(rows=100)
    writer.put()
    wait_for(seen(live, 1))
    with page_of(live) as page:
        while page.hear(ack=False) is None:
            pass
        put(writer, 250)
        wait_for(seen(live, 251))
        page.say(ack=page.batches[-1].serial)
        page.until(101)
    assert page.batches[1].first == 151
    assert get_json(live, "/status")["skipped"] == 150


def test_a_page_that_does_not_read_disturbs_no_other(server, name, wait_for):
    live = server()
    writer = Writer(name, n_channels=4096, slots=600)
    put(writer, 400)
    wait_for(seen(live, 400))
    with page_of(live, max_queue=1, close_timeout=0.1) as stuck, page_of(live, "interval=0.01") as page:
        wait_for(lambda: get_json(live, "/status")["clients"] == 2)
        page.until(400)
        put(writer, 100, rate=200)
        page.until(500)
        assert stuck.batches == []
    np.testing.assert_array_equal(page.values, np.concatenate(writer.values))
    wait_for(lambda: get_json(live, "/status")["clients"] == 0)
    writer.close()


def test_another_beam_begins_anew_with_its_history(server, name, wait_for):
    live = server()
    writer = Writer(name, n_beams=2)
    put(writer, 10)
    wait_for(seen(live, 10))
    with page_of(live) as page:
        page.until(10)
        page.say(beam=1)
        page.until(20)
        put(writer, 1)
        page.until(21)
    assert [scene["beam"] for scene in page.scenes] == [0, 1]
    assert {b.beam for b in page.batches[1:]} == {1}
    np.testing.assert_array_equal(page.values[10:], [values[1] for values in writer.values])
    writer.close()


def test_another_shape_is_another_scene(server, writer):
    live = server()
    with page_of(live) as page:
        put(writer, 3)
        page.until(3)
        writer.reshape(1, 5)
        put(writer, 3)
        page.until(6)
    assert [scene["n_channels"] for scene in page.scenes][-2:] == [16, 5]
    np.testing.assert_array_equal(page.batches[-1].values[-1], writer.values[-1][0])


def test_pages_that_want_few_updates_get_few(server, writer):
    live = server()
    with page_of(live, "interval=0.3") as page:
        put(writer, 60, rate=100)
        page.until(60)
    assert len(page.batches) < 8
    np.testing.assert_array_equal(page.values, np.concatenate(writer.values))


def test_pages_of_others_and_other_names_get_no_socket(idle):
    with page_of(idle, origin=f"http://127.0.0.1:{idle.port}") as page:
        page.hear()
    for wrong in ({"origin": "http://evil.example"}, {"origin": "null"}):
        with pytest.raises(InvalidStatus, match="403"), page_of(idle, **wrong):
            pass
    with pytest.raises(InvalidStatus, match="403"), connect(f"ws://127.0.0.1:{idle.port}/other"):
        pass


def test_a_page_that_talks_nonsense_is_shown_the_door_and_the_server_goes_on(idle):
    for nonsense in ("[", "{}", '{"ack": "x"}', "17", "x" * 5000, b"\xff\xfe"):
        with page_of(idle) as page:
            page.socket.send(nonsense)
            with pytest.raises(ConnectionClosed):
                page.until(1)
        assert page.socket.close_code in (1007, 1009), nonsense
    assert get_json(idle, "/data") == []
