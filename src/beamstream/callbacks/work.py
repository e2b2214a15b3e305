"""Work on the frames that documents announce: in a thread of its own, for one run."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from beamstream.callbacks.images import Emit, Source, image_keys
from beamstream.errors import CodecError
from beamstream.frames import Frame
from beamstream.sinks.hdf5 import MIMETYPE

log = logging.getLogger(__name__)

_TAKE = 0.25  # s that one call of `take` may last, where a frame takes less: so often is progress counted


class FrameWork:
    """Take the frames of one run as documents announce them; subclasses define what becomes of them.

    Documents come in the RunEngine's thread, which only notes what they announce. The thread of this
    object reads the frames, from the ring or, when it is late, from the file. Everything that it does not
    manage is in its account.

    Parameters
    ----------
    name : str
        Of the callback, for errors, threads and the account.
    start : dict
        The run's start document.
    emit : callable
        Takes the documents that this work makes, ``emit(name, doc)``.
    select : callable
        ``select(descriptor, data_key)``: whether these images are wanted.
    newest : bool
        Take only the newest of what is announced, and count the others as skipped.
    """

    def __init__(
        self,
        name: str,
        start: Mapping[str, Any],
        emit: Emit,
        select: Callable[[Mapping[str, Any], str], bool],
        *,
        newest: bool = False,
    ) -> None:
        self.name = name
        self.start = start
        self.emit = emit
        self.error: Exception | None = None
        self.failed = 0
        self.skipped = 0
        self.moved = time.monotonic()
        """When something was done last, by time.monotonic()."""
        self._select = select
        self._newest = newest
        self._most = 1  # frames in one call of `take`
        self._descriptors: dict[str, Mapping[str, Any]] = {}
        self._resources: dict[str, Mapping[str, Any]] = {}
        self._sources: dict[str, Source] = {}
        self._streams: dict[str, list[str]] = {}  # by data key
        self._lock = threading.Condition()
        self._ending = False
        self._cancelled = False
        self._thread: threading.Thread | None = None

    # what subclasses define

    def described(self, descriptor: Mapping[str, Any], data_key: str) -> None:
        """Refuse images that cannot be worked on, before they come; in the RunEngine's thread."""

    def take(self, source: Source, frames: list[Frame]) -> None:
        """Work on frames, in order; they are valid until this returns.

        How many they are follows the measured time: one where a frame takes long, so that each counts as progress.
        """
        raise NotImplementedError

    def caught_up(self, source: Source) -> None:
        """Called when all that was announced of a source is processed, for now."""

    def ended(self) -> None:
        """Finish: every frame was taken, or `error` says why not."""

    # documents, in the RunEngine's thread

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Note what a document announces; returns at once."""
        match name:
            case "descriptor":
                for data_key in image_keys(doc):
                    if self._select(doc, data_key):
                        self._descriptors[doc["uid"]] = doc
                        self.described(doc, data_key)
            case "stream_resource" if doc.get("mimetype") == MIMETYPE:
                self._resources[doc["uid"]] = doc
            case "stream_datum":
                self._announce(doc)

    def _announce(self, doc: Mapping[str, Any]) -> None:
        source = self._sources.get(doc["stream_resource"])
        if source is None:
            descriptor = self._descriptors.get(doc["descriptor"])
            resource = self._resources.get(doc["stream_resource"])
            if descriptor is None or resource is None or resource["data_key"] not in image_keys(descriptor):
                return
            if not self._select(descriptor, resource["data_key"]):  # others of the same event
                return
            source = Source(descriptor, resource)
        self._warn_of_several(source, doc["descriptor"])
        with self._lock:
            self._sources[doc["stream_resource"]] = source
            source.announced = max(source.announced, doc["indices"]["stop"])
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"{self.name}-callback", daemon=True)
                self._thread.start()
            self._lock.notify_all()

    def _warn_of_several(self, source: Source, descriptor: str) -> None:
        """Warn once that frames of several streams, darks among images, are worked on as if they were of the first."""
        stream = self._descriptors.get(descriptor, source.descriptor).get("name", "primary")
        streams = self._streams.setdefault(source.data_key, [stream])
        if stream not in streams:
            streams.append(stream)
            words = "%s: %s has frames of the streams %s and %s in one file; what is made of them stands with the first"
            log.warning(words, self.name, source.name, streams[0], stream)

    # the end of the run

    @property
    def progress(self) -> tuple[int, int]:
        """Frames done, and announced."""
        with self._lock:
            sources = list(self._sources.values())
        return sum(s.done for s in sources), sum(s.announced for s in sources)

    @property
    def sources(self) -> list[Source]:
        """The files that frames were announced of."""
        with self._lock:
            return list(self._sources.values())

    def finish(self) -> None:
        """Mark the run's documents as complete; returns at once."""
        with self._lock:
            self._ending = True
            self._lock.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait for the end of the work after `finish`; False after `timeout` seconds."""
        if self._thread is not None:
            self._thread.join(timeout)
            return not self._thread.is_alive()
        return True

    @property
    def complete(self) -> bool:
        """Whether everything was done that was announced, so far."""
        return self.error is None and not self._cancelled

    def give_up(self) -> None:
        """Leave undone what is not done yet; what was made stays."""
        self._cancelled = True
        self.finish()

    @property
    def account(self) -> dict[str, Any]:
        """What became of the frames: ``frames``, ``undone``, ``failed``, ``skipped``, ``late`` and ``error``.

        ``late`` were read from the file because the ring had them no more.
        """
        done, announced = self.progress
        return {
            "frames": done - self.failed - self.skipped,
            "undone": announced - done,
            "failed": self.failed,
            "skipped": self.skipped,
            "late": sum(source.late for source in self.sources),
            "error": "" if self.error is None else str(self.error),
        }

    # the thread

    def _run(self) -> None:
        try:
            while (piece := self._next()) is not None:
                self._take_piece(*piece)
        except Exception as error:
            self.error = error
        try:
            self.ended()
        except Exception as error:
            self.error = self.error or error
        finally:
            for source in self.sources:
                source.close()

    def _next(self) -> tuple[Source, int] | None:
        """Wait for announced frames; None at the end."""
        with self._lock:
            while not self._cancelled:
                for source in self._sources.values():
                    if source.done < source.announced:
                        return source, source.announced
                if self._ending:
                    return None
                self._lock.wait()
        return None

    def _take_piece(self, source: Source, stop: int) -> None:
        if self._newest:
            self.skipped += stop - 1 - source.done
            source.done = stop - 1
        unreadable = partial(self._leave_out, source)
        for batch in source.frames.read_decodable(source.done, stop, unreadable):
            while batch:
                if self._cancelled:
                    return
                frames, batch = batch[: self._most], batch[self._most :]
                self._take_measured(source, frames)
        self.caught_up(source)

    def _leave_out(self, source: Source, _row: int, error: CodecError) -> None:
        """Count a frame that does not decode as failed."""
        self.failed += 1
        source.done += 1
        self.moved = time.monotonic()
        if self.failed == 1:
            log.warning("%s: %s; the others are worked on", self.name, error)

    def _take_measured(self, source: Source, frames: list[Frame]) -> None:
        began = time.monotonic()
        self.take(source, frames)
        source.done += len(frames)
        self.moved = time.monotonic()
        fitting = int(_TAKE * len(frames) / max(self.moved - began, 1e-6))
        self._most = max(1, min(2 * self._most, fitting))
