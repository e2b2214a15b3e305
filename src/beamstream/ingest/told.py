"""What the archive was told of a stream, and what it still has to be told."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from beamstream.errors import ArchiveError
from beamstream.ingest.catalogue import Catalogue, Item
from beamstream.ingest.documents import StreamDocuments, start_of, stop_of, uid
from beamstream.ingest.files import StreamFiles
from beamstream.ingest.journal import ResumableJournal
from beamstream.ingest.tokens import Chunk

log = logging.getLogger(__name__)


class ToldRun:
    """Bring one run of the archive up to date, and repeat nothing that was told, also not by a process that was killed.

    Parameters
    ----------
    item : Item
    journal : ResumableJournal
    catalogue : Catalogue
        Where the run is kept, should another one have to be begun.
    """

    def __init__(self, item: Item, journal: ResumableJournal, catalogue: Catalogue) -> None:
        self.item = item
        self._journal, self._catalogue = journal, catalogue
        self._known: set[str] | None = None
        self._rows: dict[str, int] = {}  # by stream_resource: a kill may come between two
        self._closed = False

    def rows(self, files: StreamFiles, first: Chunk, stop: int) -> None:
        """Tell that rows are there, and everything that comes before that.

        Raises
        ------
        ArchiveError
            The disk is full or gone; tell it again later.
        """
        self._resume()
        documents = StreamDocuments(self.item, files, first)
        self._tell(documents.beginning())
        for name, doc in documents.rows(self._rows, stop):
            self._journal(name, doc)
            self._rows[doc["stream_resource"]] = stop

    def more(self, documents: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Tell anything else, once."""
        self._resume()
        self._tell(documents)

    def end(self, ended: float, reason: str, num_events: dict[str, int]) -> None:
        """Close the run; `ended` says when, s since 1970-01-01 UTC."""
        self._resume()
        if not self._closed:
            self._tell([("start", start_of(self.item))])  # nothing ever came
            self._tell([("stop", stop_of(self.item, ended, reason, num_events))])
            self._closed = True

    def _tell(self, documents: Iterable[tuple[str, dict[str, Any]]]) -> None:
        assert self._known is not None
        for name, doc in documents:
            if _mark(doc) not in self._known:
                self._journal(name, doc)
                self._known.add(_mark(doc))

    def _resume(self) -> None:
        """Find out, once, what was told before."""
        if self._known is not None:
            return
        try:
            documents = self._journal.resume(self.item.run)
        except ArchiveError as error:
            log.warning("%s; the stream is told in another run", error)
            self._begin_another()
            return
        if documents and documents[-1].name == "stop":
            self._closed = documents[-1].doc["uid"] == uid(self.item, "stop")
            if not self._closed:
                log.warning("ingest: run %s was closed by somebody else, another one goes on", self.item.run)
                self._begin_another()
                return
        self._known = {_mark(d.doc) for d in documents if d.name != "stream_datum"}
        for document in documents:
            if document.name == "stream_datum":
                self._rows[document.doc["stream_resource"]] = document.doc["indices"]["stop"]

    def _begin_another(self) -> None:
        self._catalogue.set_run(self.item.data_id, str(uuid4()))
        self.item = self._catalogue.item(self.item.data_id)
        self._known, self._rows = set(), {}


def _mark(doc: Mapping[str, Any]) -> str:
    """Return what tells a document from others; a page of events has the uids of all of them."""
    return doc["uid"] if isinstance(doc["uid"], str) else doc["uid"][0]
