"""What an archive put aside, runs that cannot be filed and uploads that ended the ingest; how to try them again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from beamstream.archive.layout import Layout
from beamstream.attempts import Attempts
from beamstream.errors import ArchiveError


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """One of them.

    Parameters
    ----------
    uid : str
        Of the run, or of the upload.
    reason : str
    ended : int
        Processes that ended while they had it in hand.
    """

    uid: str
    reason: str
    ended: int


def attempts_of(queue: Path) -> Path:
    """Return where a queue, the journal or the ingest, keeps with which items a process ended."""
    return queue / "attempts"


def reason_of(journal: Path, uid: str) -> Path:
    """Return the file that holds why a run is refused."""
    return journal / "refused" / f"{uid}.txt"


def refused_items(layout: Layout) -> list[RefusedItem]:
    """Return what is put aside, by uid; nobody has to serve the archive."""
    return sorted([*_runs(layout.journal), *_uploads(layout.ingest)], key=lambda item: item.uid)


def retry(layout: Layout, uid: str) -> None:
    """Have an item tried again, by whoever serves the archive or will.

    Raises
    ------
    ArchiveError
        It is not put aside.
    """
    if uid not in {item.uid for item in refused_items(layout)}:
        raise ArchiveError(f"archive: {uid} asked for, it is not among what is refused; beamstream runs refused")
    for queue in (layout.journal, layout.ingest):
        Attempts.forget_in(attempts_of(queue), uid)
    aside, back = layout.journal / "refused" / f"{uid}.jsonl", layout.journal / f"{uid}.jsonl"
    if aside.exists() and not back.exists():
        aside.replace(back)
    reason_of(layout.journal, uid).unlink(missing_ok=True)


def _runs(journal: Path) -> Iterator[RefusedItem]:
    ended = Attempts.counts_in(attempts_of(journal))
    for path in (journal / "refused").glob("*.txt"):
        yield RefusedItem(path.stem, path.read_text(errors="replace").strip(), ended.get(path.stem, 0))


def _uploads(ingest: Path) -> Iterator[RefusedItem]:
    for uid, ended in Attempts.counts_in(attempts_of(ingest)).items():
        yield RefusedItem(uid, "the ingest ended when it resumed this upload", ended)
