"""Spectra among the streams of an instrument, in a real hub: the numbers, the axis, and where they come from."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_ring import Writer
from websockets.sync.client import connect

from beamstream.frames import Frame, Geometry
from beamstream.live.hub_settings import HubSettings
from beamstream.live.page import LivePage
from beamstream.ops.spectra import Band, Selection
from beamstream.ring import Ring
from beamstream.sim.spectra_process import SpectraSim
from beamstream.sim.spectrometer import SpectrometerSpec

NOBODY = "tcp://127.0.0.1:9"
_numbers = count()
NAMES = [f"spec{os.getpid()}-{i}" for i in range(6)]


@pytest.fixture(scope="module")
def page() -> Iterator[LivePage]:
    """A hub with a stream for each test: rings that others write."""
    about = {"kind": "zmq_spectrometer", "channel_averaging": 4}
    with LivePage(HubSettings(streams=[{"name": name, "about": about} for name in NAMES], port=0)) as page:
        yield page


@pytest.fixture
def name() -> str:
    return NAMES[next(_numbers)]


def get(page: LivePage, path: str) -> tuple[int, Any]:
    """Return status and JSON of one request."""
    try:
        with urllib.request.urlopen(page.url + path, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def stream_of(page: LivePage, name: str) -> dict[str, Any]:
    """Return what `/streams` says about one."""
    (found,) = [stream for stream in get(page, "streams")[1] if stream["name"] == name]
    return found


def test_a_streams_spectra_are_answered_below_its_own_address(page, name, wait_for):
    writer = Writer(name)
    try:
        for _ in range(5):
            writer.put()
        at = f"streams/{name}/"
        wait_for(lambda: len(get(page, f"{at}refresh")[1]["data"]) == 5, what="all spectra")
        assert np.array_equal(get(page, f"{at}refresh")[1]["data"], [values[0] for values in writer.values])
        assert np.array_equal(get(page, f"{at}data")[1], writer.values[-1][0])
        assert get(page, f"{at}status")[1]["n_channels"] == 16
        assert get(page, f"{at}refresh?n_frames=x")[0] == 422
        assert get(page, f"{at}nothing")[0] == 404
        said = stream_of(page, name)
        assert (said["kind"], said["state"], said["words"], said["lost"]) == ("spectra", "live", "live", 0)
        assert said["ring"] == {"start": 0, "stop": 5, "capacity": 2048}
    finally:
        writer.close()


def test_the_axis_is_that_of_the_channels_that_are_left_after_averaging(page, name, wait_for):
    writer = Writer(name)
    try:
        writer.put()
        wait_for(lambda: stream_of(page, name)["spectra"] == 1)
        with connect(f"{page.url.replace('http', 'ws')}streams/{name}/ws") as socket:
            scene = next(said for said in (json.loads(socket.recv(5)) for _ in range(3)) if said["is"] == "scene")
        expected = Selection("I", 4).axis(Band().axis(64))
        assert (scene["title"], len(scene["frequency"])) == (name, 16)
        assert np.allclose(scene["frequency"], expected, atol=1e-9)
    finally:
        writer.close()


def test_of_spectra_with_all_polarizations_stokes_i_is_shown(page, name, wait_for):
    ring = Ring(name, slots=8)
    try:
        values = np.arange(2 * 16 * 4, dtype="<f4").reshape(2, 16, 4)
        now = time.time()
        ring.put(Frame(values, Geometry(values.shape, "<f4"), 1, now, now))
        wait_for(lambda: get(page, f"streams/{name}/data")[1] != [])
        for beam in (0, 1):
            shown = get(page, f"streams/{name}/data?beam={beam}")[1]
            assert np.array_equal(shown, Selection("I")(values)[beam])
    finally:
        ring.close()


OTHER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from live_ring import Writer
writer = Writer(sys.argv[2])
writer.values, writer.times = [None] * int(sys.argv[3]), []
for line in sys.stdin:
    writer.put()
    print(len(writer.values), flush=True)
writer.close()
"""


def test_what_another_session_goes_on_with_is_added_and_nothing_comes_twice(page, name, wait_for):
    writer = Writer(name)
    at = f"streams/{name}/"
    numbers = lambda: [row[0] for row in get(page, f"{at}refresh")[1]["data"]]  # noqa: E731
    for _ in range(4):
        writer.put()
    wait_for(lambda: numbers() == [0, 1, 2, 3])
    writer.close()
    command = [sys.executable, "-c", OTHER, str(Path(__file__).parent), name, "4"]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        for number in range(4, 7):
            other.stdin.write("\n")
            other.stdin.flush()
            assert other.stdout.readline() == f"{number + 1}\n"
        wait_for(lambda: numbers() == list(range(7)), what="the other session's spectra")
        assert stream_of(page, name)["lost"] == 0
    finally:
        other.stdin.close()
        other.wait(10)
        other.stdout.close()


def test_without_a_session_spectra_are_fetched_while_somebody_asks_and_who_is_missing_is_named(wait_for):
    live, none = f"live{os.getpid()}", f"none{os.getpid()}"
    with SpectraSim(SpectrometerSpec(shape=(1, 64, 4), rate=40)) as publisher:
        places = {live: publisher.address, none: NOBODY}
        abouts = {name: {"kind": "zmq_spectrometer", "address": address} for name, address in places.items()}
        streams = [{"name": name, "about": about} for name, about in abouts.items()]
        with LivePage(HubSettings(streams=streams, port=0)) as page:
            assert get(page, f"streams/{none}/data") == (200, [])  # somebody wants it
            wait_for(lambda: len(get(page, f"streams/{live}/refresh")[1]["data"]) > 10, timeout=20, what="spectra")
            said = stream_of(page, live)
            assert (said["connected"], said["n_channels"], said["trouble"]) == (True, 64, "")
            wait_for(lambda: "127.0.0.1:9" in stream_of(page, none)["words"], timeout=20)
            assert stream_of(page, none)["state"] == "waiting"
