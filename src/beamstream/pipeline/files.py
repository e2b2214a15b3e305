"""A pipeline's file: read it, check it, make its processors, make them again when it or a plug-in changes."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from beamstream.errors import PipelineError
from beamstream.pipeline.building import build
from beamstream.pipeline.document import Document, read
from beamstream.pipeline.entries import Entries, Entry, entries_of
from beamstream.pipeline.processor import Processor
from beamstream.pipeline.watching import Watched

log = logging.getLogger(__name__)
_PAUSE = 0.5
"""Seconds between two looks at the files."""


@dataclass(frozen=True)
class Built:
    """A processor, what the file says about it, and the files it stands on, as they were."""

    processor: Processor
    entry: Entry
    watched: Watched


@dataclass(frozen=True)
class Reading:
    """What one reading of a file gave; it may be used when its document has no complaints."""

    document: Document
    asked: Entries
    built: list[Built]
    watched: Watched

    @property
    def processors(self) -> list[Processor]:
        """In their order."""
        return [one.processor for one in self.built]


def check(file: Path, before: "Reading | None" = None) -> Reading:
    """Read a file and make its processors; everything wrong with it is in the document's complaints.

    Processors of an earlier reading that are still the same, their files too, are taken over with their memory.
    """
    file = file.expanduser().absolute()
    watched = Watched()
    watched.see(file)
    document = read(file)
    asked = entries_of(document)
    old = before.built if before is not None and before.asked.processors_dir == asked.processors_dir else []
    built = []
    for entry in asked.entries:
        one = next((one for one in old if one.entry == entry and not one.watched.changed()), None)
        if one is None:
            own = Watched()
            processor = build(entry, document, asked.processors_dir, own)
            watched.include(own)
            if processor is None:
                continue
            one = Built(processor, entry, own)
        watched.include(one.watched)
        built.append(one)
    return Reading(document, asked, built, watched)


class PipelineFile:
    """Keep the processors of a file up to date.

    Parameters
    ----------
    file : Path
    reload : bool
        Whether to look for changes; ``"hot_reload": false`` in the file means no, too.

    Raises
    ------
    PipelineError
        Something is wrong with the file; all of it is in the text, a line each.
    """

    def __init__(self, file: Path, reload: bool) -> None:
        reading = check(file)
        if reading.document.complaints:
            raise PipelineError(reading.document.report())
        self.reading = reading
        """The version in use."""
        self._watched = reading.watched
        self._reload = reload
        self._next_look = time.monotonic() + _PAUSE
        self.error: str | None = None
        """Why the newest version of the file is not in use; None when it is."""

    @property
    def file(self) -> Path:
        """The file, absolute."""
        return self.reading.document.file

    def processors(self) -> list[Processor]:
        """Return the processors, made anew where a file has changed; cheap to ask for each frame."""
        if self._reload and self.reading.asked.hot_reload and time.monotonic() >= self._next_look:
            if self._watched.changed():
                self._renew()
            self._next_look = time.monotonic() + _PAUSE
        return self.reading.processors

    def _renew(self) -> None:
        reading = check(self.file, self.reading)
        self._watched = reading.watched  # also what a broken version stands on: mending that is a change
        if reading.document.complaints:
            self.error = reading.document.report()
            log.warning("the pipeline goes on as it was, its new version is wrong: %s", self.error)
            return
        self.reading, self.error = reading, None
        log.info("%s: read again, %d processors", self.file, len(reading.built))
