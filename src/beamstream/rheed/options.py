"""What an upload is told beside what is uploaded: checked before anything begins, and made into a job."""

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil, isfinite
from pathlib import Path
from sys import float_info
from typing import Any
from urllib.parse import urlsplit

from beamstream.errors import PipelineError
from beamstream.network.hosts import is_loopback
from beamstream.ops.eight_bit import EightBit
from beamstream.rheed.checks import LEAST_CHUNK, check_rule
from beamstream.rheed.job import Job, Owner

ATOMSCALE = "https://api.atomscale.ai"
"""What the endpoint ``"atomscale"`` stands for."""
_VERBOSITIES = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOptions:
    """Say where an upload goes, and as what.

    Parameters
    ----------
    endpoint : str
        ``http://host:port``, ``"atomscale"`` for that cloud, or empty: the ingest of the archive.
    key_file : str or Path, optional
        Holds the key, mode 600; otherwise the environment variable ``BEAMSTREAM_UPLOAD_KEY`` does.
    stream_name : str
        ``{sample}``, ``{scan_id}``, ``{detector}`` and other metadata of the run are put in.
    physical_sample : str, optional
        The run's ``sample`` by default.
    project_id : str, optional
    azimuth : str, optional
        Of a sample that does not rotate; by default what the detector's configuration says under ``…direction``.
    tags : tuple of str
        Beside ``run:<uid>`` and ``8bit:<rule>``, which every upload has.
    rotations_per_min : float, optional
        By default what the detector's configuration says under ``…rotations_per_min``, otherwise 0.
    fps : float, optional
        Frames per second; by default from the detector's ``…acquire_period``, otherwise measured.
    chunk_seconds : float
        How long a chunk is, 2 or more.
    rule : str
        How pixels become 8 bit: ``"as-is"``, ``"shift:4"``, ``"window:0:4095"``.
    verbosity : int
        Of the client's own log, 0 to 4.
    insecure_http : bool
        Upload to ``http://`` beyond this machine, where everybody on the way can read frames and key.

    Raises
    ------
    ValueError
        One of them cannot be.
    """

    endpoint: str = ""
    key_file: str | Path | None = None
    stream_name: str = "{sample} {scan_id}"
    physical_sample: str | None = None
    project_id: str | None = None
    tags: tuple[str, ...] = ()
    rotations_per_min: float | None = None
    azimuth: str | None = None
    fps: float | None = None
    chunk_seconds: float = LEAST_CHUNK
    rule: str = "as-is"
    verbosity: int = 0
    insecure_http: bool = False

    def __post_init__(self) -> None:
        endpoint = endpoint_url(self.endpoint, insecure_http=self.insecure_http) if self.endpoint else ""
        object.__setattr__(self, "endpoint", endpoint)
        object.__setattr__(self, "tags", tuple(self.tags))
        if not (isfinite(self.chunk_seconds) and self.chunk_seconds >= LEAST_CHUNK):
            raise ValueError(
                f"upload: chunks of {self.chunk_seconds:g} s asked for, the service wants {LEAST_CHUNK:g} s or more; "
                f"use chunk_seconds = {LEAST_CHUNK}"
            )
        if self.fps is not None and not (isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"upload: {self.fps} frames/s given; use a number above 0, or none: then it is measured")
        turns = self.rotations_per_min
        if turns is not None and not (isfinite(turns) and turns >= 0):
            raise ValueError(f"upload: {turns} rotations/min given; use 0 for a sample that stands still, or more")
        if turns and self.azimuth:
            raise ValueError(
                f"upload: azimuth {self.azimuth} given with {turns:g} rotations/min; an azimuth is that of a sample "
                "that stands still: leave one of them out"
            )
        if self.verbosity not in _VERBOSITIES:
            raise ValueError(f"upload: verbosity {self.verbosity} given; use 0 to 4")
        try:
            EightBit.parse(self.rule)
        except PipelineError as error:
            raise ValueError(f"upload: {error}") from None
        _names_in(self.stream_name)

    def job(self, what: "Recorded", to: "Destination") -> Job:
        """Return what is to be done.

        Raises
        ------
        UploadError
            Pixels of this type cannot become 8 bit by the rule.
        """
        fps = self.fps or _frames_per_second(what.configuration)
        turns = self.rotations_per_min
        if turns is None:
            turns = _number(what.configuration, "rotations_per_min") or 0.0
        check_rule(self.rule, what.dtype, what.detector)
        sample = sample_of(what.start)
        return Job(
            kind="rheed",
            run=what.start["uid"],
            name=what.detector,
            path=str(what.path),
            endpoint=to.endpoint,
            stream_name=self.named(what.start, what.detector),
            dataset=what.dataset,
            fps=fps,
            chunk_size=None if fps is None else ceil(fps * self.chunk_seconds),
            rotations_per_min=turns,
            rule=self.rule,
            physical_sample=self.physical_sample or sample or None,
            project_id=self.project_id,
            azimuth=None if turns else self.azimuth or _word(what.configuration, "direction"),
            tags=(f"run:{what.start['uid']}", f"8bit:{EightBit.parse(self.rule).text}", *self.tags),
            verbosity=self.verbosity,
            owner=what.owner,
            chunk_seconds=self.chunk_seconds,
            key_file=to.key_file,
            address_file=to.address_file,
        )

    def named(self, start: Mapping[str, Any], detector: str) -> str:
        """Return the stream's name; what the run does not say is left out."""
        known = {**start, "sample": sample_of(start), "detector": detector}
        values = {name: str(known.get(name, "")) for name in _names_in(self.stream_name)}
        name = " ".join(self.stream_name.format_map(values).split())
        return name or f"{detector} {start['uid'][:8]}"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an upload goes; `key_file` None: the key is in the environment. `address_file`: see `Job`."""

    endpoint: str
    key_file: str | None = None
    address_file: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What there is to upload: one recorded file of a run.

    Parameters
    ----------
    start : Mapping
        The run's start document, or what stands for one: ``uid``, ``sample``, …
    detector : str
    path : Path
    dataset : str
    dtype : str
        Numpy's type string of the pixels.
    configuration : Mapping
        Of the detector: plain values by data key.
    owner : Owner, optional
        Who records, if the recording goes on.
    """

    start: Mapping[str, Any]
    detector: str
    path: Path
    dataset: str
    dtype: str
    configuration: Mapping[str, Any]
    owner: Owner | None = None


def endpoint_url(asked: str, *, insecure_http: bool = False) -> str:
    """Return the URL of a service, without the last slash.

    Raises
    ------
    ValueError
        It is none, or everybody on the way could read what is sent and nobody asked for that.
    """
    if asked == "atomscale":
        return ATOMSCALE
    parts = urlsplit(asked)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f'upload: endpoint {asked!r} given; write http://host:port, or "atomscale" for that cloud')
    if parts.username or parts.password:
        raise ValueError("upload: the endpoint holds a password; put keys into a file with mode 600 (key_file)")
    if parts.scheme == "http" and not is_loopback(parts.hostname) and not insecure_http:
        raise ValueError(
            f"upload: endpoint {asked!r} given, everybody between here and {parts.hostname} could read the key and the "
            "frames; write https://, or insecure_http = true (--insecure-http) where that network is trusted"
        )
    return asked.rstrip("/")


def sample_of(start: Mapping[str, Any]) -> str:
    """Return the name of the sample that a start document tells of; empty if it does not."""
    sample = start.get("sample")
    if isinstance(sample, Mapping):
        sample = sample.get("name")
    return str(sample).strip() if sample else ""


def _names_in(template: str) -> list[str]:
    """Return the names in braces.

    Raises
    ------
    ValueError
        Something else is in braces.
    """
    try:
        names = [name for _, name, form, as_ in string.Formatter().parse(template) if name is not None]
        plain = all(name.isidentifier() for name in names)
    except ValueError:
        names, plain = [], False
    if not plain:
        raise ValueError(f"upload: stream_name {template!r} given; in braces stands metadata of the run: {{scan_id}}")
    return names


def _values(configuration: Mapping[str, Any], name: str) -> Iterator[Any]:
    """Yield what the detector's configuration has under keys that end with a name."""
    yield from (value for key, value in configuration.items() if key == name or key.endswith(f"_{name}"))


def _number(configuration: Mapping[str, Any], name: str) -> float | None:
    found = _values(configuration, name)
    return next((float(v) for v in found if isinstance(v, int | float) and abs(v) <= float_info.max), None)


def _word(configuration: Mapping[str, Any], name: str) -> str | None:
    return next((v for v in _values(configuration, name) if isinstance(v, str) and v), None)


def _frames_per_second(configuration: Mapping[str, Any]) -> float | None:
    """Return how often the detector was told to take a frame."""
    period = _number(configuration, "acquire_period") or 0.0
    period = max(period, _number(configuration, "acquire_time") or 0.0) if period else 0.0
    return 1.0 / period if period > 0 else None
