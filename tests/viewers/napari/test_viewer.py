"""The viewer itself, real napari on a display without a screen: what is shown, and what it lets be done to it."""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zmq
from numpy.typing import NDArray
from PIL import Image

from beamstream.errors import BeamstreamError
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.ops.picture import picture_of
from beamstream.ring import Ring
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.viewers.napari import starting
from beamstream.viewers.napari.address import alive, read_address
from beamstream.viewers.napari.line import Line
from beamstream.viewers.napari.messages import MOST_BYTES
from beamstream.watching.streams import StreamSpec

GREY = Geometry((96, 128), "<u2")
DATASET = "/entry/data/data"


def frame(image: NDArray[Any], number: int, geometry: Geometry = GREY) -> Frame:
    now = time.time()
    return Frame(np.ascontiguousarray(image), geometry, number, now, now)


def spot(number: int, shape: tuple[int, int] = (96, 128), bright: int = 4000) -> NDArray[np.uint16]:
    """A frame whose mean tells its number, with a bright square."""
    image = np.full(shape, 100 + 10 * number, np.uint16)
    image[:16, :16] = bright
    return image


@pytest.fixture(scope="module", autouse=True)
def empty(address) -> None:
    """Begin without the layers of other modules: they lie elsewhere, and the canvas shows all."""
    starting.close()


@pytest.fixture
def ring() -> Iterator[Ring]:
    ring = Ring("nap", memory=16 * 2**20)
    yield ring
    ring.close()


@pytest.fixture
def recorded(tmp_path) -> Iterator[Callable[..., Path]]:
    """Record frames whose means are their numbers times ten and a bit."""
    sinks: list[Hdf5Sink] = []

    def record(count: int, name: str = "nap") -> Path:
        path = tmp_path / f"{name}.h5"
        sink = Hdf5Sink(path, GREY, name=name)
        sinks.append(sink.__enter__())
        sink.write([frame(spot(n), n) for n in range(count)])
        return path

    yield record
    for sink in sinks:
        sink.__exit__(None, None, None)


def state(line: Line) -> dict[str, Any]:
    return line.ask("state")["state"]


def source(line: Line, run: str, key: str = "nap_image", **fields: Any) -> None:
    about = {"name": key.removesuffix("_image"), "shape": [96, 128], "dtype": "<u2", "axes": [{"name": "time"}]}
    line.ask("source", run=run, key=key, **(about | fields))


def rows(line: Line, run: str, path: Path, stop: int, key: str = "nap_image") -> None:
    line.ask("rows", run=run, key=key, path=str(path), dataset=DATASET, stop=stop)


def mean(number: int) -> float:
    return float(spot(number).mean())


def test_its_address_is_for_its_user_alone_and_it_is_found_again(line, address):
    assert stat.S_IMODE(address.stat().st_mode) == 0o600
    pid = line.ask("hello")["pid"]
    with starting.find_or_start() as other:
        assert other.ask("hello")["pid"] == pid
    address.chmod(0o644)
    try:
        assert read_address(address) is None  # somebody else may have written it
    finally:
        address.chmod(0o600)
    again = subprocess.run(
        [sys.executable, "-m", "beamstream.viewers.napari"], capture_output=True, text=True, timeout=60, check=False
    )
    assert again.returncode == 1
    assert f"one runs already, pid {pid}" in again.stderr


def test_a_ring_is_drawn_into_one_layer_whose_contrast_stays(line, ring, wait_for, tmp_path):
    line.ask("watch", name="nap", about={})
    ring.put(frame(spot(0), 0))
    wait_for(lambda: "nap" in state(line)["layers"], what="a layer")
    first = state(line)["layers"]["nap"]
    low, high = first["contrast"]
    assert low == 100
    assert 100 < high <= 4000
    ring.put(frame(spot(50), 1))
    wait_for(lambda: state(line)["layers"]["nap"]["mean"] == pytest.approx(mean(50)), what="the next frame")
    later = state(line)["layers"]["nap"]
    assert (later["id"], later["contrast"]) == (first["id"], first["contrast"])
    line.ask("picture", path=str(tmp_path / "canvas.png"), canvas_only=True, timeout=10)
    canvas = np.asarray(Image.open(tmp_path / "canvas.png").convert("L")).astype(int)
    assert canvas.max() > 240  # the square
    expected = 255 * (600 - low) / (high - low)
    centre = canvas[canvas.shape[0] // 2 - 5 :, canvas.shape[1] // 2 - 5 :][:10, :10]
    assert abs(centre.mean() - expected) < 12
    line.ask("forget", name="nap")


def test_a_frame_soon_after_another_is_on_the_screen_before_napari_has_looked_at_it(line, ring, wait_for, tmp_path):
    line.ask("watch", name="nap", about={})
    ring.put(frame(spot(0), 0))
    wait_for(lambda: "nap" in state(line)["layers"], what="a layer")
    low, high = state(line)["layers"]["nap"]["contrast"]
    for number, value in enumerate((low, high, low, high), start=1):
        drawn = state(line)["streams"]["nap"]["drawn"]
        ring.put(frame(np.full(GREY.shape, value, "<u2"), number))
        wait_for(lambda d=drawn: state(line)["streams"]["nap"]["drawn"] > d, what="the next drawing")
        path = tmp_path / f"{number}.png"
        line.ask("picture", path=str(path), canvas_only=True, timeout=10)
        canvas = np.asarray(Image.open(path).convert("L"))
        assert canvas[canvas.shape[0] // 2, canvas.shape[1] // 2] == (255 if value == high else 0)
    wait_for(lambda: state(line)["layers"]["nap"]["mean"] == high, what="napari to look")
    line.ask("forget", name="nap")


def test_a_stream_that_never_pauses_is_drawn_all_the_time(line, ring, wait_for):
    over = threading.Event()

    def feed() -> None:
        number = 0
        while not over.wait(0.004):
            number += 1
            ring.put(frame(spot(number % 50), number))

    line.ask("watch", name="nap", about={})
    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        before = state(line)
        for more in (10, 20, 30):
            drawn = before["streams"]["nap"]["drawn"] + more
            wait_for(lambda d=drawn: state(line)["streams"]["nap"]["drawn"] >= d, timeout=20, what="drawings")
        assert state(line)["canvas"] >= before["canvas"] + 30  # on the screen, not only in the layer
    finally:
        over.set()
        feeding.join()
    line.ask("forget", name="nap")


def test_another_geometry_and_colours_are_shown_in_the_same_place(line, ring, wait_for):
    line.ask("watch", name="nap", about={})
    ring.put(frame(spot(3), 0))
    wait_for(lambda: state(line)["layers"]["nap"]["shape"] == [96, 128])
    large = Geometry((200, 80), "<f4")
    ring.put(frame(np.full((200, 80), 0.25, np.float32), 1, large))
    wait_for(lambda: state(line)["layers"]["nap"]["shape"] == [200, 80], what="the new shape")
    assert state(line)["layers"]["nap"]["mean"] == pytest.approx(0.25)
    colours = Geometry((3, 40, 50), "|u1", ColorMode.RGB3)
    image = np.zeros((3, 40, 50), np.uint8)
    image[1] = 90
    ring.put(frame(image, 2, colours))
    wait_for(lambda: state(line)["layers"]["nap"]["shape"] == [40, 50, 3], what="colours")
    assert state(line)["layers"]["nap"]["mean"] == pytest.approx(30)
    line.ask("forget", name="nap")


@pytest.mark.parametrize(
    ("shape", "words"), [((500,), "curve of 500 values, 0 to 499"), ((5, 96, 128), "plane 2 of 5")], ids=str
)
def test_of_traces_and_stacks_a_curve_or_a_plane_is_shown_and_said(line, wait_for, tmp_path, shape, words):
    geometry, image = Geometry(shape, "<u2"), np.arange(np.prod(shape)).reshape(shape).astype("<u2")
    name = f"axes{len(shape)}"
    mean_of = lambda: state(line)["layers"].get(name, {}).get("mean")  # noqa: E731
    line.ask("watch", name=name, about={})
    with closing(Ring(name, memory=16 * 2**20)) as ring:
        ring.put(frame(image, 0, geometry))
        expected = picture_of(image).image.astype(float).mean()
        wait_for(lambda: mean_of() == pytest.approx(expected), what="the live frame")
        assert words in state(line)["words"]
        line.ask("forget", name=name)
    with Hdf5Sink(tmp_path / "run.h5", geometry, name=name) as sink:
        sink.write([frame(image // (number + 1), number, geometry) for number in range(3)])
    line.ask("begin", run=name, scan_id=1, plan="count", time=0.0)
    source(line, name, key=f"{name}_image", shape=list(shape))
    rows(line, name, tmp_path / "run.h5", 3, key=f"{name}_image")
    last = picture_of(image // 3).image
    wait_for(lambda: mean_of() == pytest.approx(last.astype(float).mean()), what="the last row")
    assert state(line)["layers"][name]["shape"] == [3, *last.shape]
    line.ask("end", run=name, words="")


def test_a_hot_pixel_and_nan_leave_the_contrast_to_the_field(line, wait_for):
    image = np.linspace(100, 200, 96 * 128).reshape(96, 128).astype("<f4")
    image[3, 4], image[5, 6], image[7, 8], image[9:20, 9:20] = 1e9, np.inf, -np.inf, np.nan
    line.ask("watch", name="hot", about={})
    with closing(Ring("hot", memory=16 * 2**20)) as ring:
        ring.put(frame(image, 0, Geometry((96, 128), "<f4")))
        wait_for(lambda: state(line)["layers"].get("hot", {}).get("contrast") not in (None, [0, 1]), what="a contrast")
        low, high = state(line)["layers"]["hot"]["contrast"]
        line.ask("forget", name="hot")
    assert 100 <= low < 103  # the first rows are those that have the NaN
    assert 198 < high <= 200


def test_a_flight_is_a_stack_that_is_read_where_one_looks(line, recorded, wait_for, tmp_path):
    began = time.time() - 1
    path = recorded(40)
    line.ask("begin", run="flight", scan_id=7, plan="record", time=began)
    source(line, "flight")
    rows(line, "flight", path, 20)
    shown = state(line)
    assert shown["axes"] == ["time", "row", "column"]
    assert shown["step"][0] == 19
    assert shown["layers"]["nap"]["mean"] == pytest.approx(mean(19))
    rows(line, "flight", path, 40)
    shown = state(line)
    assert shown["step"][0] == 39
    assert 1.0 <= float(shown["label"].split()[1]) < time.time() - began
    assert shown["label"].endswith("s · frame 40 of 40")
    assert state(line)["streams"]["nap"]["read"] <= 10  # of 40: what was looked at
    line.ask("end", run="flight", words="success")
    assert state(line)["layers"]["nap"]["mean"] == pytest.approx(mean(39))


def test_a_scan_has_its_motors_as_sliders_and_says_where_one_is(line, recorded, wait_for):
    path = recorded(6)
    line.ask("begin", run="grid", scan_id=8, plan="grid_scan")
    axes = [{"name": "theta", "size": 2}, {"name": "x", "size": 3}]
    units = {"theta": "deg", "x": "mm"}
    source(line, "grid", axes=axes, units=units, pixel_size=[2.0, 2.0], pixel_units="um")
    for row in range(5):
        rows(line, "grid", path, row + 1)
        place = [row // 3, row % 3]
        values = {"theta": 12.5 + place[0], "x": 0.1 * place[1]}
        line.ask("at", run="grid", key="nap_image", places=[{"row": row, "place": place, "values": values}])
    shown = state(line)
    assert (shown["axes"], shown["steps"][:2]) == (["theta", "x", "row", "column"], [2, 3])
    assert shown["step"][:2] == [1, 1]
    assert shown["layers"]["nap"]["scale"] == [1, 1, 2, 2]
    assert shown["layers"]["nap"]["units"][2:] == ["micrometer", "micrometer"]
    assert shown["label"] == "theta 13.5 deg · x 0.1 mm"
    line.ask("end", run="grid")


def test_a_moved_slider_stays_until_the_newest_is_wanted_again(line, recorded, wait_for):
    path = recorded(30)
    line.ask("begin", run="stay")
    source(line, "stay")
    rows(line, "stay", path, 10)
    line.ask("go", axis=0, step=4)
    shown = state(line)
    assert (shown["following"], shown["step"][0]) == (False, 4)
    assert shown["layers"]["nap"]["mean"] == pytest.approx(mean(4))
    rows(line, "stay", path, 20)
    shown = state(line)
    assert (shown["steps"][0], shown["step"][0]) == (20, 4)
    assert "N follows the newest" in shown["words"]
    line.ask("follow")
    assert state(line)["step"][0] == 19
    rows(line, "stay", path, 30)
    assert state(line)["step"][0] == 29
    line.ask("end", run="stay")


def test_several_detectors_have_a_slider_and_only_recorded_rows_are_shown_if_asked(line, recorded, ring, wait_for):
    first, second = recorded(6), recorded(3, "other")
    line.ask("begin", run="two")
    source(line, "two")
    source(line, "two", key="other_image")
    rows(line, "two", first, 6)
    rows(line, "two", second, 3, key="other_image")
    ring.put(frame(spot(99), 1000))
    shown = state(line)
    assert shown["axes"][:2] == ["detector", "time"]
    assert shown["steps"][:2] == [2, 6]
    assert shown["label"].startswith("nap · frame 6")
    line.ask("go", axis=0, step=1)
    shown = state(line)
    assert (shown["following"], shown["step"][:2]) == (True, [1, 2])  # the newest of that one
    assert shown["label"].startswith("other · frame 3")
    assert shown["layers"]["other"]["mean"] == pytest.approx(mean(2))
    line.ask("end", run="two")


def test_the_next_run_has_other_axes_in_the_same_layers(line, recorded):
    path = recorded(4)
    line.ask("begin", run="before")
    source(line, "before", axes=[{"name": "theta", "size": 2}, {"name": "x", "size": 2}])
    source(line, "before", key="other_image")
    line.ask("end", run="before")
    line.ask("begin", run="after")
    source(line, "after")
    rows(line, "after", path, 4)
    shown = state(line)
    assert shown["axes"] == ["time", "row", "column"]
    assert shown["layers"]["nap"]["shape"] == [4, 96, 128]
    assert shown["layers"]["other"]["shape"] == [96, 128]
    rows(line, "before", path, 4)  # too late; nobody is hurt
    line.ask("end", run="after")


def test_live_frames_are_shown_over_the_newest_recorded_one(line, recorded, ring, wait_for):
    path = recorded(5)
    ring.put(frame(spot(0), 0))
    line.ask("begin", run="live")
    source(line, "live", ring="nap", owner=os.getpid())
    rows(line, "live", path, 5)

    def shows(number: int) -> bool:
        return state(line)["layers"]["nap"]["mean"] == pytest.approx(mean(number))

    def fed() -> bool:  # again and again: it looks for the ring now and then
        ring.put(frame(spot(77), 77))
        return shows(77)

    wait_for(fed, what="the live frame")
    line.ask("go", axis=0, step=1)
    wait_for(lambda: shows(1), what="the recorded frame")
    ring.put(frame(spot(78), 78))
    assert shows(1)
    line.ask("follow")
    wait_for(lambda: shows(4) or fed(), what="the newest")
    line.ask("end", run="live")
    wait_for(lambda: shows(4), what="the last recorded frame")


def test_regions_points_and_numbers_lie_on_the_images(line, recorded):
    path = recorded(2)
    line.ask("begin", run="marks")
    source(line, "marks")
    rows(line, "marks", path, 2)
    line.ask("regions", run="marks", key="nap_image", regions={"spot": [10, 20, 30, 40]})
    points = {"do": "points", "run": "marks", "key": "nap_image"}
    for row in (3.0, 5.5):
        line.ask(**points, points={"centroid": [row, 7.0]}, table={"mean": 10 * row})
    layers = state(line)["layers"]
    assert layers["nap regions"]["data"] == [[[9.5, 19.5], [9.5, 59.5], [39.5, 59.5], [39.5, 19.5]]]
    assert layers["nap regions"]["features"] == {"name": ["spot"]}
    assert layers["nap points"]["data"] == [[5.5, 7.0]]
    assert layers["nap points"]["features"] == {"name": ["centroid"], "mean": [55.0]}
    line.ask("end", run="marks")


def test_regions_are_as_thick_in_the_second_run_as_in_the_first(line):
    widths = []
    for run in ("thick", "again"):
        line.ask("begin", run=run)
        source(line, run, key="big_image", shape=[1500, 1200])
        line.ask("regions", run=run, key="big_image", regions={"spot": [10, 20, 300, 400]})
        widths.append(state(line)["layers"]["big regions"]["widths"])
        line.ask("end", run=run)
    assert widths == [[5.0], [5.0]]


def test_live_images_of_another_shape_than_the_last_run_are_announced_in_words(line, ring, recorded, wait_for):
    path = recorded(2)
    line.ask("begin", run="small")
    source(line, "small")
    rows(line, "small", path, 2)
    line.ask("end", run="small")
    line.ask("watch", name="nap", about={})
    big = Geometry((200, 300), "<u2")
    ring.put(frame(np.zeros(big.shape, np.uint16), 9, big))
    wait_for(lambda: "live images are other ones, " in state(line)["words"], what="words about it")
    assert state(line)["layers"]["nap"]["shape"] == [2, 96, 128]
    ring.put(frame(spot(3), 10))
    wait_for(lambda: "other ones" not in state(line)["words"], what="the words to go with what they were about")
    ring.put(frame(np.zeros(big.shape, np.uint16), 11, big))
    wait_for(lambda: "live images are other ones, " in state(line)["words"], what="words about it again")
    line.ask("begin", run="next")
    source(line, "next", shape=list(big.shape))
    assert "other ones" not in state(line)["words"]
    line.ask("end", run="next")
    line.ask("forget", name="nap")
    line.ask("begin", run="as before")
    source(line, "as before")
    line.ask("end", run="as before")


@pytest.mark.parametrize(
    "said",
    [
        {"do": "dance"},
        {"do": "rows", "run": "x", "key": "y", "path": "p", "dataset": "d", "stop": -1},
        {"do": "rows", "run": "x", "key": "y", "path": "p", "dataset": "d", "stop": 1, "more": 1},
        {"do": "source", "run": "x", "key": "y", "name": "n", "shape": [2**40, 2], "dtype": "<u2", "axes": []},
        {"do": "source", "run": "x", "key": "y", "name": "n", "shape": [2, 2], "dtype": "O", "axes": [{"name": "t"}]},
        {"do": "at", "run": "x", "key": "y", "places": [{"row": 0, "place": [1] * 20}]},
        {"do": "points", "run": "x", "key": "y", "points": {"a": [1, "nan"]}},
        {"do": "watch", "name": "a/../b", "about": {}},
        {"do": "picture", "path": "/etc/passwd"},
        {"do": ["hello"]},
    ],
)
def test_a_message_that_is_none_is_refused_in_words(line, said):
    with pytest.raises(BeamstreamError, match=r"viewer|stream"):
        line.ask(**said)
    assert line.ask("hello")["pid"] == line.address.pid


def test_what_the_command_line_names_is_watched(line, ring, wait_for):
    starting.show(SimpleNamespace(sources=[StreamSpec("nap")]))
    starting.show(SimpleNamespace(source="ring:nap"))  # again, another way: the same layer
    number = state(line)["streams"]["nap"]["drawn"]

    def fed() -> bool:
        ring.put(frame(spot(5), 5))
        return state(line)["streams"]["nap"]["drawn"] > number

    wait_for(fed, what="a drawing")
    assert list(state(line)["layers"]).count("nap") == 1
    ring.close()
    wait_for(lambda: "nobody writes a ring of this name" in state(line)["words"], what="words about it")
    line.ask("forget", name="nap")


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"null", b"\x80\x04N.", b"[" * 100_000, b'{"do": "close"}'])
def test_who_does_not_know_the_secret_is_not_answered(line, text):
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.set(zmq.LINGER, 0)
        socket.connect(f"tcp://127.0.0.1:{line.address.port}")
        socket.send(text)
        socket.send(json.dumps({"do": "close", "token": "x" * 43}).encode())
        assert line.ask("hello")["pid"] == line.address.pid
        assert not socket.poll(50)


def test_a_message_that_is_too_large_cuts_off_only_who_sent_it(line, address):
    with Line(line.address) as other, pytest.raises((TimeoutError, BeamstreamError)):
        other.ask("hello", timeout=0.3, more="x" * (MOST_BYTES + 1))
    assert line.ask("hello")["pid"] == line.address.pid


def test_a_file_that_is_gone_is_said_and_harms_nothing(line, tmp_path, recorded):
    line.ask("begin", run="gone")
    source(line, "gone")
    with pytest.raises(BeamstreamError, match=r"gone\.h5"):
        rows(line, "gone", tmp_path / "gone.h5", 3)
    rows(line, "gone", recorded(3), 3)
    assert state(line)["layers"]["nap"]["mean"] == pytest.approx(mean(2))
    line.ask("end", run="gone")


def test_it_closes_when_asked_and_its_address_goes_with_it(line, address):
    pid = line.address.pid
    assert starting.close()
    assert not address.exists()
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(pid)
    assert not starting.close()
    with pytest.raises(BeamstreamError, match="none runs"):
        starting.find_or_start(start=False)


def test_without_a_display_it_is_said_what_is_missing(address, monkeypatch):
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(BeamstreamError, match="needs a display"):
        starting.find_or_start()


def test_one_that_cannot_start_is_quoted(address, monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "nonsense")
    with pytest.raises(BeamstreamError, match="nonsense"):
        starting.find_or_start(timeout=30)
