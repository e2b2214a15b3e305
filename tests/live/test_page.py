"""The page in a real Chromium: pixels against values, and everything that can be done with it."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from live_ring import Writer, get_json

pytest.importorskip("matplotlib")

LINEAR = {"decibel": False, "auto": False, "min": 0, "max": 100, "rows": 50, "rate": 30}
"""Settings that make a colour a matter of arithmetic."""


def pattern(number: int, n_channels: int = 16) -> np.ndarray:
    """Return a spectrum of which all values differ, from its neighbours too; 0 to 100."""
    return (np.arange(n_channels) * 37 + number * 23) % 101


def colours(palette: str, values: Any, low: float = 0.0, high: float = 100.0) -> np.ndarray:
    """Return what a palette makes of values, by matplotlib's tables; NaN where there is no value."""
    import matplotlib

    fraction = (np.asarray(values, float) - low) / (high - low)
    return np.round(matplotlib.colormaps[palette](np.clip(fraction, 0, 1))[..., :3] * 255)


def same(drawn: np.ndarray, expected: np.ndarray) -> bool:
    """Whether colours are equal but for what the interpolation between anchors costs."""
    return drawn.shape == expected.shape and bool(np.abs(drawn - expected).max() <= 9)


@pytest.fixture(scope="module")
def tab(browser, idle) -> Any:
    """One tab for all tests, at a page of no interest: each new one costs a process."""
    tab = browser.new_page(viewport={"width": 1000, "height": 700}, color_scheme="dark")
    tab.goto(idle.url)
    return tab


@pytest.fixture
def visit(browser, idle, tab, wait_for) -> Iterator[Callable[..., Any]]:
    """Open the page, with settings of an earlier visit; it is left with the test."""
    from page_in_browser import LivePage

    opened: list[LivePage] = []
    others = []

    def visit(server: Any, settings: Any = LINEAR, **screen: Any) -> LivePage:
        if screen:
            others.append(browser.new_page(**screen))
        opened.append(LivePage(others[-1] if screen else tab, server.url, wait_for, settings))
        return opened[-1]

    yield visit
    for other in others:
        other.close()
    tab.goto(f"{idle.url}static/icon.svg")
    assert [page.errors for page in opened if page.errors] == []


def put(writer: Writer, numbers: Any) -> np.ndarray:
    """Write patterns; return them newest first, as a waterfall shows them."""
    numbers = list(numbers)
    for number in numbers:
        writer.put(pattern(number))
    return np.array([pattern(number) for number in reversed(numbers)])


def test_colours_are_those_of_the_values_in_every_palette(server, writer, visit, wait_for):
    values = put(writer, range(20))
    page = visit(server())
    assert same(page.rows_until(20), colours("turbo", values))
    for label, palette in (("Viridis", "viridis"), ("Grey", "gray")):
        page.page.get_by_text(label).click()
        wait_for(lambda palette=palette: same(page.rows(), colours(palette, values)), what=label)
    page.page.keyboard.press("c")
    wait_for(lambda: same(page.rows(), colours("turbo", values)))
    values = pattern(3).astype(float)
    values[[2, 5, 6]] = np.nan, np.inf, -np.inf  # the first is none, the others are at the ends
    writer.put(values)
    newest = page.rows_until(21)[0]
    assert (newest[2] == page.void()).all()
    rest = [i for i in range(16) if i not in (2, 5, 6)]
    assert same(newest[rest], colours("turbo", values[rest]))


def test_at_the_real_cadence_every_spectrum_is_drawn_once_as_it_comes(server, writer, visit):
    page, pace = visit(server()), threading.Event()
    page.until("waiting for spectra")
    for number in range(0, 4, 2):
        put(writer, [number])
        assert len(page.rows_until(number + 1)) == number + 1, "drawn before the next is there"
        pace.wait(0.15)  # the cadence: two messages, then silence
        put(writer, [number + 1])
        page.rows_until(number + 2)
        pace.wait(0.4)
    expected = [pattern(number) for number in range(3, -1, -1)]
    assert same(page.rows(), colours("turbo", expected))


def test_at_a_high_rate_none_is_left_out_either(server, writer, visit, wait_for):
    page, pace = visit(server()), threading.Event()
    page.until("waiting for spectra")
    for number in range(300):
        put(writer, [number])
        pace.wait(0.004)
    wait_for(lambda: page.shown == 300, what="all to be shown")
    expected = colours("turbo", [pattern(number) for number in range(299, 249, -1)])
    wait_for(lambda: same(page.rows(), expected))


def test_pause_holds_the_picture_and_resume_shows_what_came_meanwhile(server, writer, visit, wait_for):
    before = put(writer, range(10))
    page = visit(server())
    page.rows_until(10)
    page.page.get_by_role("button", name="Pause").click()
    page.until("paused")
    after = put(writer, range(10, 14))
    page.until("paused, 4 spectra wait")
    assert same(page.rows(), colours("turbo", before))
    page.page.keyboard.press("Escape")
    page.page.locator("body").press(" ")
    wait_for(lambda: same(page.rows(), colours("turbo", np.concatenate([after, before]))))
    page.until("live")


def test_the_manual_range_is_what_gets_colours_and_auto_finds_one(server, writer, visit, wait_for):
    values = put(writer, range(30))
    page = visit(server())
    page.rows_until(30)
    page.page.get_by_label("min").fill("40")
    page.page.get_by_label("max").fill("60")
    wait_for(lambda: same(page.rows(), colours("turbo", values, 40, 60)), what="the range to be taken")
    page.page.get_by_label("min").fill("")  # no number: the range stays
    page.page.get_by_label("Auto").check()
    page.page.get_by_label("percentiles").select_option("0")
    wait_for(lambda: same(page.rows(), colours("turbo", values)), what="0 to 100, found in the data")
    page.page.get_by_label("Auto").uncheck()
    assert float(page.page.get_by_label("max").input_value()) == 100, "manual begins where auto was"


def test_the_logarithmic_scale_is_in_decibel(server, writer, visit, wait_for):
    values = 10.0 ** (np.arange(16) / 4)  # 0 to 37.5 dB
    writer.put(values)
    page = visit(server(), settings={**LINEAR, "min": 0, "max": 40})
    page.page.get_by_label("Auto").check()
    page.page.get_by_label("Logarithmic").check()
    page.page.get_by_label("Auto").uncheck()
    page.page.get_by_label("min").fill("0")
    page.page.get_by_label("max").fill("40")
    expected = colours("turbo", 10 * np.log10(values), 0, 40)
    wait_for(lambda: same(page.rows(), expected[None]))


def test_the_cursor_reads_frequency_time_and_value(server, writer, visit, wait_for):
    for number in range(10):
        writer.put(pattern(number), measured=1755537514.5 + 0.25 * number)
    page = visit(server(band=(14.0, 2.0)))
    page.rows_until(10)
    assert page.page.locator("#readout").inner_text() == "2025-08-18 17:18:36.75 UTC", "the newest"
    page.point((5 + 0.5) / 16, (3 + 0.5) / 50)
    expected = f"24.000 MHz   2025-08-18 17:18:36.00 UTC   {pattern(6)[5]}"
    wait_for(lambda: page.page.locator("#readout").inner_text() == expected, what=expected)
    page.page.locator("#cursor").press("ArrowRight")
    page.page.locator("#cursor").press("ArrowDown")
    expected = f"26.000 MHz   2025-08-18 17:18:35.75 UTC   {pattern(5)[6]}"
    wait_for(lambda: page.page.locator("#readout").inner_text() == expected, what=expected)
    page.point(0.5, 0.9)
    wait_for(lambda: page.page.locator("#readout").inner_text().endswith("nothing yet"))


def test_the_scale_is_what_the_server_suggests_until_somebody_chooses(server, writer, visit):
    writer.put(pattern(1) - 50.0)  # values with a sign
    page = visit(server(decibel=False), settings={})
    page.until("live")
    assert not page.page.get_by_label("Logarithmic").is_checked()
    page.page.get_by_label("Logarithmic").check()
    page.page.reload()
    writer.put(pattern(1) - 50.0)  # the first one is no longer young
    page.until("live")
    assert page.page.get_by_label("Logarithmic").is_checked()


def test_settings_are_remembered_and_nonsense_is_not(server, writer, visit):
    put(writer, range(3))
    page = visit(server(), settings={"palette": "pink", "rows": "many", "min": None, "unknown": 3})
    page.until("live")
    assert page.page.get_by_label("Turbo").is_checked()
    page.page.get_by_text("Grey").click()
    page.page.get_by_label("Height").fill("650")
    page.page.reload()
    page.until("live")
    assert page.page.get_by_label("Grey").is_checked()
    assert page.page.get_by_label("Height").input_value() == "650"


def test_the_page_goes_on_by_itself_when_the_server_comes_back(server, writer, visit, wait_for):
    first = server()
    values = put(writer, range(8))
    page = visit(first)
    page.rows_until(8)
    first.close()
    page.until("server not reachable")
    assert same(page.rows(), colours("turbo", values)), "what was there stays to be looked at"
    second = server(port=first.port)
    page.until("live")
    more = put(writer, range(8, 11))
    wait_for(lambda: same(page.rows(), colours("turbo", np.concatenate([more, values]))))
    assert get_json(second, "/status")["clients"] == 1


def test_the_page_says_what_is_the_matter(server, writer, visit, wait_for):
    live = server(title="East arm")
    page = visit(live)
    page.until("waiting for spectra")
    assert page.page.locator("#notice").is_visible()
    writer.put()
    page.until("live")
    assert (page.page.title(), page.page.locator("h1").inner_text()) == ("East arm", "East arm")
    assert not page.page.locator("#notice").is_visible()
    live.update(lost=4)
    wait_for(lambda: page.page.locator("#lost").inner_text() == "4")
    live.update(connected=False)
    page.until("publisher gone, waiting for spectra")
    live.update(connected=True, trouble="the disk is full")
    page.until("the disk is full")
    live.update(trouble="", age=100)
    page.page.reload()  # what is there is history now
    page.until("no spectra for 10")


def test_a_phone_needs_no_scrolling_sideways(server, writer, visit):
    values = put(writer, range(50))
    screen = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "is_mobile": True}
    page = visit(server(title="A title that is rather long for a phone"), color_scheme="light", **screen)
    assert same(page.rows_until(50), colours("turbo", values)), "twice as many pixels, the same colours"
    assert page.page.evaluate("document.documentElement.scrollWidth") == 360
    for button in page.page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 360
    assert page.plan("waterfall")["width"] > 0.6 * 720


def test_a_person_gives_the_key_once_and_the_page_works(server, writer, visit):
    key = "a key of many characters"
    live = server(key=key)
    values = put(writer, range(4))
    page = visit(live)
    page.page.get_by_label("Key").fill(key)
    page.page.get_by_role("button", name="Open").click()
    assert same(page.rows_until(4), colours("turbo", values))
    assert page.page.url == live.url


def test_every_control_has_a_name_and_the_sheet_names_the_keys(idle, visit):
    page = visit(idle)
    names = page.page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, canvas[tabindex]")].map(
            (e) => e.ariaLabel || e.labels?.[0]?.innerText || e.innerText)"""
    )
    assert all(names), names
    page.page.keyboard.press("?")
    assert page.page.get_by_role("dialog").is_visible()
    assert "pause, resume" in page.page.get_by_role("dialog").inner_text()
    page.page.keyboard.press("Escape")
    assert not page.page.get_by_role("dialog").is_visible()
    before = page.page.get_by_label("Height").input_value()
    page.page.keyboard.press("+")
    assert int(page.page.get_by_label("Height").input_value()) > int(before)


def test_beams_can_be_chosen_where_there_are_several(server, name, visit, wait_for):
    writer = Writer(name, n_beams=2)
    writer.put(np.stack([pattern(1), pattern(2)]))
    page = visit(server())
    assert same(page.rows_until(1), colours("turbo", [pattern(1)]))
    page.page.get_by_label("Beam").select_option("1")
    wait_for(lambda: same(page.rows(), colours("turbo", [pattern(2)])))
    writer.close()


def test_nothing_is_fetched_from_elsewhere_and_the_spectrum_above_is_the_newest(server, writer, visit):
    writer.put(np.full(16, 25.0))
    live = server()
    page = visit(live)
    page.rows_until(1)
    at = page.plan("spectrum")
    middle = np.array([at["left"] + at["width"] // 2])
    column = page.pixels(middle, at["top"] + np.arange(at["height"])).sum(axis=2)[:, 0]
    assert abs(np.argmax(column) / at["height"] - 0.75) < 0.02, "the line is at a quarter of its height"
    hosts = page.page.evaluate("performance.getEntriesByType('resource').map((e) => new URL(e.name).host)")
    assert len(hosts) > 10
    assert set(hosts) == {f"127.0.0.1:{live.port}"}
