"""Recorded spectra as xarray, with their times and frequencies, read when they are looked at."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core.indexing import (
    ExplicitIndexer,
    IndexingSupport,
    LazilyIndexedArray,
    explicit_indexing_adapter,
)

from beamstream.errors import ArchiveError
from beamstream.sinks.axes import TIME, microseconds, polarization_names

_STREAM = "BlueskyEventStream"
_TABLE = "internal"
"""What a stream's table of events is called."""
_NUMBERS = ("number", "integer", "boolean")
_ABOUT_RUN = ("scan_id", "plan_name", "sample")
_ABOUT_DETECTOR = ("polarization", "channel_averaging")


def spectra(run: Any, detector: str | None = None, stream: str | None = None) -> xarray.Dataset:
    """Return the spectra of a run over time, beam, frequency and, where there are several, polarization.

    The variable ``spectrum`` is fetched when it is looked at, and only the part that was selected: make the selection
    first, then ``load()`` it or plot it. Its coordinates are ``time`` (datetime64[ns], UTC: of the last sample in each
    spectrum), ``frequency`` (MHz) and ``polarization`` (XX, YY, XY_real, XY_imag where there are these four). What is
    kept of each spectrum beside it lies along ``time`` as well: ``unique_id``, ``timestamp`` and ``received`` (s since
    1970-01-01 UTC), ``delay`` (s), ``time_tag``, and in a step scan the numbers that its events say, as where motors
    stood. Attributes name run, sample and detector.

    A run that goes on has as many spectra as the archive knew when this was called.

    Parameters
    ----------
    run : tiled client
        Of a run, or of one of its streams.
    detector : str, optional
        Whose spectra; not needed where there is one.
    stream : str, optional
        In which stream; not needed where there is one.

    Raises
    ------
    ArchiveError
        The run has no such spectra, or several; or their times or frequencies are not there.

    Examples
    --------
    Find runs with what tiled and bluesky bring along, by detector, sample, and time:

    >>> from bluesky_tiled_plugins.queries import TimeRange
    >>> from tiled.queries import Contains, Eq
    >>> runs = connect("archive").search(Contains("detectors", "spec")).search(Eq("sample", "Sun"))
    >>> runs = runs.search(TimeRange(since="2026-03-01 12:00", until="2026-03-02", timezone="UTC"))

    Fetch a minute of a band of the newest:

    >>> sun = spectra(runs.values().last())
    >>> part = sun.sel(time=slice("2026-03-01T12:30", "2026-03-01T12:31"), frequency=slice(20, 30))
    >>> part["spectrum"].sel(beam=0, polarization="XX").plot(x="time")

    Without this function: ``run["primary"]["spec_spectrum"][-10:, 0, 5:9]`` is a numpy array, and
    ``run["primary"].read()`` all of the stream.
    """
    at = _one(run, detector, stream)
    variables = {"spectrum": _variable(at.dims, at.array(at.key), at.about)}
    variables |= {name: _variable(("time",), at.array(key), at.data_keys[key]) for name, key in at.columns()}
    variables |= at.readings()
    rows = min(variable.shape[0] for variable in variables.values())  # of a run that goes on, one may be ahead
    coordinates: dict[str, Any] = {"time": _times(at, rows), "frequency": _frequencies(at)}
    if "polarization" in at.dims:
        names = polarization_names(variables["spectrum"].shape[at.dims.index("polarization")])
        coordinates["polarization"] = ("polarization", list(names))
    variables = {name: variable[:rows] for name, variable in variables.items()}
    return xarray.Dataset(variables, coordinates, at.attributes())


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the spectra of one detector are.

    Parameters
    ----------
    run : Mapping
        Metadata of the run.
    stream : str
    client : tiled client
        Of the stream.
    key : str
        The data key of the spectra.
    """

    run: Mapping[str, Any]
    stream: str
    client: Any
    key: str

    @property
    def data_keys(self) -> Mapping[str, Any]:
        return self.client.metadata["data_keys"]

    @property
    def about(self) -> Mapping[str, Any]:
        return self.data_keys[self.key]

    @property
    def detector(self) -> str:
        return self.about.get("object_name") or self.key.removesuffix("_spectrum")

    @property
    def dims(self) -> tuple[str, ...]:
        return ("time", *self.about["dims"])

    @property
    def settings(self) -> dict[str, Any]:
        """The detector's configuration, by name without the detector's."""
        said = self.client.metadata.get("configuration", {}).get(self.detector, {}).get("data", {})
        return {key.removeprefix(f"{self.detector}_"): value for key, value in said.items()}

    def array(self, key: str) -> Any:
        """Return the client of an array.

        Raises
        ------
        ArchiveError
            There is none, because nothing was recorded.
        """
        try:
            return self.client.base[key]
        except KeyError:
            raise ArchiveError(f"spectra: {key} in {self} asked for, nothing is recorded there (yet)") from None

    def columns(self) -> Iterator[tuple[str, str]]:
        """Yield the names, without the detector's, and the data keys of what is kept of each spectrum."""
        for key, about in self.data_keys.items():
            if "external" in about and not about["shape"] and about.get("object_name", self.detector) == self.detector:
                yield key.removeprefix(f"{self.detector}_"), key

    def readings(self) -> dict[str, xarray.Variable]:
        """Return the numbers that events say beside each spectrum of a step scan; there are none in flight."""
        keys = [k for k, about in self.data_keys.items() if "external" not in about and about["dtype"] in _NUMBERS]
        keys = [key for key in keys if not self.data_keys[key]["shape"]]
        if not keys or _TABLE not in self.client.base:
            return {}
        table = self.client.base[_TABLE].read(["seq_num", *keys]).sort_values("seq_num")
        return {key: xarray.Variable(("time",), table[key].to_numpy(), _units(self.data_keys[key])) for key in keys}

    def attributes(self) -> dict[str, Any]:
        """Return what is known of all spectra together."""
        start, settings = self.run.get("start", {}), self.settings
        known = {"run": start.get("uid"), "detector": self.detector, "stream": self.stream}
        known |= {key: start.get(key) for key in _ABOUT_RUN} | {key: settings.get(key) for key in _ABOUT_DETECTOR}
        return {key: _plain(value) for key, value in known.items() if value is not None}

    def __str__(self) -> str:
        return f"run {self.run.get('start', {}).get('uid', '?')[:8]}"


def _one(run: Any, detector: str | None, stream: str | None) -> _Place:
    """Return where the spectra are that are meant."""
    run, streams = _streams(run)
    metadata = dict(run.metadata)
    places = [place for name, client in streams for place in _places(metadata, name, client)]
    meant = [p for p in places if detector in (None, p.detector) and stream in (None, p.stream)]
    if len(meant) == 1:
        return meant[0]
    who = f"spectra: those of run {metadata.get('start', {}).get('uid', '?')[:8]} asked for"
    who += "".join(f", of {what} {name}" for what, name in (("detector", detector), ("stream", stream)) if name)
    listed = ", ".join(f"{p.detector} in stream {p.stream}" for p in places)
    if not places:
        there = ", ".join(name for name, _ in streams) or "none"
        raise ArchiveError(f"{who}, it has no spectra (streams: {there}); search with Contains('detectors', NAME)")
    if not meant:
        raise ArchiveError(f"{who}, there are {listed}; ask for one of these")
    raise ArchiveError(f"{who}, there are {listed}; say detector=, or stream=, to choose")


def _streams(client: Any) -> tuple[Any, list[tuple[str, Any]]]:
    """Return the client of the run, and its streams by name; only the one that was given."""
    specs = {spec.name for spec in getattr(client, "specs", ())}
    if _STREAM in specs:
        return client.parent, [(client.item["id"], client)]
    if "BlueskyRun" not in specs:
        raise ArchiveError(f"spectra: {client!r} given; give a run of the archive, like connect('archive')[-1]")
    run = client.v3  # a Broker hands out its own kind
    return run, [(name, run[name]) for name in run]


def _places(run: Mapping[str, Any], stream: str, client: Any) -> Iterator[_Place]:
    for key, about in client.metadata.get("data_keys", {}).items():
        if "external" in about and "frequency" in about.get("dims", ()):
            yield _Place(run, stream, client, key)


def _times(at: _Place, rows: int) -> tuple[str, NDArray[np.datetime64], dict[str, str]]:
    key = dict(at.columns()).get(TIME)
    if key is None:
        raise ArchiveError(
            f"spectra: the times of {at.detector} in {at} asked for, there is no {at.detector}_{TIME}; "
            f"read run['{at.stream}']['{at.key}'] without them"
        )
    times = microseconds(np.asarray(at.array(key).read(slice(rows))))
    return "time", times.astype("datetime64[ns]"), {"long_name": "time of the last sample, UTC"}


def _frequencies(at: _Place) -> tuple[str, NDArray[np.float64], dict[str, str]]:
    said = at.settings.get("frequency")
    channels = at.about["shape"][at.about["dims"].index("frequency")]
    if said is None or len(said) != channels:
        there = "it says none" if said is None else f"it says {len(said)}"
        raise ArchiveError(
            f"spectra: the frequencies of {channels} channels of {at.detector} in {at} asked for, {there}; "
            f"read run['{at.stream}']['{at.key}'] without them"
        )
    return "frequency", np.array(said, np.float64), {"units": "MHz", "long_name": "frequency"}


class _Remote(BackendArray):
    """An array of the archive, of which is asked for over HTTP what is wanted."""

    def __init__(self, client: Any) -> None:
        self.shape, self.dtype = tuple(client.shape), client.dtype
        self._client = client

    def __getitem__(self, key: ExplicitIndexer) -> NDArray[Any]:
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        return np.asarray(self._client.read(key))


def _variable(dims: tuple[str, ...], client: Any, about: Mapping[str, Any]) -> xarray.Variable:
    """Return an array of the archive as a variable that is fetched when somebody looks at it."""
    return xarray.Variable(dims, LazilyIndexedArray(_Remote(client)), _units(about))


def _units(about: Mapping[str, Any]) -> dict[str, str]:
    return {"units": about["units"]} if about.get("units") else {}


def _plain(value: Any) -> Any:
    """Return what a netCDF file could have as an attribute."""
    return value if isinstance(value, str | int | float) else json.dumps(value, default=str)
