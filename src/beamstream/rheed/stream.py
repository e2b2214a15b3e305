"""RheedStream: frames from any program to a service that takes RHEED, without bluesky and without loss."""

import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from numpy.typing import NDArray

from beamstream.errors import GeometryChanged, UploadError
from beamstream.frames import Frame, Geometry
from beamstream.private import make_directories
from beamstream.rheed.checks import check_rule, frames_in_a_chunk, grey_images
from beamstream.rheed.destination import destination_for
from beamstream.rheed.job import JobDirectory, Owner
from beamstream.rheed.keeper import Keeper
from beamstream.rheed.options import Recorded, UploadOptions
from beamstream.rheed.report import status_of
from beamstream.rheed.starting import is_over, put_job, uploads_of
from beamstream.sinks.disk import explained
from beamstream.sinks.hdf5 import Hdf5Sink

_LOOK = 0.1  # s
_DATASET = "/entry/data/data"


class RheedStream:
    """Push frames as they come, or have an iterator played at the capture rate; all of them are uploaded.

    ::

        with RheedStream(endpoint="http://127.0.0.1:8711", key_file="key", directory="data", fps=120.0) as stream:
            for frames in camera:
                stream.push(frames)
            print(stream.finalize(timeout=60))

    What `push` returned for is in an HDF5 file on this disk, and would survive a kill of this process. A process of
    its own reads that file and uploads it: it starts offline, catches up, and goes on when this one is gone. What it
    has not finished by then, ``beamstream uploads --resume`` takes up. To be used from one thread at a time.

    Parameters
    ----------
    fps : float
        Frames per second.
    directory : path-like
        Made if it is missing; an archive's directory is a good one: the file goes into ``recordings`` in it, and
        ``beamstream uploads`` shows the upload.
    endpoint : str
        ``http://host:port``, or ``"atomscale"`` for that cloud; the ingest of the archive in `directory` by default.
    key : str, optional
        Of the service; kept nowhere, so that an upload that is resumed by another program needs it from the
        environment variable ``BEAMSTREAM_UPLOAD_KEY``. Otherwise `key_file` or that variable.
    key_file : path-like, optional
        Holds the key, mode 600.
    stream_name, physical_sample : str, optional
        What the service shows.
    rotations_per_min : float
        0.0: the sample stands still.
    chunk_size : int, optional
        Frames a chunk, 2 s of them or more; by default the least that makes 2 s.
    verbosity : int
        Of the client's own log, 0 to 4.
    rule : str
        How pixels become 8 bit: ``"as-is"``, ``"shift:4"``, ``"window:0:4095"``.
    project_id, azimuth : str, optional
    tags : tuple of str
    insecure_http : bool
        Upload to ``http://`` beyond this machine, where everybody on the way can read frames and key.

    Raises
    ------
    ValueError
        One of them cannot be.
    UploadError
        No endpoint was named, and the directory has no ingest that runs.
    """

    def __init__(
        self,
        *,
        fps: float,
        directory: str | Path,
        endpoint: str = "",
        key: str = "",
        key_file: str | Path | None = None,
        stream_name: str = "RHEED",
        physical_sample: str | None = None,
        rotations_per_min: float = 0.0,
        chunk_size: int | None = None,
        verbosity: int = 0,
        rule: str = "as-is",
        project_id: str | None = None,
        tags: tuple[str, ...] = (),
        azimuth: str | None = None,
        insecure_http: bool = False,
    ) -> None:
        self.chunk_size = frames_in_a_chunk(fps, chunk_size)
        self._options = UploadOptions(
            endpoint=endpoint,
            key_file=key_file,
            stream_name=stream_name.replace("{", "{{").replace("}", "}}"),  # a name, no template
            physical_sample=physical_sample,
            project_id=project_id,
            tags=tags,
            rotations_per_min=rotations_per_min,
            azimuth=azimuth,
            fps=fps,
            rule=rule,
            verbosity=verbosity,
            insecure_http=insecure_http,
        )
        self.fps = fps
        self.stream_name = stream_name
        self.directory = Path(directory).expanduser().absolute()
        self.uid = str(uuid4())
        self.pushed = 0
        """Frames that are on disk."""
        self._to = destination_for(self._options, self.directory)
        if key:  # goes before any file
            self._to = replace(self._to, key_file=None)
        self._keeper = Keeper(key)
        self._sink: Hdf5Sink | None = None
        self._job: JobDirectory | None = None
        self._next = 0.0  # when the next frame is due, s since 1970-01-01 UTC
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._end(complete=error is None)
        self._keeper.close()

    # frames

    def push(self, frames: NDArray[Any], capture_start: float | None = None) -> int:
        """Keep frames and have them uploaded; return how many there are on disk by now.

        Parameters
        ----------
        frames : ndarray of uint8 or uint16, shape (n, rows, columns) or (rows, columns)
            Only read, and free again when this returns. Any number: the chunks are made elsewhere.
        capture_start : float, optional
            When the first of them was taken, s since 1970-01-01 UTC; by default they are taken to have just ended.

        Raises
        ------
        TypeError, ValueError
            This is no array of grey frames, or the stream has ended. Nothing of it is kept.
        GeometryChanged
            The shape or the type is another one than that of the first frames. Nothing of it is kept.
        UploadError
            The rule does not fit the pixels.
        SinkError
            The disk refuses; what was pushed before stays.
        """
        if self._ended:
            raise ValueError("RHEED stream: frames pushed, it has ended; begin another one")
        images = grey_images(frames)
        if not len(images):
            return self.pushed
        now = time.time()
        start = capture_start if capture_start is not None else max(self._next, now - len(images) / self.fps)
        sink = self._sink or self._open(Geometry(images.shape[1:], images.dtype.str))
        if sink.geometry != Geometry(images.shape[1:], images.dtype.str):
            raise GeometryChanged(
                f"RHEED stream: frames of {' × '.join(map(str, images.shape[1:]))} {images.dtype.name} pushed, those "
                f"before are {sink.geometry}; begin another stream for them"
            )
        rows = enumerate(images, self.pushed)
        made = [Frame(image, sink.geometry, row, start + (row - self.pushed) / self.fps, now) for row, image in rows]
        self.pushed = sink.write(made)
        self._next = start + len(images) / self.fps
        return self.pushed

    def run(self, frames_iter: Iterable[NDArray[Any]], *, pace: bool = True) -> int:
        """Push all that an iterator yields; return how many frames that were.

        Parameters
        ----------
        frames_iter : iterable of ndarray
            See `push`.
        pace : bool
            Push no faster than the frames would have been captured: of frames from a file or from memory. Without
            it, as fast as the disk takes them. Their times go on at the capture rate either way; an iterator that
            is late by more than one item shifts what follows.
        """
        before, due, waiting = self.pushed, time.time(), threading.Event()
        for frames in frames_iter:
            images = grey_images(frames)
            length = len(images) / self.fps
            if pace:
                waiting.wait(max(0.0, due - time.time()))
                if time.time() - due > length:
                    due = time.time()
            self.push(images, due)
            due += length
        return self.pushed - before

    # the end

    def close(self) -> None:
        """End the recording; the upload of what is in it goes on by itself. A second call does nothing."""
        self._end(complete=True)
        self._keeper.close()

    def finalize(self, timeout: float | None = 600.0) -> dict[str, Any]:
        """End the recording, wait for the upload, return the counts.

        Parameters
        ----------
        timeout : float, optional
            s; None: as long as it takes. What is not there by then is uploaded nevertheless.

        Returns
        -------
        dict
            ``pushed``, ``uploaded``, ``pending`` (frames), ``closed`` (whether all is there, and the service has
            closed the stream), ``data_id``, ``phase``, and ``words`` that say what is in the way.
        """
        began = time.monotonic()
        self._end(complete=True)
        job, waiting = self._job, threading.Event()
        while job is not None and not is_over(job) and (timeout is None or time.monotonic() - began < timeout):
            waiting.wait(_LOOK)
        self.close()
        status = self.status
        names = ("pushed", "uploaded", "pending", "closed", "data_id", "phase", "words")
        return {name: status[name] for name in names}

    @property
    def status(self) -> dict[str, Any]:
        """How far it is: as `finalize` says it, with ``pending_seconds`` (of the recording) and ``upload``, a name."""
        said = {} if self._job is None else status_of(self._job)
        uploaded = said.get("uploaded", 0)
        pending = max(0, self.pushed - uploaded)
        return {
            "pushed": self.pushed,
            "uploaded": uploaded,
            "pending": pending,
            "pending_seconds": pending / self.fps,
            "closed": said.get("phase") == "done",
            "data_id": said.get("data_id", ""),
            "phase": said.get("phase", "waiting"),
            "words": said.get("words", "nothing was pushed"),
            "upload": said.get("upload", ""),
        }

    def _open(self, geometry: Geometry) -> Hdf5Sink:
        """Make the file, and the upload of it: from then on whatever is written is uploaded."""
        check_rule(self._options.rule, geometry.dtype, "RHEED stream")
        place = self.directory / "recordings" / time.strftime("%Y/%m/%d")
        with explained("RHEED stream", "make the directory", place):
            make_directories(self.directory, 0o700)
            make_directories(place)
        path = place / f"rheed_{time.strftime('%H%M%S')}_{self.uid[:8]}.h5"
        sink = Hdf5Sink(path, geometry, name="rheed", attributes={"source": self.stream_name}).__enter__()
        start = {"uid": self.uid}
        what = Recorded(start, "rheed", path, _DATASET, geometry.dtype, {}, Owner.this())
        try:
            job = self._options.job(what, self._to)
            tags = tuple(tag for tag in job.tags if tag != f"run:{self.uid}")  # there is no such run in an archive
            job = replace(job, chunk_size=self.chunk_size, tags=tags)
            self._job = put_job(uploads_of(self.directory), job)
        except BaseException:
            sink.__exit__(UploadError, None, None)
            path.unlink()
            raise
        self._keeper.keep(self._job)
        self._sink = sink
        return sink

    def _end(self, *, complete: bool) -> None:
        """Close the file, and say how many frames there are."""
        if self._ended:
            return
        self._ended = True
        try:
            if self._sink is not None:
                self._sink.__exit__(None if complete else UploadError, None, None)
        finally:
            if self._job is not None:
                self._job.end(self.pushed)
