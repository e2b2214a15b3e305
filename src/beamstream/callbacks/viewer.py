"""Show runs in napari, which is found where it runs, or started; it costs a run nothing and may end at any time."""

import logging
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

from beamstream.callbacks.axes import is_finite, pixel_of
from beamstream.callbacks.images import DERIVED, Emit, image_keys, object_name, wanted
from beamstream.callbacks.viewer_axes import RunAxes
from beamstream.callbacks.viewer_link import ViewerLink
from beamstream.callbacks.viewer_places import Places
from beamstream.exits import OpenObjects
from beamstream.file_uri import path_of
from beamstream.sinks.hdf5 import MIMETYPE

log = logging.getLogger(__name__)

_MOST_PLACES = 500  # in one message


class Viewer:
    """Show the images of runs in napari, where they or the configuration ask for it.

    A run asks for it by ``viewer`` in its start document: see `plans.viewer.viewer`. The viewer is a process of its
    own that outlives runs and sessions; where none runs it is started, if there is a display. When it is not
    there, dies or hangs, that is logged once, and runs go on.

    Parameters
    ----------
    runs : {"declared", "all"}
        Which runs: those that declare it, or all but darks and flats.
    only : {"", "recorded"}
        Show only what is archived, of runs that do not choose themselves.
    streams : collection of str
        What is derived and shown beside the raw images, of runs that do not choose themselves.
    detectors : collection of str, optional
        Whose images; all by default.
    start : bool
        Whether to start a viewer where none runs.
    """

    name = "viewer"
    required = False
    derives = False

    def __init__(
        self,
        *,
        runs: Literal["declared", "all"] = "declared",
        only: Literal["", "recorded"] = "",
        streams: Collection[str] = (),
        detectors: Collection[str] | None = None,
        start: bool = True,
    ) -> None:
        if runs not in ("declared", "all"):
            raise ValueError(f"viewer: runs={runs!r} given; use 'declared' or 'all'")
        if isinstance(streams, str) or isinstance(detectors, str):
            raise TypeError(f"viewer: streams={streams!r}, detectors={detectors!r} given; use lists of names")
        self._all, self._start, self._detectors = runs == "all", start, detectors
        self._default = {"only": only, "streams": list(streams)}
        self._link: ViewerLink | None = None
        self._said = ""
        _open.add(self)

    def begin(self, start: Mapping[str, Any], _emit: Emit) -> "ViewerWork | None":
        """Begin with a run; None if it is not to be shown."""
        asked = self._asked(start)
        return None if asked is None else ViewerWork(self, start, asked)

    def _asked(self, start: Mapping[str, Any]) -> Mapping[str, Any] | None:
        declared = start.get("viewer")
        if declared is False:
            return None
        if declared == "napari" or (isinstance(declared, Mapping) and "napari" in declared):
            own = declared["napari"] if isinstance(declared, Mapping) else None
            return {**self._default, **own} if isinstance(own, Mapping) else self._default
        return self._default if self._all and start.get("purpose") != "reference" else None

    def link(self) -> ViewerLink:
        """Return the link to the viewer; a new one if the last one is over. Does not wait."""
        if self._link is None or self._link.over:
            self._link = ViewerLink(self._start, self._say)
        return self._link

    def wants(self, streams: Collection[str]) -> Callable[[Mapping[str, Any], str], bool]:
        """Return what selects images: raw ones, and those of derived streams."""
        chosen = [wanted(stream, self._detectors) for stream in {"raw", *streams}]
        return lambda descriptor, data_key: any(select(descriptor, data_key) for select in chosen)

    @property
    def pid(self) -> int | None:
        """Of the viewer that receives the messages; None if there is none."""
        return None if self._link is None or self._link.over else self._link.pid

    def _say(self, words: str) -> None:
        """Log what is wrong, once: every run would otherwise."""
        if words != self._said:
            self._said = words
            log.warning("%s", words)

    def close(self) -> None:
        """Let go of the viewer; it stays. The next run finds it again."""
        link, self._link = self._link, None
        if link is not None:
            link.close()


class ViewerWork:
    """What `Viewer` does for one run: pass on what documents hold, without waiting for anything."""

    error: Exception | None = None  # never: a viewer is not worth a run
    moved = 0.0

    def __init__(self, of: Viewer, start: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        self._of, self._start = of, start
        self._uid: str = start["uid"]
        streams = asked.get("streams")
        self._select = of.wants([str(one) for one in streams] if isinstance(streams, list | tuple) else [])
        self._only_recorded = asked.get("only") == "recorded"
        self._axes = RunAxes(start)
        self._link: ViewerLink | None = None
        self._shown: dict[str, Mapping[str, Any]] = {}  # descriptor by data key
        self._resources: dict[str, Mapping[str, Any]] = {}
        self._marks: dict[str, str] = {}  # data key that it was derived from, by descriptor
        self._places: dict[str, Places] = {}  # by descriptor, of those whose events have their places

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Pass on what a document holds; returns at once."""
        match name:
            case "descriptor":
                self._describe(doc)
            case "stream_resource" if doc.get("mimetype") == MIMETYPE and doc["data_key"] in self._shown:
                self._resources[doc["uid"]] = doc
            case "stream_datum" if doc["stream_resource"] in self._resources:
                self._announce(doc)
            case "event":
                self._read(doc["descriptor"], doc["seq_num"], doc["data"])
            case "event_page":
                for row, number in enumerate(doc["seq_num"]):
                    self._read(doc["descriptor"], number, {key: values[row] for key, values in doc["data"].items()})
            case "stop":
                self._tell("end", words=str(doc.get("exit_status", "")))

    # messages

    def _tell(self, do: str, *, replace: object = None, **fields: Any) -> None:
        if self._link is not None:
            self._link.tell({"do": do, "run": self._uid, **fields}, None if replace is None else (self._uid, replace))

    def _describe(self, doc: Mapping[str, Any]) -> None:
        for data_key in image_keys(doc):
            if self._select(doc, data_key) and "dims" not in doc["data_keys"][data_key]:  # those of spectra have names
                self._show(doc, data_key)
        for configuration in doc.get("configuration", {}).values():
            about = configuration.get("data", {})
            if about.get(DERIVED) in self._shown:
                self._marks[doc["uid"]] = about[DERIVED]
                regions = {key: list(value) for key, value in about.items() if _is_region(value)}
                if regions:
                    self._tell("regions", key=about[DERIVED], regions=regions)

    def _show(self, doc: Mapping[str, Any], data_key: str) -> None:
        if data_key in self._shown:
            return
        if self._link is None:
            self._link = self._of.link()
            start, scan_id = self._start, self._start.get("scan_id")
            self._tell(
                "begin",
                scan_id=scan_id if isinstance(scan_id, int) else 0,
                plan=str(start.get("plan_name", ""))[:400],
                time=float(start.get("time", 0.0)),
            )
        self._shown[data_key] = doc
        about, name = doc["data_keys"][data_key], object_name(doc, data_key)
        if self._axes.placed(doc):
            self._places.setdefault(doc["uid"], Places(self._axes))
        self._tell(
            "source",
            key=data_key,
            name=name,
            ring="" if self._only_recorded else name,
            owner=os.getpid(),
            shape=[int(n) for n in about["shape"]],
            dtype=about.get("dtype_numpy", "<f8"),
            color_mode=str(about.get("color_mode", "mono")),
            axes=self._axes.axes(doc),
            units=self._axes.units(doc),
            **pixel_of(doc, data_key),
        )

    def _announce(self, datum: Mapping[str, Any]) -> None:
        resource, rows = self._resources[datum["stream_resource"]], datum["indices"]
        data_key = resource["data_key"]
        self._tell(
            "rows",
            replace=("rows", data_key),
            key=data_key,
            path=str(path_of(resource["uri"])),
            dataset=resource["parameters"]["dataset"],
            stop=rows["stop"],
        )
        places = self._places.get(datum["descriptor"])
        if places is not None:
            places.rows(data_key, datum["seq_nums"], rows)
            self._tell_places(places)

    def _read(self, descriptor: str, seq_num: int, data: Mapping[str, Any]) -> None:
        if (places := self._places.get(descriptor)) is not None:
            places.values(seq_num, data)
            self._tell_places(places)
        if (data_key := self._marks.get(descriptor)) is not None:
            numbers = {key: float(value) for key, value in data.items() if is_finite(value)}
            self._tell("points", replace=("points", descriptor), key=data_key, points=_points(numbers), table=numbers)

    def _tell_places(self, places: "Places") -> None:
        if self._link is None:
            return
        for data_key, doc in self._shown.items():
            if self._places.get(doc["uid"]) is places and places.waiting(data_key):
                self._link.tell(lambda key=data_key: self._drain(places, key), (self._uid, "places", data_key))

    def _drain(self, places: "Places", data_key: str) -> dict[str, Any] | None:
        """Return the message about places now, in the thread of the link."""
        some = places.take(data_key, _MOST_PLACES)
        if places.waiting(data_key):
            self._tell_places(places)
        return {"do": "at", "run": self._uid, "key": data_key, "places": some} if some else None

    # the end of the run

    @property
    def progress(self) -> tuple[int, int]:
        """Return that nothing is waited for."""
        return 0, 0

    def finish(self) -> None:
        """Mark the run's documents as complete."""

    def wait(self, _timeout: float) -> bool:
        """Return that there is nothing to wait for."""
        return True

    def give_up(self) -> None:
        """Return at once: a viewer is not waited for."""

    @property
    def account(self) -> dict[str, Any]:
        """What became of messages, of all runs of this viewer: ``told``, ``refused``, and the last ``error``."""
        link = self._link
        if link is None:
            return {}
        return {"told": link.told, "refused": link.refused, "error": link.error}


def _is_region(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 4 and all(map(is_finite, value))


def _points(numbers: Mapping[str, float]) -> dict[str, list[float]]:
    """Return what has a row and a column, by name."""
    ends = ("_row", "_col")
    names = [key.removesuffix(ends[0]) for key in numbers if key.endswith(ends[0])]
    return {name: [numbers[name + end] for end in ends] for name in names if name + ends[1] in numbers}


def _close_all(viewers: list[Viewer]) -> None:
    for viewer in viewers:
        viewer.close()


_open = OpenObjects(_close_all, early=True)
