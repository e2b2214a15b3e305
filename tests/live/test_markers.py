"""Markers on the waterfall in a real Chromium: where they are drawn, what they say, and that they stay."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
from live_ring import Writer
from page_in_browser import LivePage

from beamstream.live.hub_settings import HubSettings
from beamstream.live.page import LivePage as Hub

LINEAR = {"decibel": False, "auto": False, "min": 0, "max": 100, "rows": 50, "rate": 30}
FIRST = 1.7e9  # when the first spectrum was measured: 2023-11-14 22:13:20 UTC
NAMES = [f"marked{os.getpid()}-{i}" for i in range(8)]
_numbers = count()
INK = """([x, y]) => document.getElementById("cursor").getContext("2d").getImageData(x, y, 1, 1).data[3]"""

SETTLED = """() => {
    const plot = document.getElementById("plot");
    return plot.height === Math.round(plot.parentElement.clientHeight * devicePixelRatio);
}"""


@pytest.fixture(scope="module")
def tab(browser) -> Any:
    return browser.new_page(viewport={"width": 1000, "height": 800}, color_scheme="light")


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A hub with a stream for each test: channels at 20, 22, … 50 MHz."""
    about = {"kind": "zmq_spectrometer", "first_mhz": 20.0, "step_mhz": 2.0}
    with Hub(HubSettings(streams=[{"name": name, "about": about} for name in NAMES], port=0)) as hub:
        yield hub


@pytest.fixture
def name() -> str:
    return NAMES[next(_numbers)]


@pytest.fixture
def page(hub, name, writer, tab, wait_for) -> Iterator[LivePage]:
    """The page of a stream with ten spectra, one each second."""
    page = LivePage(tab, f"{hub.url}streams/{name}/", wait_for, LINEAR, f"beamstream.live.{name}")
    for number in range(10):
        put(writer, number)
    page.rows_until(10)
    yield page
    assert page.errors == []
    tab.goto("about:blank")


def put(writer: Writer, number: int) -> None:
    """Write the next spectrum: of channel i, 5 i + number."""
    writer.put(np.arange(16) * 5.0 + number, measured=FIRST + number)


def click(page: LivePage, channel: int, age: int | None) -> None:
    """Click on a value in the waterfall; of no age, on the spectrum above."""
    page.page.mouse.click(*place(page, channel, age))


def place(page: LivePage, channel: int, age: int | None, *, canvas: bool = False) -> tuple[float, float]:
    """Return where a value lies in the window, or on the canvas; the list may just have made it smaller."""
    page.wait_for(lambda: page.page.evaluate(SETTLED), what="the plots to be as large as their room")
    at = page.plan("spectrum" if age is None else "waterfall")
    y = at["height"] / 2 if age is None else (age + 0.5) * at["height"] / LINEAR["rows"]
    box = page.page.locator("#cursor").bounding_box()
    assert box is not None
    left, top = (0, 0) if canvas else (box["x"], box["y"])
    return left + at["left"] + (channel + 0.5) * at["width"] / 16, top + at["top"] + y


def listed(page: LivePage) -> list[list[str]]:
    """Return frequency, time, value and difference of each marker, as the list has them."""
    rows = page.page.locator("#markers tbody tr").all()
    return [[cell.inner_text() for cell in row.locator("td[data-what]").all()] for row in rows]


def drawn(page: LivePage, channel: int, age: int) -> bool:
    """Whether there is a mark at this value; beside the line that leads to it."""
    x, y = place(page, channel, age, canvas=True)
    return page.page.evaluate(INK, [round(x) + 5, round(y)]) == 255


@pytest.fixture
def until(page, wait_for) -> Callable[[list[list[str]]], None]:
    """Wait until the list says this."""

    def until(expected: list[list[str]]) -> None:
        try:
            wait_for(lambda: listed(page) == expected)
        except pytest.fail.Exception:
            assert listed(page) == expected

    return until


def test_a_click_marks_the_value_below_it_and_the_mark_goes_down_with_its_row(page, writer, until):
    assert not page.page.locator("#markers").is_visible()
    click(page, 5, 3)
    first = ["30.000 MHz", "22:13:26.00", "31", ""]
    until([first])
    page.page.mouse.move(2, 2)
    assert drawn(page, 5, 3)
    for number in range(10, 15):
        put(writer, number)
    page.rows_until(15)
    until([first])
    assert drawn(page, 5, 8), "five rows came above it"
    assert not drawn(page, 5, 3)


def test_one_in_the_spectrum_above_belongs_to_the_newest_row(page, writer, until):
    click(page, 2, None)
    until([["24.000 MHz", "newest", "19", ""]])
    put(writer, 30)
    until([["24.000 MHz", "newest", "40", ""]])


def test_two_are_compared_and_which_of_them_comes_first_can_be_chosen(page, until):
    click(page, 5, 3)
    click(page, 9, 1)
    until(
        [
            ["30.000 MHz", "22:13:26.00", "31", ""],
            ["38.000 MHz", "22:13:28.00", "53", "+8.000 MHz   +2.0 s   +22"],
        ]
    )
    page.page.get_by_role("button", name="marker 2: compare").click()
    until(
        [
            ["38.000 MHz", "22:13:28.00", "53", ""],
            ["30.000 MHz", "22:13:26.00", "31", "−8.000 MHz   −2.0 s   −22"],
        ]
    )
    page.page.get_by_label("Logarithmic").check()
    until(
        [
            ["38.000 MHz", "22:13:28.00", "17.24 dB", ""],
            ["30.000 MHz", "22:13:26.00", "14.91 dB", "−8.000 MHz   −2.0 s   −2.33 dB"],
        ]
    )


def test_keys_set_them_at_the_cursor_or_the_strongest_channel_and_take_them_away(page, until):
    page.page.mouse.move(2, 2)
    page.page.keyboard.press("m")
    strongest = ["50.000 MHz", "newest", "84", ""]
    until([strongest])
    page.page.locator("#cursor").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowLeft", "m"):
        page.page.keyboard.press(key)
    second = ["34.000 MHz", "22:13:27.00", "42", "−16.000 MHz   −2.0 s   −42"]
    until([strongest, second])
    page.page.keyboard.press("Delete")
    until([strongest])
    page.page.keyboard.press("Backspace")
    until([])


def test_they_can_be_taken_away_one_by_one_or_all_and_are_there_after_a_reload(page, until):
    for channel in (1, 5, 9, 13):
        click(page, channel, 4)
    page.page.get_by_role("button", name="remove marker 2").click()
    click(page, 13, 4)  # on the mark itself
    rest = [
        ["22.000 MHz", "22:13:25.00", "10", ""],
        ["38.000 MHz", "22:13:25.00", "50", "+16.000 MHz   +0.0 s   +40"],
    ]
    until(rest)
    page.page.reload()
    page.rows_until(10)
    until(rest)
    page.page.get_by_role("button", name="clear").click()
    until([])
    page.page.reload()
    page.rows_until(10)
    assert listed(page) == []


def test_the_value_stays_when_its_row_is_gone(server, writer, tab, wait_for):
    page = LivePage(tab, server(band=(20.0, 2.0), rows=20).url, wait_for, LINEAR)
    for number in range(10):
        put(writer, number)
    page.rows_until(10)
    click(page, 5, 9)  # the oldest
    wait_for(lambda: listed(page) == [["30.000 MHz", "22:13:20.00", "25", ""]])
    for number in range(10, 40):
        put(writer, number)
    page.page.reload()  # the server kept the last 20
    page.rows_until(20)
    wait_for(lambda: listed(page) == [["30.000 MHz", "22:13:20.00", "25", ""]], what="what the browser remembered")
    assert page.errors == []
    tab.goto("about:blank")


def test_nothing_that_was_remembered_can_break_the_page(page, name, wait_for):
    for nonsense in ('{"markers": 3}', '{"markers": [{"value": "x"}]}', '{"markers": [null]}'):
        page.page.evaluate("([name, text]) => localStorage.setItem(`beamstream.live.${name}`, text)", [name, nonsense])
        page.page.reload()
        wait_for(lambda: page.shown >= 10)
        assert not page.page.locator("#markers").is_visible()
