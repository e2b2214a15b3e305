"""Upload what a detector records while it records: the frames are read elsewhere, by a process of their own."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from beamstream.callbacks.aside import AsideWork
from beamstream.callbacks.images import Emit
from beamstream.callbacks.recorded_files import RecordedFile, RecordedFiles
from beamstream.errors import UploadError
from beamstream.rheed.destination import destination_for
from beamstream.rheed.job import JobDirectory, Owner
from beamstream.rheed.keeper import Keeper
from beamstream.rheed.options import Recorded, UploadOptions
from beamstream.rheed.report import statuses
from beamstream.rheed.starting import put_job, uploads_of


class RheedUploader:
    """Upload the frames of every run, live, to a service that takes RHEED: a cloud, or the archive's own ingest.

    It reads no frames: for each recorded file it writes down what is to be uploaded (``<archive>/uploads/…``) and
    starts a worker, which reads the file while it grows, starts offline and catches up, and goes on when this
    session ends. Nothing here can fail a run, and a run's end waits for no upload.

    Parameters
    ----------
    archive : path-like
        Its directory.
    stream : str
        ``"raw"``, or the name of what is derived in the same run, like ``"corrected"``.
    detectors : collection of str, optional
        Whose frames; all that make grey images by default.
    ingest : str
        URL at which the archive's ingest will be, for uploads that are begun while it does not run.
    keeper : Keeper, optional
        Sees to the workers, of others as well.
    **options
        Where to and as what: see `beamstream.rheed.options.UploadOptions`.

    Raises
    ------
    ValueError
        An option cannot be: chunks of less than 2 s, for example.
    """

    name = "rheed_uploader"
    required = False
    derives = False

    def __init__(
        self,
        archive: str | Path,
        *,
        stream: str = "raw",
        detectors: Collection[str] | None = None,
        ingest: str = "",
        keeper: Keeper | None = None,
        **options: Any,
    ) -> None:
        self.archive = Path(archive).expanduser().absolute()
        self.stream = stream
        self.detectors = detectors
        self.ingest = ingest
        self.options = UploadOptions(**options)
        self.keeper = keeper or Keeper()

    def begin(self, start: Mapping[str, Any], _emit: Emit) -> "UploadWork | None":
        """Begin with a run; not with one that takes darks or flats, or that has ``md={"upload": False}``."""
        if start.get("purpose") == "reference" or start.get("upload") is False:
            return None
        return UploadWork(self, start)

    def put(self, what: Recorded) -> JobDirectory:
        """Write down that a file is to be uploaded; nothing is started.

        Raises
        ------
        UploadError
            There is no service, the pixels do not fit the rule, or the disk refuses.
        """
        to = destination_for(self.options, self.archive, self.ingest)
        return put_job(uploads_of(self.archive), self.options.job(what, to))

    def status(self) -> list[dict[str, Any]]:
        """Return how far every upload of the archive is; see `beamstream.rheed.report.status_of`."""
        return statuses(uploads_of(self.archive))

    def close(self) -> None:
        """Let the workers go on by themselves."""
        self.keeper.close()

    def __repr__(self) -> str:
        known = self.status()
        under_way = [s for s in known if s["phase"] != "done"]
        lines = [f"{s['upload']}: {s['uploaded']} of {s['frames']} frames, {s['words']}" for s in under_way]
        where = self.options.endpoint or "the ingest of the archive"
        return "\n  ".join([f"RheedUploader to {where}: {len(known) - len(under_way)} uploads done", *lines])


class UploadWork(AsideWork[RecordedFile]):
    """What `RheedUploader` does for one run."""

    def __init__(self, of: RheedUploader, start: Mapping[str, Any]) -> None:
        super().__init__(of.name)
        self.jobs: dict[Path, JobDirectory] = {}
        """What was written down so far, by the recorded file."""
        self._of = of
        self._files = RecordedFiles(start, of.stream, of.detectors, Owner.this())

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Note what a document announces; does not wait."""
        file = self._files(name, doc)
        if file is not None:
            self.put(file)
        elif name == "stop":
            self.over()
        elif name == "descriptor":
            self._refuse()

    def _refuse(self) -> None:
        """Warn of images that are no RHEED."""
        for data_key, what in self._files.not_grey.items():
            error = UploadError(
                f"images are {what}, RHEED is rows and columns of grey; name the detectors that are to be uploaded"
            )
            self.fail(error, f"{data_key} is not uploaded")
        self._files.not_grey.clear()

    # in the thread

    def take(self, todo: list[RecordedFile]) -> None:
        """Write jobs, and have them worked on."""
        for file in todo:
            try:
                job = self.jobs[file.what.path] = self._of.put(file.what)
            except Exception as error:  # an upload is never worth a run
                self.fail(error, f"{file.what.detector} is not uploaded (`beamstream upload` does it later)")
            else:
                self._of.keeper.keep(job)

    def ended(self) -> None:
        """Write down how many frames were counted; a file that is still being written is uploaded to its end."""
        for file in self._files.files:
            try:
                if file.what.path in self.jobs:
                    self.jobs[file.what.path].end(self._files.frames(file))
            except OSError as error:  # then those on disk are all
                self.fail(error, f"the end of {file.what.detector} could not be written")

    @property
    def account(self) -> dict[str, Any]:
        """How far the uploads are at this moment: ``uploaded``, ``backlog``, ``failed`` (not begun) and ``error``."""
        uploaded = sum(job.state.uploaded for job in self.jobs.values())
        announced = sum(file.announced for file in self._files.files if file.what.path in self.jobs)
        return {"uploaded": uploaded, "backlog": max(0, announced - uploaded), **super().account}
