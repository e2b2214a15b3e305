"""Filing: one run on its way from the journal into the catalogue."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from beamstream.archive.accounts import Accounts
from beamstream.archive.documents import CHUNK, Document, Tail, is_complete
from beamstream.archive.readings import Readings
from beamstream.errors import ArchiveError

LIVE = 1  # documents a request: everybody sees them at once
BULK = 10_000  # for a run that has ended: 30 ms a request would be minutes
FAR_BEHIND = 1 << 17  # bytes: some ten seconds of requests, when each event is one
MOST_ROWS = 10_000_000  # of a stream: tiled names each chunk of them in its catalogue, and in every answer
SIP = 1 << 13  # bytes a step of a live run, so that being late is noticed and other runs get their turn
GULP = 4 * SIP  # the most of one that is behind: rows of dozens of columns are a request each, unless they are joined


class Filing:
    """Put one run into the catalogue, from its journal, through the stock TiledWriter.

    Parameters
    ----------
    path : Path
        The run's journal, named after the run.
    client : tiled client
        The root of the catalogue.

    Raises
    ------
    httpx.HTTPError
        The server is away, or does not want this.
    """

    def __init__(self, path: Path, client: Any) -> None:
        self.path = path
        self.uid = path.stem
        self.is_filed = False
        self._client = client
        self._begin()

    @property
    def has_more(self) -> bool:
        """Whether there is something to file.

        Raises
        ------
        OSError
            The journal's disk is gone.
        """
        return self._tail.behind > 0

    def step(self) -> bool:
        """File what is new; return whether there was something.

        Raises
        ------
        httpx.HTTPError
            The server is away, or does not want this.
        Exception
            Whatever TiledWriter says about a document that it refuses.
        """
        if self.is_filed:
            return False
        if self._live and self._tail.behind > FAR_BEHIND and is_complete(self.path):
            self._begin()  # the run is over and we are minutes late: all at once is faster
            return True
        some = False
        sip = min(max(SIP, self._tail.behind // 2), GULP)
        for name, doc in merged(self._tail.read(sip if self._live else CHUNK)):
            some = True
            self._accounts.take(name, doc)
            _expect_plausible(name, doc)
            if name == "stop":
                self._tell(self._accounts.metadata())
            doc = self._exact(doc) if name == "stop" else self._readings(name, doc)
            for one in self._shares(name, doc):
                self._writer(*one)
            if name == "stop":
                self.is_filed = self._is_whole()
                if not self.is_filed:
                    self._begin()
                    break
        return some

    def _begin(self) -> None:
        from bluesky_tiled_plugins import TiledWriter

        from beamstream.archive import exact, shares  # takes seconds, as the one before

        shares.register()
        exact.register()
        self._exact = exact.exact
        self._live = not is_complete(self.path)
        self._tail = Tail(self.path)
        self._accounts, self._readings = Accounts(), Readings()
        self._shares = shares.Shares()
        self.is_filed = self._make_way()
        self._writer = TiledWriter(self._client, batch_size=LIVE if self._live else BULK)

    def _tell(self, metadata: dict[str, Any]) -> None:
        if metadata:
            self._client[self.uid].update_metadata(metadata=metadata, drop_revision=True)

    def _node(self) -> Any | None:
        try:
            return self._client[self.uid]
        except KeyError:
            return None

    def _make_way(self) -> bool:
        """Delete what an earlier attempt left; return whether it left nothing to do."""
        node = self._node()
        if node is None:
            return False
        if _is_whole(node.metadata):
            return True
        # tables go, recorded files stay: they are not the catalogue's
        node.delete(recursive=True, external_only=False)
        return False

    def _is_whole(self) -> bool:
        node = self._node()
        return node is not None and _is_whole(node.metadata)


def _is_whole(metadata: Any) -> bool:
    """Return whether a run's node has everything, once.

    A server that dies while it answers makes TiledWriter send rows twice; it leaves a note then.
    """
    twice = any("may be duplicated" in note for note in metadata.get("notes", ()))
    return "stop" in metadata and not twice


def tell_refusal(client: Any, uid: str, reason: str) -> None:
    """Keep in the catalogue why a run is not all there; nothing happens where nothing of it is."""
    if uid in client:
        client[uid].update_metadata(metadata={"refused": reason}, drop_revision=True)


def _expect_plausible(name: str, doc: dict[str, Any]) -> None:
    """Refuse rows so many that the catalogue, and everybody who reads the run, would run out of memory."""
    if name == "stream_datum" and doc["indices"]["stop"] > MOST_ROWS:
        raise ArchiveError(f"archive: a stream of {doc['indices']['stop']} rows came, at most {MOST_ROWS} are filed")


def merged(documents: Iterable[Document]) -> Iterator[Document]:
    """Join stream_datum documents that follow each other: one request instead of hundreds."""
    waiting: dict[str, dict[str, Any]] = {}
    for name, doc in documents:
        if name != "stream_datum":
            yield from (Document("stream_datum", d) for d in waiting.values())
            waiting.clear()
            yield Document(name, doc)
            continue
        before = waiting.get(doc["stream_resource"])
        if before is not None and _follows(before, doc):
            waiting[doc["stream_resource"]] = _joined(before, doc)
            continue
        if before is not None:
            yield Document("stream_datum", before)
        waiting[doc["stream_resource"]] = doc
    yield from (Document("stream_datum", d) for d in waiting.values())


def _follows(first: dict[str, Any], then: dict[str, Any]) -> bool:
    same = first["descriptor"] == then["descriptor"]
    return same and all(first[k]["stop"] == then[k]["start"] for k in ("indices", "seq_nums"))


def _joined(first: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
    ranges = {k: {"start": first[k]["start"], "stop": then[k]["stop"]} for k in ("indices", "seq_nums")}
    return {**then, **ranges}
