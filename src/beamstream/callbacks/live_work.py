"""What a live plot does for one run."""

import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from beamstream.callbacks.images import image_keys, object_name
from beamstream.file_uri import path_of
from beamstream.plots.inbox import Message
from beamstream.plots.process import PlotProcess
from beamstream.sinks.hdf5 import MIMETYPE

if TYPE_CHECKING:
    from beamstream.callbacks.live_plot import LivePlot

_GRACE = 0.5  # s that the end of a run waits for the account


class LiveWork:
    """Pass on to the process that draws which frames there are; nothing here waits but `wait`."""

    def __init__(self, of: "LivePlot", process: PlotProcess, start: Mapping[str, Any]) -> None:
        self.error: Exception | None = None
        self.moved = time.monotonic()
        self._of, self._process, self._start = of, process, start
        self._uid: str = start["uid"]
        self._rings: dict[str, str] = {}  # by data key
        self._resources: dict[str, Mapping[str, Any]] = {}
        self._announced: dict[str, int] = {}  # rows, by data key
        self._asked: float | None = None
        of.began(self._uid)
        scan_id = start.get("scan_id")
        self._tell(
            {
                "do": "begin",
                "scan_id": scan_id if isinstance(scan_id, int) else 0,
                "plan": str(start.get("plan_name", "")),
                "time": start.get("time", time.time()),
            }
        )

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Pass on the frames that a document announces; returns at once."""
        match name:
            case "descriptor":
                for data_key in image_keys(doc):
                    if self._of.wants(doc, data_key):
                        self._rings[data_key] = object_name(doc, data_key)
                        self._process.tell(partial(self._source, doc, data_key))
            case "stream_resource" if doc.get("mimetype") == MIMETYPE and doc["data_key"] in self._rings:
                self._resources[doc["uid"]] = doc
            case "stream_datum" if doc["stream_resource"] in self._resources:
                self._announce(self._resources[doc["stream_resource"]], doc["indices"]["stop"])

    def _announce(self, resource: Mapping[str, Any], stop: int) -> None:
        data_key = resource["data_key"]
        self._announced[data_key] = max(self._announced.get(data_key, 0), stop)
        message = {
            "do": "rows",
            "ring": self._rings[data_key],
            "path": str(path_of(resource["uri"])),
            "dataset": resource["parameters"]["dataset"],
            "stop": self._announced[data_key],
        }
        self._tell(message, key=(self._uid, data_key))  # takes the place of one that still waits

    def _source(self, descriptor: Mapping[str, Any], data_key: str) -> Message:
        correction = self._of.correction(self._start, descriptor, data_key)
        return {"do": "source", "run": self._uid, "ring": self._rings[data_key], "correction": correction}

    def _tell(self, message: Message, key: object = None) -> None:
        self._process.tell({**message, "run": self._uid}, key)

    # the end of the run

    @property
    def progress(self) -> tuple[int, int]:
        """Return that nothing is waited for."""
        return 0, 0

    def finish(self) -> None:
        """Mark the run's documents as complete; returns at once."""
        if self._asked is None:
            self._asked = time.monotonic()
            self._process.end(self._uid)

    def wait(self, timeout: float) -> bool:
        """Wait for the account, but not for long: the last picture may come later."""
        process = self._process
        if not process.screen or not process.alive or self._asked is None:
            return True
        left = self._asked + _GRACE - time.monotonic()
        if process.wait_for(lambda: process.account(self._uid).get("is") in ("ended", "done"), min(timeout, left)):
            return True
        if time.monotonic() - self._asked >= _GRACE and process.alive:
            process.warn(f"the process that draws (pid {process.pid}) does not answer")
        return time.monotonic() - self._asked >= _GRACE or not process.alive

    def give_up(self) -> None:
        """Wait no longer."""
        self.finish()

    @property
    def account(self) -> dict[str, Any]:
        """What was drawn while the run went on: ``drawn``, ``dropped``, ``errors``, and the last ``error``.

        ``dropped`` frames were recorded, and not drawn.
        """
        account = self._process.account(self._uid)
        drawn = int(account.get("drawn", 0))
        return {
            "drawn": drawn,
            "dropped": max(0, sum(self._announced.values()) - drawn),
            "errors": int(account.get("errors", 0)),
            "error": str(account.get("error", "")),
        }
