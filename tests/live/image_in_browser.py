"""The page of images in a real browser: what a person does, and the pixels of the canvas."""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from playwright.sync_api import Locator, Page

_PIXELS = """([x, y, width, height]) => {
    const context = document.getElementById("image").getContext("2d");
    const { data } = context.getImageData(x, y, width, height);
    let text = "";
    for (let i = 0; i < data.length; i += 32768) text += String.fromCharCode(...data.subarray(i, i + 32768));
    return btoa(text);
}"""
_INK = """(id) => {
    const { width, height } = document.getElementById(id);
    if (!width) return false;
    const { data } = document.getElementById(id).getContext("2d").getImageData(0, 0, width, height);
    return data.some((value) => value > 0);
}"""
PLAIN = {"contrast": "manual", "low": 0, "high": 255, "captions": False, "bar": False, "closed": []}
"""Settings that make the canvas a matter of arithmetic, with all sections open."""


class ImageTab:
    """One tab that visits pages of images.

    Attributes
    ----------
    errors : list of str
        What was thrown in the scripts of its pages.
    """

    def __init__(self, tab: Page, wait_for: Callable[..., None]) -> None:
        self.tab, self._wait_for = tab, wait_for
        self.errors: list[str] = []
        tab.on("pageerror", lambda error: self.errors.append(str(error)))

    def visit(self, url: str, **settings: Any) -> None:
        """Open the page of a stream, with what the browser remembers of an earlier visit."""
        hub, _, name = url.rstrip("/").partition("/streams/")
        if not self.tab.url.startswith(hub):
            self.tab.goto(f"{hub}/static/icon.svg")  # of the same origin, without scripts
        key, text = f"beamstream.live.{name}", json.dumps({**PLAIN, **settings})
        self.tab.evaluate("([key, text]) => localStorage.setItem(key, text)", [key, text])
        self.tab.goto(url)

    def shown(self, unique_id: int) -> None:
        """Wait until this frame is on the canvas."""
        self._wait_for(lambda: self.data("unique") == unique_id, what=f"frame {unique_id}, not {self.data('unique')}")

    def data(self, name: str) -> int:
        """Return a number that the canvas has for whoever looks at the page from outside; -1 before there is one."""
        return int(self.tab.get_attribute("#image", f"data-{name}") or -1)

    def pixels(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Return colours of a part of the canvas, shape (height, width, 3)."""
        raw = base64.b64decode(self.tab.evaluate(_PIXELS, [x, y, width, height]))
        return np.frombuffer(raw, np.uint8).reshape(height, width, 4)[..., :3]

    def view(self, name: str) -> Any:
        """Return a number of the view: zoom, width, height."""
        return self.tab.evaluate("(name) => beamstreamPage.viewpoint[name]", name)

    def place(self, row: float, col: float) -> tuple[float, float]:
        """Return where a place of the frame is on the canvas."""
        x, y = self.tab.evaluate("([row, col]) => beamstreamPage.viewpoint.toScreen(row, col)", [row, col])
        return x, y

    def image(self, rows: int, cols: int) -> np.ndarray:
        """Return the colours that are drawn for the pixels of an image, as it lies, one for one."""
        corners = [self.place(0, 0), self.place(rows, cols)]
        left, top = np.min(corners, axis=0)
        right, bottom = np.max(corners, axis=0)
        return self.pixels(int(left), int(top), int(right - left), int(bottom - top))

    def becomes(self, expected: np.ndarray, what: str = "", slack: float = 0.5) -> None:
        """Wait until an image is drawn, one for one."""
        rows, cols = expected.shape[:2]
        wide, tall = self.view("wide"), self.view("tall")
        assert (cols, rows) == (wide, tall), "as it lies"
        frame = [self.view("rows"), self.view("cols")]
        self._wait_for(lambda: same(self.image(*frame), expected, slack), what=what or "the image that was sent")

    def drag(self, *places: tuple[float, float]) -> None:
        """Drag the mouse from one place of the frame over others."""
        box = self.tab.locator("#image").bounding_box()
        assert box is not None
        for number, (row, col) in enumerate(places):
            x, y = self.place(row, col)
            self.tab.mouse.move(box["x"] + x, box["y"] + y)
            if number == 0:
                self.tab.mouse.down()
        self.tab.mouse.up()

    def touch(self, begin: list[tuple[float, float]], end: list[tuple[float, float]], steps: int = 8) -> None:
        """Put fingers onto places of the frame, and move them to other places on the screen."""
        box = self.tab.locator("#image").bounding_box()
        assert box is not None
        ratio = self.tab.evaluate("devicePixelRatio")
        corner = np.array([box["x"], box["y"]])
        first, last = ([corner + np.divide(self.place(*place), ratio) for place in places] for places in (begin, end))
        session = self.tab.context.new_cdp_session(self.tab)
        for step in range(steps + 1):
            now = [a + (b - a) * step / steps for a, b in zip(first, last, strict=True)]
            points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(now)]
            kind = "touchMove" if step else "touchStart"
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        session.detach()

    def click(self, row: float, col: float) -> None:
        """Click at a place of the frame."""
        self.drag((row, col))

    def reads(self, x: object, y: object, value: object) -> None:
        """Wait until this is said to be under the cross."""

        def now() -> list[str]:
            return [self.tab.locator(f"#cross-{what}").inner_text() for what in ("x", "y", "value")]

        expected = [str(x), str(y), str(value)]
        self._wait_for(lambda: now() == expected, what=f"{expected}, not {now()}")

    def says(self, words: str, where: str = "#state") -> None:
        """Wait until an element has these words in it."""
        self._wait_for(lambda: words in self.tab.locator(where).inner_text(), what=f"{words!r} in {where}")

    def button(self, name: str) -> Locator:
        """Return a button by the name that a screen reader says."""
        return self.tab.get_by_role("button", name=name, exact=True)

    def drawn(self, plot: str) -> None:
        """Wait until there is something in a plot of the panel."""
        self._wait_for(lambda: self.tab.evaluate(_INK, plot), what=f"something drawn: {plot}")

    def field(self, name: str) -> Locator:
        """Return a field of the panel."""
        return self.tab.locator(f"#panel [name={name}]")

    def choose(self, palette: str) -> None:
        """Click at a palette."""
        self.tab.locator(f"#palettes label:has([value={palette}])").click()

    def statistics(self, column: int = 1) -> dict[str, float]:
        """Return what the table says about a shape."""
        rows = [row.split("\t") for row in self.tab.locator("#statistics tbody").inner_text().splitlines()]
        return {row[0]: float(row[column]) if row[column] != "–" else np.nan for row in rows}


def same(drawn: np.ndarray, expected: np.ndarray, slack: float) -> bool:
    """Whether colours are equal; one grey value stands for three colours."""
    if expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=2)
    return drawn.shape == expected.shape and bool(np.abs(drawn.astype(float) - expected).max() <= slack)
