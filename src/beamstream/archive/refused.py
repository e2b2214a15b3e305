"""What an archive refused: runs that cannot be filed, uploads that ended the ingest. And how to try them again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from beamstream.archive.layout import Layout
from beamstream.attempts import Attempts
from beamstream.errors import ArchiveError


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """A run or an upload that was refused.

    Parameters
    ----------
    uid : str
        Of the run, or of the upload.
    reason : str
    ended : int
        Processes that ended while they worked at it.
    """

    uid: str
    reason: str
    ended: int


def attempts_of(queue: Path) -> Path:
    """Return the directory of the `Attempts` of a queue, the journal or the ingest."""
    return queue / "attempts"


def reason_of(journal: Path, uid: str) -> Path:
    """Return the file with the reason why a run was refused."""
    return journal / "refused" / f"{uid}.txt"


def refused_items(layout: Layout) -> list[RefusedItem]:
    """Return what was refused, sorted by uid; also while no server runs."""
    return sorted([*_runs(layout.journal), *_uploads(layout.ingest)], key=lambda item: item.uid)


def retry(layout: Layout, uid: str) -> None:
    """Have an item tried again, by the server that runs or the next one.

    Raises
    ------
    ArchiveError
        It was not refused.
    """
    if uid not in {item.uid for item in refused_items(layout)}:
        raise ArchiveError(f"archive: {uid} asked for, it is not among what is refused; beamstream runs refused")
    for queue in (layout.journal, layout.ingest):
        Attempts.forget_in(attempts_of(queue), uid)
    refused, queued = layout.journal / "refused" / f"{uid}.jsonl", layout.journal / f"{uid}.jsonl"
    if refused.exists() and not queued.exists():
        refused.replace(queued)
    reason_of(layout.journal, uid).unlink(missing_ok=True)


def _runs(journal: Path) -> Iterator[RefusedItem]:
    ended = Attempts.counts_in(attempts_of(journal))
    for path in (journal / "refused").glob("*.txt"):
        yield RefusedItem(path.stem, path.read_text(errors="replace").strip(), ended.get(path.stem, 0))


def _uploads(ingest: Path) -> Iterator[RefusedItem]:
    for uid, ended in Attempts.counts_in(attempts_of(ingest)).items():
        yield RefusedItem(uid, "the ingest ended when it resumed this upload", ended)
