"""What is to be uploaded, and how far it is: one directory an upload, which outlives every process."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

import psutil

from beamstream.errors import UploadError
from beamstream.forks import Process, this_process
from beamstream.locks import is_locked, open_locked, unlock
from beamstream.places import Places
from beamstream.private import as_around, make_directories
from beamstream.sinks.disk import sync_directory

Kind = Literal["rheed", "timeseries"]
Phase = Literal["waiting", "uploading", "offline", "refused", "finalizing", "done", "failed"]
"""``offline``: the service does not answer. ``refused``: it does, with a no that may change (key, stream, conflict).
``failed``: only a person can help; how is in `State.error`."""


_CLOCK = 60.0  # s; the kernel's time of a start moves when the clock is set


@dataclass(frozen=True, slots=True)
class Owner:
    """Name the process that records, for people. Whether it lives is known by a lock, see `JobDirectory`."""

    pid: int
    started: float

    @classmethod
    def this(cls) -> "Owner":
        """Return this process; the same each time, whatever is done to the clock."""
        return _owner(this_process())

    @property
    def alive(self) -> bool:
        """Whether it still runs, as far as its number shows: for jobs of versions without a lock."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) < _CLOCK
        except psutil.Error:
            return False


@cache
def _owner(_process: Process) -> Owner:
    return Owner(os.getpid(), psutil.Process().create_time())


@dataclass(frozen=True, slots=True)
class Job:
    """Define what is uploaded, and as what; never changes.

    Parameters
    ----------
    kind : {"rheed", "timeseries"}
    run : str
        uid of the run, or of a `RheedStream`.
    name : str
        Of the detector.
    path : str
        The recorded file (`Hdf5Sink`), which may still grow; of a time series, lines of JSON ``{"time", "channel",
        "value", "units"}``.
    endpoint : str
        Of the service, without the last slash.
    stream_name : str
        What the service shows.
    dataset : str
        Where the pixels are.
    fps : float, optional
        Frames per second; None: measured from the timestamps of the first two seconds.
    chunk_size : int, optional
        Frames a chunk; None: the least that makes two seconds.
    rotations_per_min : float
        0: not rotating.
    rule : str
        How pixels become 8 bit, see `beamstream.ops.eight_bit`.
    physical_sample, project_id, azimuth : str, optional
    tags : tuple of str
    verbosity : int
        Of the client's own log, 0 to 4.
    owner : Owner, optional
        Who records; None: it was recorded before.
    chunk_seconds : float
        How long a chunk is where `chunk_size` is None.
    key_file : str, optional
        Where the key of the service is, see `beamstream.rheed.key`; the key itself stands nowhere here.
    address_file : str, optional
        Where the service writes its address, if it is the ingest of an archive: it has to prove to be that one.
    """

    kind: Kind
    run: str
    name: str
    path: str
    endpoint: str
    stream_name: str
    dataset: str = "/entry/data/data"
    fps: float | None = None
    chunk_size: int | None = None
    rotations_per_min: float = 0.0
    rule: str = "as-is"
    physical_sample: str | None = None
    project_id: str | None = None
    azimuth: str | None = None
    tags: tuple[str, ...] = ()
    verbosity: int = 0
    owner: Owner | None = None
    chunk_seconds: float = 2.0
    key_file: str | None = None
    address_file: str | None = None

    @property
    def links(self) -> dict[str, Any]:
        """What the service shall attach to the stream, as the client takes it."""
        return {"physical_sample": self.physical_sample, "project_id": self.project_id, "tags": list(self.tags)}

    @classmethod
    def from_dict(cls, doc: Mapping[str, Any]) -> Self:
        """Read what `dataclasses.asdict` made."""
        owner = doc.get("owner")
        return cls(**{**doc, "tags": tuple(doc.get("tags", ())), "owner": Owner(**owner) if owner else None})


@dataclass(frozen=True, slots=True)
class State:
    """Describe how far an upload is; replaced as a whole, on disk before it is acted on.

    Parameters
    ----------
    phase : Phase
    data_id : str
        The service's name for the stream; empty until it has one.
    fps, chunk_size
        What was settled on before the first chunk, and holds to the end.
    confirmed : int
        Chunks ``0:confirmed`` are at the service.
    beyond : tuple of int
        Later chunks that are there as well.
    frames : int
        Frames on disk, when they were counted last.
    uploaded : int
        Frames at the service.
    error : str
        What is in the way, in words; empty if nothing is.
    linked : bool
        Whether sample and tags are attached to the stream.
    refusals : int
        Answers that a bare client would have taken for the end of a chunk.
    since : float
        When the phase was entered, s since 1970-01-01 UTC.
    undecoded : tuple of int
        Rows whose recorded bytes do not decode, and that are black at the service; the first 100 of them.
    """

    phase: Phase = "waiting"
    data_id: str = ""
    linked: bool = False
    fps: float = 0.0
    chunk_size: int = 0
    confirmed: int = 0
    beyond: tuple[int, ...] = ()
    frames: int = 0
    uploaded: int = 0
    error: str = ""
    refusals: int = 0
    since: float = 0.0
    undecoded: tuple[int, ...] = ()

    def with_confirmed(self, chunk: int) -> Self:
        """Return the state after one more chunk has arrived; the same one again changes nothing."""
        if chunk < self.confirmed:
            return self
        beyond = {*self.beyond, chunk}
        confirmed = self.confirmed
        while confirmed in beyond:
            beyond.remove(confirmed)
            confirmed += 1
        return replace(self, confirmed=confirmed, beyond=tuple(sorted(beyond)))

    def has(self, chunk: int) -> bool:
        """Return whether a chunk is at the service."""
        return chunk < self.confirmed or chunk in self.beyond


class JobDirectory:
    """Keep one job and its state: ``JobDirectory.create(uploads / "1a2b3c4d-rheed", job)``.

    ::

        job.json      `Job`, written once
        total.json    {"frames": n}, written by who recorded when the recording is over
        state.json    `State`, replaced by the worker
        recorder      locked by who records, until the recording is over
        lock          locked by the worker as long as it lives
        worker.log    what worker and client wrote
        spool/        the client's own, of no worth to anybody else

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = path / "lock"
        self.recorder = path / "recorder"
        self.log = path / "worker.log"
        self.spool = path / "spool"
        self._recording = -1  # our lock, if we record

    @classmethod
    def create(cls, path: Path, job: Job) -> Self:
        """Make the directory; it is complete or not there.

        Where this process is the job's owner, it counts as recording until `end` or `release`, or until it is gone.

        Raises
        ------
        UploadError
            It is there already, or cannot be made.
        """
        hidden = path.with_name(f".{path.name}.{uuid4().hex}")
        made = cls(path)
        try:
            make_directories(hidden)
            _put(hidden / "job.json", asdict(job))
            if job.owner == Owner.this():
                made._recording = open_locked(hidden / "recorder")
            if path.exists():
                raise FileExistsError
            hidden.rename(path)
            sync_directory(path.parent)
        except OSError as error:
            made.release()
            shutil.rmtree(hidden, ignore_errors=True)
            if isinstance(error, FileExistsError):
                raise UploadError(
                    f"upload: {path.name} is there already; beamstream uploads shows it, and how far it is"
                ) from None
            raise UploadError(f"upload: {path} cannot be made: {error.strerror}") from error
        return made

    @property
    def job(self) -> Job:
        """What is uploaded.

        Raises
        ------
        UploadError
            This is no upload, or of another version.
        """
        try:
            return self._here(Job.from_dict(json.loads((self.path / "job.json").read_bytes())))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UploadError(f"upload: {self.path} holds no upload that can be read ({error})") from error

    def _here(self, job: Job) -> Job:
        """Return the job of an archive that was moved with the paths of today."""
        places = Places.of(self.path.parent.parent)
        paths = {name: getattr(job, name) for name in ("path", "key_file", "address_file")}
        return replace(job, **{name: str(places.path(Path(path))) for name, path in paths.items() if path})

    @property
    def ingest_address(self) -> str | None:
        """Where the ingest writes its address whose key the job names; for jobs of versions that did not note it."""
        archive = self.path.parent.parent
        own = self.job.key_file == str(archive / "ingest_key")
        return str(archive / "ingest" / "server.json") if own else None

    @property
    def state(self) -> State:
        """How far it is; the beginning where nothing was saved yet."""
        try:
            doc = json.loads((self.path / "state.json").read_bytes())
        except FileNotFoundError:
            return State()
        known = {f.name for f in fields(State)}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in doc.items() if k in known}
        return State(**values)

    def save(self, state: State, *, durable: bool = True) -> None:
        """Replace the state; it is on disk when this returns, unless `durable` is false: then only others see it."""
        _put(self.path / "state.json", asdict(state), durable=durable)

    @property
    def total(self) -> int | None:
        """How many frames there are in all; None while the recording goes on."""
        try:
            return int(json.loads((self.path / "total.json").read_bytes())["frames"])
        except FileNotFoundError:
            return None

    def end(self, frames: int) -> None:
        """Write down that the recording is over, and how many frames were counted; once.

        What is on disk is all from then on, also where this cannot be written, unless its file is still locked.
        """
        try:
            if self.total is None:
                _put(self.path / "total.json", {"frames": frames})
        finally:
            self.release()

    def release(self) -> None:
        """Count as recording no more."""
        fd, self._recording = self._recording, -1
        if fd >= 0:
            unlock(fd)

    @property
    def is_recording(self) -> bool:
        """Whether a process lives that may record more: by locks, which hold across clocks and containers."""
        job = self.job
        if job.owner is None:
            return False
        if job.kind == "rheed" and is_locked(job.path):
            return True
        if self.total is not None:
            return False
        return is_locked(self.recorder) if self.recorder.exists() else job.owner.alive  # of an earlier version


def job_directories(uploads: Path) -> Iterator[JobDirectory]:
    """Yield the uploads of an archive, the oldest first."""
    found = [p for p in uploads.glob("*") if (p / "job.json").exists() and not p.name.startswith(".")]
    for path in sorted(found, key=lambda p: (p / "job.json").stat().st_mtime):
        yield JobDirectory(path)


def _put(path: Path, doc: Mapping[str, Any], *, durable: bool = True) -> None:
    """Replace a file as a whole."""
    hidden = path.with_name(f".{path.name}.{uuid4().hex}")
    with open(hidden, "w", opener=as_around) as file:
        json.dump(doc, file)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    hidden.replace(path)
    if durable:
        sync_directory(path.parent)
