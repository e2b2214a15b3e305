"""The page of images in a real Chromium: pixels on the canvas against the frame that was sent, and all one can do."""

import base64
import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hub_rig import KEY, Camera

from beamstream.live.hub_settings import HubSettings
from beamstream.live.image_wire import HEAD
from beamstream.live.page import LivePage

SHAPE = (60, 100)


def gradient(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    """Return an image in which all neighbours differ; values 0 to 255."""
    rows, cols = np.mgrid[0 : shape[0], 0 : shape[1]]
    return (rows * 7 + cols * 3 + seed * 31) % 256


@pytest.fixture(scope="module")
def cameras() -> Iterator[dict[str, Camera]]:
    made = {
        "grey": Camera("page-grey", SHAPE, "<u2"),
        "bytes": Camera("page-bytes", SHAPE, "|u1"),
        "float": Camera("page-float", SHAPE, "<f4"),
        "colour": Camera("page-colour", (*SHAPE, 3), "|u1"),
        "large": Camera("page-large", (1600, 2400), "<u2", slots=4),
        "planes": Camera("page-planes", SHAPE, "|u1"),
    }
    for name, camera in made.items():  # the shared memory is there from now on
        camera.put(np.zeros((5, *SHAPE), "|u1") if name == "planes" else None)
    yield made
    for camera in made.values():
        camera.close()


@pytest.fixture(scope="module")
def hub(cameras, tmp_path_factory) -> Iterator[LivePage]:
    streams = [{"name": camera.name, "about": {}} for camera in cameras.values()]
    streams += [{"name": "page-nothing", "about": {}}, {"name": "page-changes", "about": {}}]
    place = tmp_path_factory.mktemp("hub")
    settings = HubSettings(
        streams, port=0, key=KEY, recordings=str(place / "recordings"), references=str(place / "references")
    )
    with LivePage(settings) as page:
        yield page


@pytest.fixture(scope="module")
def screen(browser) -> Any:
    """One tab for all tests: each new one costs a process."""
    return browser.new_page(viewport={"width": 1300, "height": 800}, color_scheme="dark")


@pytest.fixture
def tab(screen, wait_for) -> Iterator[Any]:
    from image_in_browser import ImageTab

    tab = ImageTab(screen, wait_for)
    yield tab
    assert tab.errors == []


@pytest.fixture
def visit(tab, hub, cameras) -> Callable[..., np.ndarray]:
    """Put an image into a stream, open its page, wait for it, one pixel for one."""

    def visit(which: str = "grey", image: np.ndarray | None = None, **settings: Any) -> np.ndarray:
        camera = cameras[which]
        sent = camera.put(gradient(camera.shape).astype(camera.dtype) if image is None else image)
        tab.visit(f"{hub.url}streams/{camera.name}/", **settings)
        tab.shown(camera.number - 1)
        tab.button("One pixel for one pixel").click()
        return sent

    return visit


@pytest.mark.parametrize("which", ["grey", "bytes", "float"])
def test_the_canvas_shows_the_values_that_were_sent(which, visit, tab):
    sent = visit(which)
    tab.becomes(sent, which)


def test_colours_are_shown_as_they_are(cameras, visit, tab):
    image = np.stack([gradient(), gradient(seed=2), 255 - gradient(seed=5)], axis=2).astype(np.uint8)
    visit("colour", image)
    tab.becomes(image)


def test_every_way_to_lie_is_that_of_numpy(visit, tab):
    sent = visit()
    keyboard = tab.tab.keyboard
    for key, turned in (
        ("h", sent[:, ::-1]),
        ("v", sent[::-1, ::-1]),
        ("t", sent[::-1, ::-1].T),
        ("r", np.rot90(sent[::-1, ::-1].T, -1)),
        ("r", np.rot90(sent[::-1, ::-1].T, -2)),
        ("t", np.rot90(sent[::-1, ::-1].T, -2).T),
    ):
        keyboard.press(key)
        tab.becomes(turned, key)


def test_a_range_by_hand_and_its_logarithm_and_a_palette_need_no_new_frame(visit, tab, wait_for):
    matplotlib = pytest.importorskip("matplotlib")
    sent = visit("grey", (gradient() * 16).astype("<u2")).astype(float)
    tab.becomes(np.minimum(sent, 255))
    tab.tab.evaluate(
        """() => { const { link } = beamstreamPage; window.told = [];
            const tell = link.tell.bind(link); link.tell = (m) => { if (!("ack" in m)) told.push(m); tell(m); }; }"""
    )
    tab.tab.locator("#high").fill("2000")
    tab.tab.locator("#low").fill("100")
    tab.tab.keyboard.press("Tab")
    expected = np.round(np.clip((sent - 100) / 1900, 0, 1) * 255)
    tab.becomes(expected, "100 to 2000")
    tab.tab.get_by_label("Logarithmic").check()
    steps = np.round(np.clip(np.log(np.maximum(sent, 1) / 100) / np.log(20), 0, 1) * 255)
    tab.becomes(steps, "logarithmic")
    tab.choose("inferno")
    tab.becomes(np.round(matplotlib.colormaps["inferno"](steps / 255)[..., :3] * 255), "inferno", slack=5)
    assert tab.tab.evaluate("told") == [], "the server was not asked"


def test_floats_have_a_logarithm_too_and_what_is_no_number_no_colour(visit, tab):
    image = np.geomspace(0.5, 5000, SHAPE[0] * SHAPE[1]).astype("<f4").reshape(SHAPE)
    image[10, 20], image[10, 21] = np.nan, -7
    visit("float", image, low=1, high=1000, log=True)
    with np.errstate(invalid="ignore"):
        steps = np.round(np.clip(np.log10(np.maximum(image, 1)) / 3, 0, 1) * 255)
    expected = np.repeat(steps[..., None], 3, axis=2)
    expected[10, 20] = 0x14, 0x18, 0x1B  # what lies behind the image
    tab.becomes(expected, slack=1)


def test_the_range_is_found_in_the_image_or_in_a_shape(visit, tab, wait_for):
    image = np.full(SHAPE, 500, "<u2")
    image[20:30, 20:40] = np.arange(20) * 100 + 1000
    image[0, 0], image[0, 1] = 0, 60_000
    visit("grey", image, contrast="extremes", shapes=[_rectangle("A", 20, 20, 10, 20)])

    def found(low: float, high: float) -> bool:
        levels = tab.tab.evaluate("() => [beamstreamPage.levels.low, beamstreamPage.levels.high]")
        return np.allclose(levels, [low, high], rtol=0.02, atol=1)

    wait_for(lambda: found(0, 60_000), what="min to max")
    tab.field("contrast").select_option("region")
    tab.field("percentiles").select_option("5")
    low, high = np.sort(image[20:30, 20:40].ravel())[[10, 189]]
    wait_for(lambda: found(low, high), what="percentiles of the shape")
    tab.field("contrast").select_option("full")
    wait_for(lambda: found(0, 65535), what="all that the pixels can be")


@pytest.mark.parametrize("which", ["grey", "float"])
@pytest.mark.parametrize("contrast", ["percentile", "extremes"])
def test_the_field_is_seen_whatever_single_pixels_are(visit, tab, wait_for, which, contrast):
    image = 100.0 + gradient() * 100 / 255
    if contrast == "percentile":  # min-max is what somebody asked for
        image[3, 4], image[5, 6] = 60_000 if which == "grey" else 1e9, 0
    if which == "float":
        image[30:34, 40:60], image[40, 7], image[41, 7] = np.nan, np.inf, -np.inf
    visit(which, image.astype("<u2" if which == "grey" else "<f4"), contrast=contrast)
    field = np.ones(SHAPE, bool)
    field[3, 4] = field[5, 6] = field[40, 7] = field[41, 7] = False
    field[30:34, 40:60] = which == "grey"

    def near() -> bool:
        seen = tab.image(*SHAPE)[..., 0].astype(float)
        return seen.shape == SHAPE and bool(np.abs(seen - (image - 100) * 2.55)[field].max() < 12)

    wait_for(near, what="the field in all of its shades")
    if which == "float":
        assert (tab.image(*SHAPE)[30:34, 40:60] == tab.pixels(0, 0, 1, 1)).all(), "NaN: as where nothing is"


def test_a_stack_shows_its_plane_in_the_middle(visit, tab):
    stack = np.stack([gradient(seed=number) for number in range(5)]).astype("|u1")
    visit("planes", stack)
    tab.becomes(stack[2], "the third plane")


def test_the_ends_of_the_range_are_moved_on_the_histogram(visit, tab, wait_for):
    visit("grey", (gradient() * 16).astype("<u2"), contrast="full")
    tab.drawn("histogram")
    box = tab.tab.locator("#histogram").bounding_box()
    tab.tab.mouse.move(box["x"] + box["width"] * 0.963, box["y"] + 20)
    tab.tab.mouse.down()
    tab.tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    tab.tab.mouse.up()
    assert tab.field("contrast").input_value() == "manual"
    assert abs(float(tab.tab.locator("#high").input_value()) - 32768) < 1500
    assert float(tab.tab.locator("#low").input_value()) == 0


def test_the_whole_image_comes_binned_and_what_is_zoomed_to_in_full(visit, tab, wait_for):
    image = np.random.default_rng(1).integers(0, 256, (1600, 2400)).astype("<u2")
    visit("large", image)
    wait_for(lambda: tab.data("bin") == 1, what="full resolution")
    x, y = (int(v) for v in tab.place(800, 1200))
    wait_for(lambda: _equal(tab.pixels(x, y, 200, 100), image[800:900, 1200:1400]), what="true pixels")
    tab.button("Fit into the window").click()
    wait_for(lambda: tab.data("bin") > 1, what="binned")
    mean = tab.image(1600, 2400).mean()
    assert abs(mean - image.mean()) < 1
    box = tab.tab.locator("#image").bounding_box()
    tab.tab.mouse.move(box["x"] + 500, box["y"] + 300)
    under = "() => Object.values(beamstreamPage.viewpoint.toFrame(500, 300))"
    at = tab.tab.evaluate(under)
    for _ in range(12):
        tab.tab.mouse.wheel(0, -240)
    wait_for(lambda: tab.view("zoom") > 4 and tab.data("bin") == 1, what="zoomed in")
    assert np.allclose(at, tab.tab.evaluate(under), atol=3), "what is under the pointer stays there"


def test_a_frame_of_an_older_view_is_drawn_at_its_place_until_a_better_one_comes(visit, tab):
    sent = visit()
    tab.becomes(sent)
    grown = """() => {
        const { viewpoint, layers } = beamstreamPage;
        viewpoint.zoomTo(4);
        const context = document.getElementById("image").getContext("2d");
        layers.draw(context, viewpoint);  // before the server can know
        const [x, y] = viewpoint.toScreen(30, 50);
        return [...context.getImageData(x + 2, y + 2, 1, 1).data];
    }"""
    assert tab.tab.evaluate(grown)[0] == sent[30, 50]


def test_the_cross_reads_the_true_value_by_click_by_drag_and_by_arrow_keys(visit, tab):
    sent = visit("grey", (gradient() * 200).astype("<u2"))
    tab.click(20.5, 40.5)
    tab.reads(40, 20, sent[20, 40])
    tab.tab.locator("#image").press("ArrowRight")
    tab.tab.locator("#image").press("Shift+ArrowDown")
    tab.reads(41, 30, sent[30, 41])
    tab.tab.keyboard.press("r")
    tab.tab.locator("#image").press("ArrowRight")
    tab.reads(41, 29, sent[29, 41])
    tab.tab.keyboard.press("r")
    tab.drag((29.5, 41.5), (35.5, 60.5), (50.5, 70.5))
    tab.reads(70, 50, sent[50, 70])


def test_the_cross_reads_all_of_a_colour(visit, tab):
    image = np.stack([gradient(), gradient(seed=2), gradient(seed=5)], axis=2).astype(np.uint8)
    visit("colour", image, cross=[7, 9])
    tab.reads(9, 7, ", ".join(str(v) for v in image[7, 9]))


def test_statistics_of_shapes_are_those_of_numpy_and_shapes_are_moved_and_resized(visit, tab, wait_for):
    sent = visit("grey", (gradient() * 200).astype("<u2"))
    tab.tab.keyboard.press("w")
    tab.drag((10.2, 20.2), (15, 30), (29.7, 49.7))
    wait_for(lambda: _agrees(tab.statistics(), sent[10:30, 20:50]), what="what was drawn")
    tab.drag((20.5, 30.5), (25.5, 40.5))
    wait_for(lambda: _agrees(tab.statistics(), sent[15:35, 30:60]), what="moved")
    tab.drag((35, 60), (40, 50), (44.6, 54.6))
    wait_for(lambda: _agrees(tab.statistics(), sent[15:45, 30:55]), what="resized by a corner")
    tab.tab.locator("#image").press("ArrowUp")
    wait_for(lambda: _agrees(tab.statistics(), sent[14:44, 30:55]), what="by the keyboard")
    tab.tab.keyboard.press("e")
    tab.drag((5, 60), (25, 90))
    rows, cols = np.mgrid[0:60, 0:100] + 0.5
    inside = ((rows - 15) / 10) ** 2 + ((cols - 75) / 15) ** 2 <= 1
    wait_for(lambda: _agrees(tab.statistics(2), sent[inside]), what="the ellipse")
    tab.tab.keyboard.press("Delete")
    wait_for(lambda: len(tab.tab.locator("#statistics thead th").all()) == 2)


def test_a_line_has_its_profile_and_an_area_its_curve(cameras, visit, tab, wait_for):
    sent = visit(shapes=[_rectangle("B", 10, 10, 5, 5)])
    tab.button("Draw a line").click()
    tab.drag((12.5, 30.5), (20, 50), (12.5, 80.5))

    def profile() -> list[float]:
        return tab.tab.evaluate("() => beamstreamPage.frame.notes.lines[0]?.values") or []

    wait_for(lambda: len(profile()) == 51, what="the whole line")  # while it is drawn it is shorter
    wait_for(lambda: np.allclose(profile(), sent[12, 30:81]), what="the values along the line")
    assert tab.tab.locator("#profile").is_visible()
    for seed in range(1, 4):
        cameras["grey"].put(gradient(seed=seed).astype("<u2"))
        tab.shown(cameras["grey"].number - 1)
    for plot in ("profile", "means", "histogram"):
        tab.drawn(plot)


def test_a_paused_page_stays_where_it_is_and_goes_on_with_the_newest(cameras, visit, tab):
    sent = visit()
    tab.tab.keyboard.press(" ")
    tab.says("paused")
    newest = [cameras["grey"].put(gradient(seed=seed).astype("<u2")) for seed in (1, 2, 3)][-1]
    tab.click(5.5, 6.5)
    tab.reads(6, 5, sent[5, 6])
    tab.tab.locator("#image").press("Escape")
    tab.becomes(sent, "the paused frame")
    tab.button("Resume").click()
    tab.becomes(newest, "the newest")


def test_another_geometry_is_no_reason_to_stop(hub, tab):
    camera = Camera("page-changes", SHAPE, "<u2")
    camera.put()
    tab.visit(f"{hub.url}streams/page-changes/")
    for number, (shape, dtype) in enumerate([(SHAPE, "<u2"), ((80, 50), "<u2"), ((80, 50), "|u1")], 1):
        sent = camera.put(gradient(shape, seed=number).astype(dtype))
        tab.shown(number)
        tab.button("One pixel for one pixel").click()
        tab.becomes(sent, f"{shape} {dtype}")
    camera.close()


def test_settings_are_remembered_for_each_stream_and_nonsense_is_not(hub, visit, tab, wait_for):
    sent = visit(palette="pink", shapes=[{"id": "A"}], rate=-1, cross="here", pixel="wide")
    assert tab.tab.get_by_role("radio", name="Grey").is_checked()
    tab.tab.keyboard.press("h")
    tab.choose("viridis")
    tab.tab.keyboard.press("w")
    tab.drag((10, 10), (20, 20))
    tab.tab.locator("#record-section summary").click()
    closed = "beamstreamPage.settings.get('closed').includes('record-section')"
    wait_for(lambda: tab.tab.evaluate(closed), what="closed")
    tab.tab.reload()
    wait_for(lambda: tab.data("shown") > 0, what="the newest frame")
    assert tab.tab.get_by_role("radio", name="Viridis").is_checked()
    assert tab.tab.locator("#statistics").is_visible()
    assert not tab.field("prefix").is_visible()
    tab.choose("grey")
    tab.tab.get_by_role("button", name="A", exact=True).click()
    tab.tab.keyboard.press("Delete")
    tab.button("One pixel for one pixel").click()
    tab.becomes(sent[:, ::-1], "flipped still")
    tab.visit(f"{hub.url}streams/page-bytes/")
    assert tab.tab.evaluate("beamstreamPage.settings.get('across')") is False, "of another stream"


def test_the_page_says_what_it_waits_for(hub, tab):
    tab.visit(f"{hub.url}streams/page-nothing/")
    tab.says("page-nothing", "#notice")
    assert tab.tab.locator("#notice").is_visible()
    assert tab.tab.locator("#state").get_attribute("data-state") == "waiting"


def test_streams_are_a_click_away(hub, visit, tab):
    visit()
    tab.tab.get_by_role("link", name="page-bytes").click()
    tab.tab.wait_for_url("**/streams/page-bytes/")
    assert tab.tab.get_by_role("link", name="page-bytes").get_attribute("aria-current") == "page"
    assert tab.tab.title() == "page-bytes"


def test_a_frame_is_saved_with_every_value(visit, tab):
    sent = visit("grey", (gradient() * 200).astype("<u2"))
    with tab.tab.expect_download() as download:
        tab.tab.get_by_role("link", name=".npy").click()
    assert np.array_equal(np.load(io.BytesIO(download.value.path().read_bytes())), sent)
    with tab.tab.expect_download() as picture:
        tab.button("as it is seen").click()
    assert picture.value.path().read_bytes().startswith(b"\x89PNG")


def test_nothing_is_fetched_from_elsewhere_and_every_control_has_a_name(hub, visit, tab):
    visit()
    hosts = tab.tab.evaluate("performance.getEntriesByType('resource').map((e) => new URL(e.name).host)")
    assert len(hosts) > 20
    assert set(hosts) == {f"127.0.0.1:{hub.port}"}
    unnamed = tab.tab.evaluate(
        """() => [...document.querySelectorAll("button, input, select, a, canvas")].filter(
            (e) => !(e.ariaLabel || e.labels?.[0]?.innerText || e.innerText || e.closest("dialog"))
        ).map((e) => e.outerHTML)"""
    )
    assert unnamed == []


def test_the_sheet_names_the_keys_and_letters_in_fields_are_none(visit, tab):
    visit()
    tab.tab.keyboard.press("?")
    assert "rotate by 90" in tab.tab.get_by_role("dialog").inner_text()
    tab.tab.keyboard.press("Escape")
    tab.field("prefix").fill("")
    tab.field("prefix").press_sequentially("what")
    assert tab.tab.evaluate("beamstreamPage.tool") == "look"
    assert tab.field("prefix").input_value() == "what"
    tab.tab.locator("#image").press("+")
    assert tab.view("zoom") == 1.25
    tab.tab.locator("#image").press("q")
    tab.tab.locator("#image").press("Enter")
    assert tab.tab.evaluate("beamstreamPage.shapes.lines.length") == 1


def test_a_phone_needs_no_scrolling_sideways(browser, hub, cameras, wait_for):
    from image_in_browser import ImageTab

    phone = browser.new_page(
        viewport={"width": 360, "height": 740}, device_scale_factor=2, is_mobile=True, has_touch=True
    )
    tab = ImageTab(phone, wait_for)
    sent = cameras["bytes"].put(gradient().astype("|u1"))
    tab.visit(f"{hub.url}streams/page-bytes/")
    tab.shown(cameras["bytes"].number - 1)
    assert phone.evaluate("document.documentElement.scrollWidth") == 360
    tab.button("One pixel for one pixel").click()
    tab.becomes(sent, "one pixel of the frame is one of the screen")
    tab.touch([(30, 30), (30, 70)], [(30, 10), (30, 90)])
    assert 1.9 < tab.view("zoom") < 2.1, "two fingers drew it to twice its size"
    tab.touch([(30, 50)], [(30, 40)])
    row, col = tab.tab.evaluate("() => [beamstreamPage.viewpoint.y, beamstreamPage.viewpoint.x]")
    assert (round(row), round(col)) == (30, 60), "one finger moved it"
    phone.close()
    assert tab.errors == []


def test_captures_and_recordings_ask_for_the_key_once(cameras, visit, tab, wait_for):
    visit(frames=2)
    tab.button("Capture dark").click()
    tab.tab.locator("#unlock-key").fill("not the key at all")
    tab.button("Unlock").click()
    tab.says("not the key", "#unlock-words")
    tab.tab.locator("#unlock-key").fill(KEY)
    tab.button("Unlock").click()
    tab.says("capturing", "#toast")
    wait_for(lambda: _putting(cameras["grey"]) and "kept" in tab.tab.locator("#toast").inner_text(), what="a dark")
    tab.tab.get_by_label("Dark", exact=True).check()
    cameras["grey"].put(gradient(seed=3).astype("<u2"))
    wait_for(lambda: tab.tab.evaluate("beamstreamPage.frame.treated"), what="the dark taken off")
    tab.field("directory").fill("tests")
    tab.button("Start recording").click()
    tab.says("recording", "#toast")
    wait_for(lambda: tab.button("Stop recording").is_visible(), what="the button to stop")
    wait_for(lambda: _putting(cameras["grey"]) and "frames written" in tab.tab.locator("#recording").inner_text())
    tab.button("Stop recording").click()
    wait_for(lambda: tab.button("Start recording").is_visible(), what="the button to start")


@pytest.mark.parametrize("dtype", ["|u1", "<u2", "<f4"])
def test_what_is_deflated_is_decoded_as_what_is_not(dtype, hub, tab):
    values = gradient((30, 41)).astype(dtype)
    notes = b'{"cross": null}'.ljust(16)
    pack = zlib.compressobj(wbits=-15)
    pixels = {0: values.tobytes(), 1: pack.compress(values.tobytes()) + pack.flush()}
    tab.tab.goto(f"{hub.url}static/icon.svg")
    for deflated, data in pixels.items():
        kind = ["|u1", "<u2", "<f4"].index(dtype)
        head = HEAD.pack(2, 3, kind, 1, deflated, 0, 4, 77, 30, 41, 0.5, 10, 16, 5, -6, 1.5, 2.5, 3.5, 8, 12, 120, 164)
        decoded = tab.tab.evaluate(_DECODE, base64.b64encode(head + notes + data).decode())
        assert np.array_equal(decoded.pop("pixels"), values.ravel())
        region = {"row": 8, "col": 12, "rows": 120, "cols": 164}
        assert decoded == {"serial": 77, "bin": 4, "unique": "-6", "region": region, "notes": {"cross": None}}


_DECODE = """async (text) => {
    const { decode } = await import("/static/image/wire.js");
    const frame = await decode(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
    const { serial, bin, region, notes } = frame;
    return { serial, bin, region, notes, unique: String(frame.uniqueId), pixels: [...frame.pixels] };
}"""


def test_the_page_goes_on_by_itself_when_the_server_comes_back(hub, cameras, visit, tab):
    sent = visit()
    tab.becomes(sent)
    hub.close()  # the last test that needs it
    tab.says("server not reachable")
    tab.becomes(sent, "what was there stays to be looked at")
    with LivePage(HubSettings([{"name": "page-grey", "about": {}}], port=hub.port)):
        sent = cameras["grey"].put(gradient(seed=1).astype("<u2"))
        tab.becomes(sent, "the next frame")
        tab.says("live")
        tab.tab.goto("about:blank")


def _rectangle(name: str, row: int, col: int, rows: int, cols: int) -> dict[str, Any]:
    return {"id": name, "shape": "rectangle", "row": row, "col": col, "rows": rows, "cols": cols}


def _equal(drawn: np.ndarray, image: np.ndarray) -> bool:
    return bool((drawn[..., 0] == image).all() and (drawn[..., 2] == image).all())


def _agrees(said: dict[str, float], pixels: np.ndarray) -> bool:
    """Whether a table agrees with pixels, to the five digits that it has."""
    pixels = pixels.astype(float)
    expected = {"mean": pixels.mean(), "std": pixels.std(), "min": pixels.min(), "max": pixels.max()}
    expected |= {"sum": pixels.sum(), "pixels": pixels.size}
    return all(np.isclose(said[name], value, rtol=1e-4) for name, value in expected.items())


def _putting(camera: Camera) -> bool:
    camera.put(gradient(seed=camera.number).astype("<u2"))
    return True
