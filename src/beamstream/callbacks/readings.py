"""Upload numbers that a run reads (temperatures, pressures) as time series, beside its frames."""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from math import isfinite
from pathlib import Path
from typing import IO, Any

from beamstream.callbacks.aside import AsideWork
from beamstream.callbacks.images import Emit
from beamstream.rheed.destination import destination_for
from beamstream.rheed.job import Job, JobDirectory, Owner
from beamstream.rheed.keeper import Keeper
from beamstream.rheed.options import UploadOptions, sample_of
from beamstream.rheed.starting import put_job, uploads_of

FILE = "readings.jsonl"


class ReadingsUploader:
    """Upload the numbers in a run's events as time series; monitors (``bps.monitor``, `monitor_during`) as well.

    Each reading is a line on disk before it is sent, and is counted until the service has it: the client alone
    would be silent about what it loses. Nothing here can fail a run.

    Parameters
    ----------
    archive : path-like
        Its directory.
    data_keys : collection of str
        Which: names or patterns, like ``"heater_*"``. Units come from the data keys.
    ingest : str
        URL at which the archive's ingest will be, for uploads that are begun while it does not run.
    keeper : Keeper, optional
        Sees to the workers, of others as well.
    **options
        ``endpoint``, ``key_file``, ``physical_sample``, ``project_id``, ``tags``, ``stream_name``, ``verbosity``: see
        `beamstream.rheed.options.UploadOptions`.

    Raises
    ------
    ValueError
        An option cannot be, or no data key is named.
    """

    name = "readings_uploader"
    required = False
    derives = False

    def __init__(
        self,
        archive: str | Path,
        data_keys: Collection[str],
        *,
        ingest: str = "",
        keeper: Keeper | None = None,
        **options: Any,
    ) -> None:
        if isinstance(data_keys, str) or not data_keys:
            raise ValueError(f'readings: data_keys {data_keys!r} given; name at least one, like ["heater_temperature"]')
        self.archive = Path(archive).expanduser().absolute()
        self.data_keys = tuple(data_keys)
        self.ingest = ingest
        self.options = UploadOptions(**options)
        self.keeper = keeper or Keeper()

    def begin(self, start: Mapping[str, Any], _emit: Emit) -> "ReadingsWork | None":
        """Begin with a run; not with one that takes darks or flats, or that has ``md={"upload": False}``."""
        if start.get("purpose") == "reference" or start.get("upload") is False:
            return None
        return ReadingsWork(self, start)

    def wants(self, data_key: str) -> bool:
        """Return whether a data key was named."""
        return any(fnmatchcase(data_key, pattern) for pattern in self.data_keys)

    def put(self, start: Mapping[str, Any]) -> JobDirectory:
        """Write down that the readings of a run are to be uploaded; nothing is started.

        Raises
        ------
        UploadError
            There is no service, or the disk refuses.
        """
        options, to = self.options, destination_for(self.options, self.archive, self.ingest)
        job = Job(
            kind="timeseries",
            run=start["uid"],
            name="readings",
            path=FILE,
            endpoint=to.endpoint,
            stream_name=options.named(start, "readings"),
            dataset="",
            physical_sample=options.physical_sample or sample_of(start) or None,
            project_id=options.project_id,
            tags=(f"run:{start['uid']}", *options.tags),
            verbosity=options.verbosity,
            owner=Owner.this(),
            key_file=to.key_file,
            address_file=to.address_file,
        )
        return put_job(uploads_of(self.archive), job)

    def close(self) -> None:
        """Let the workers go on by themselves."""
        self.keeper.close()


class ReadingsWork(AsideWork[list[str]]):
    """What `ReadingsUploader` does for one run."""

    def __init__(self, of: ReadingsUploader, start: Mapping[str, Any]) -> None:
        super().__init__(of.name)
        self.read = 0
        """Numbers in the events so far."""
        self._of = of
        self._start = start
        self._units: dict[str, dict[str, str]] = {}  # by descriptor, then by data key
        self._job: JobDirectory | None = None
        self._file: IO[str] | None = None
        self._kept = 0

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Note the numbers of an event; does not wait."""
        match name:
            case "descriptor":
                self._describe(doc)
            case "event" if doc["descriptor"] in self._units:
                self._note(doc["descriptor"], doc["data"], doc["timestamps"])
            case "event_page" if doc["descriptor"] in self._units:
                for row in range(len(doc["time"])):
                    data, times = ({k: v[row] for k, v in doc[part].items()} for part in ("data", "timestamps"))
                    self._note(doc["descriptor"], data, times)
            case "stop":
                self.over()

    def _describe(self, doc: Mapping[str, Any]) -> None:
        keys = doc["data_keys"].items()
        units = {k: str(a.get("units") or "") for k, a in keys if self._of.wants(k) and _is_number(a)}
        if units:
            self._units[doc["uid"]] = units

    def _note(self, descriptor: str, data: Mapping[str, Any], times: Mapping[str, float]) -> None:
        lines = list(_lines(self._units[descriptor], data, times))
        if lines:
            self.read += len(lines)
            self.put(lines)

    # in the thread

    def take(self, todo: list[list[str]]) -> None:
        """Put lines on the disk."""
        lines = [line for some in todo for line in some]
        try:
            if self._job is None:
                self._begin()
            assert self._file is not None
            self._file.writelines(lines)
            self._file.flush()
            os.fsync(self._file.fileno())
        except Exception as error:  # readings are never worth a run
            self.fail(error, f"{len(lines)} readings of run {self._start['uid'][:8]} are not kept for the upload")
        else:
            self._kept += len(lines)

    def _begin(self) -> None:
        self._job = self._of.put(self._start)
        self._file = (self._job.path / FILE).open("a")
        self._of.keeper.keep(self._job)

    def ended(self) -> None:
        """Write down how many there are."""
        try:
            if self._file is not None:
                self._file.close()
            if self._job is not None:
                self._job.end(self._kept)
        except OSError as error:  # then those on disk are all
            self.fail(error, "the end of the readings could not be written")

    @property
    def account(self) -> dict[str, Any]:
        """Readings at this moment: ``uploaded``, ``backlog``, ``failed`` (not kept on disk) and ``error``."""
        uploaded = 0 if self._job is None else self._job.state.uploaded
        numbers = {"uploaded": uploaded, "backlog": max(0, self._kept - uploaded)}
        return {**super().account, **numbers, "failed": self.read - self._kept}


def _is_number(about: Mapping[str, Any]) -> bool:
    return about.get("dtype") in ("number", "integer") and not about.get("shape") and "external" not in about


def _lines(units: Mapping[str, str], data: Mapping[str, Any], times: Mapping[str, float]) -> Iterator[str]:
    """Yield a line for each number; what is not finite is none, and JSON cannot carry it."""
    for key, unit in units.items():
        value = data.get(key)
        if value is None or not isfinite(value):
            continue
        line = {"time": float(times[key]), "channel": key, "value": float(value), "units": unit}
        yield json.dumps(line) + "\n"
