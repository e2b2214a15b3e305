"""What `beamstream upload` makes of the documents of a run: jobs, each written once."""

from typing import TYPE_CHECKING, Any

from beamstream.errors import UploadError

if TYPE_CHECKING:
    from beamstream.archive.documents import Document
    from beamstream.config import Config
    from beamstream.rheed.job import Job, JobDirectory
    from beamstream.rheed.options import Recorded


def put_jobs(config: "Config", run: str, said: dict[str, Any]) -> "list[JobDirectory]":
    """Write down what of a recorded run is to be uploaded; what is written down already is not written again.

    Parameters
    ----------
    config : Config
        Says what `said` does not.
    run : str
    said : dict
        ``detectors``, ``stream``, and what `beamstream.rheed.options.UploadOptions` knows.

    Raises
    ------
    ArchiveError
        There is no such run.
    ConfigurationError
        An option cannot be.
    UploadError
        The run goes on, it has nothing to upload or not here, there is no service, pixels do not fit the rule.
    """
    from beamstream.archive.layout import Layout
    from beamstream.export import read_run
    from beamstream.rheed.destination import destination_for
    from beamstream.rheed.options import UploadOptions
    from beamstream.rheed.starting import find_job, put_job, uploads_of

    archive = config.archive.directory
    options = _options(config, said)
    stream, detectors, ingest = (options.pop(name, None) for name in ("stream", "detectors", "ingest"))
    wishes = UploadOptions(**options)
    to = destination_for(wishes, archive, ingest or "")
    jobs: list[JobDirectory] = []
    for what, told in _recorded(read_run(Layout(archive).journal, run), stream, detectors):
        job = wishes.job(what, to)
        found = find_job(uploads_of(archive), job)
        if found is None:
            frames = _frames(job, told)
            found = put_job(uploads_of(archive), job)
            found.end(frames)
        jobs.append(found)
    return jobs


def _options(config: "Config", said: dict[str, Any]) -> dict[str, Any]:
    """Return what is said, then what the configuration says; its key is not for another service."""
    from beamstream.cli.checked import checked
    from beamstream.config.callbacks import RheedUploaderConfig
    from beamstream.instrument.callbacks import upload_options

    known = {} if config.callbacks.rheed_uploader is None else dict(config.callbacks.rheed_uploader)
    if "endpoint" in said:
        known.pop("key_file", None)
    return upload_options(checked(RheedUploaderConfig, known | said), config)


def _recorded(documents: "list[Document]", stream: str, detectors: Any) -> "list[tuple[Recorded, int]]":
    """Return the files of a run, with the frames that its documents tell of."""
    from beamstream.callbacks.recorded_files import RecordedFiles

    start = documents[0].doc
    if documents[-1].name != "stop":
        raise UploadError(
            f"upload: run {start['uid']} has no end; while it is recorded, [callbacks.rheed_uploader] uploads it, and "
            "if its session was killed, `beamstream recover` closes it"
        )
    gathered = RecordedFiles(start, stream, detectors)
    for document in documents:
        gathered(document.name, document.doc)
    if not gathered.files:
        what = "".join(f", but {key}: {images}" for key, images in gathered.not_grey.items())
        raise UploadError(
            f"upload: run {start['uid']} has no grey images in HDF5 of stream {stream!r}{what}; "
            "see `beamstream runs show`"
        )
    return [(file.what, gathered.frames(file)) for file in gathered.files]


def _frames(job: "Job", told: int) -> int:
    """Return how many frames there are, which are as many as were told of unless the file was cut off."""
    from beamstream.sinks.hdf5 import frames_kept

    return min(told, frames_kept(job.path))
