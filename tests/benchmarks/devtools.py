"""A Chromium that is only asked now and then: what playwright listens to all the time costs as much as a page."""

import json
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from websockets.sync.client import connect

_PATIENCE = 30.0  # s


class Tab:
    """Debian's Chromium without a window, and its one tab: ``with Tab(directory) as tab: tab.go(url)``.

    Parameters
    ----------
    directory : Path
        For its profile; empty.
    options : list of str
        The fixture ``chromium``.
    size : (int, int)
        Of the window, px.
    """

    def __init__(self, directory: Path, options: list[str], size: tuple[int, int] = (1440, 900)) -> None:
        self._directory, self._asked = directory, 0
        self._command = ["/usr/bin/chromium", *options, "--remote-debugging-port=0", f"--user-data-dir={directory}"]
        self._command += [f"--window-size={size[0]},{size[1]}", "about:blank"]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        self.process = psutil.Process(self._process.pid)
        try:
            self._opening = connect(self._address(), max_size=None, proxy=None)
            self._socket = self._opening.__enter__()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opening.__exit__(kind, error, trace)
        self._end()

    def _end(self) -> None:
        family = self.process.children(recursive=True)
        self._process.terminate()
        self._process.wait(10)
        psutil.wait_procs(family, 5)

    def _address(self) -> str:
        """Return where the tab listens, as soon as it does."""
        file, deadline = self._directory / "DevToolsActivePort", time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            said = file.read_text().split() if file.exists() else []
            if len(said) == 2:
                with urllib.request.urlopen(f"http://127.0.0.1:{said[0]}/json", timeout=5) as answer:
                    tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
                if tabs:
                    return tabs[0]["webSocketDebuggerUrl"]
            time.sleep(0.05)
        raise TimeoutError(f"chromium: no tab within {_PATIENCE} s")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the answer to one command of the protocol."""
        self._asked += 1
        self._socket.send(json.dumps({"id": self._asked, "method": method, "params": parameters}))
        while True:
            heard = json.loads(self._socket.recv(timeout=_PATIENCE))
            if heard.get("id") == self._asked:
                return heard["result"]

    def go(self, url: str) -> None:
        """Load another page; return when it begins."""
        self.ask("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Return what an expression of JavaScript is, a promise kept."""
        said = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in said:
            raise RuntimeError(f"page: {said['exceptionDetails']}")
        return said["result"].get("value")
