"""The live page in a real browser: what a person sees, and the pixels of the plot."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from playwright.sync_api import Page

_PIXELS = """([xs, ys]) => {
    const context = document.getElementById("plot").getContext("2d");
    const [left, top] = [xs[0], ys[0]];
    const image = context.getImageData(left, top, xs.at(-1) - left + 1, ys.at(-1) - top + 1);
    const at = (x, y) => 4 * ((y - top) * image.width + x - left);
    return ys.flatMap((y) => xs.flatMap((x) => [...image.data.subarray(at(x, y), at(x, y) + 3)]));
}"""


class LivePage:
    """The page, opened in a tab.

    Parameters
    ----------
    settings : dict
        What the browser remembers of an earlier visit.
    key : str
        Under which name.

    Attributes
    ----------
    errors : list of str
        What was thrown in its scripts.
    """

    def __init__(
        self,
        tab: Page,
        url: str,
        wait_for: Callable[..., None],
        settings: dict[str, Any],
        key: str = "beamstream.live",
    ) -> None:
        self.wait_for = wait_for
        self.page = tab
        self.errors: list[str] = []
        tab.goto(f"{url.partition('streams/')[0]}static/icon.svg")  # of the same origin, without scripts
        tab.evaluate("([key, text]) => localStorage.setItem(key, text)", [key, json.dumps(settings)])
        tab.on("pageerror", lambda error: self.errors.append(str(error)))
        tab.goto(url)

    @property
    def words(self) -> str:
        """What it says about its state."""
        return self.page.locator("#state").inner_text()

    @property
    def shown(self) -> int:
        """How many spectra it has shown."""
        return self.page.evaluate("Number(document.getElementById('plot').dataset.shown ?? 0)")

    def until(self, words: str) -> None:
        """Wait until its state begins with these words."""
        self.wait_for(lambda: self.words.startswith(words), what=words)

    def rows_until(self, number: int) -> np.ndarray:
        """Wait until so many rows are drawn, and return the colours of all that are."""
        self.wait_for(lambda: len(self.rows()) >= number, what=f"{number} rows")
        return self.rows()

    def plan(self, name: str) -> dict[str, int]:
        """Where a plot lies on the canvas, device pixels."""
        text = self.page.get_attribute("#plot", "data-plan")
        assert text is not None
        return json.loads(text)[name]

    def pixels(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return colours of the canvas where these columns and rows of it meet, shape (len(y), len(x), 3)."""
        flat = self.page.evaluate(_PIXELS, [x.tolist(), y.tolist()])
        return np.array(flat, int).reshape(len(y), len(x), 3)

    def rows(self, of: int = 50, n_channels: int = 16) -> np.ndarray:
        """Return the colours in the middles of the values drawn, newest first, shape (n, n_channels, 3).

        The setting says how many rows fit; empty ones are left out.
        """
        if self.page.get_attribute("#plot", "data-plan") is None:
            return np.empty((0, n_channels, 3))  # not drawn yet
        at = self.plan("waterfall")
        x = at["left"] + ((np.arange(n_channels) + 0.5) * at["width"] / n_channels).astype(int)
        y = at["top"] + ((np.arange(of) + 0.5) * at["height"] / of).astype(int)
        rows = self.pixels(x, y)
        empty = (rows == self.void()).all(axis=(1, 2))
        return rows[: int(np.argmax(empty))] if empty.any() else rows

    def void(self) -> np.ndarray:
        """Return the colour of the waterfall where nothing is."""
        text = self.page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--void')").strip()
        return np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)])

    def point(self, x: float, y: float) -> None:
        """Move the mouse to a place in the waterfall, as fractions of it."""
        at, box = self.plan("waterfall"), self.page.locator("#cursor").bounding_box()
        assert box is not None
        ratio = self.page.evaluate("devicePixelRatio")
        left, top = at["left"] + x * at["width"], at["top"] + y * at["height"]
        self.page.mouse.move(box["x"] + left / ratio, box["y"] + top / ratio)
