"""One RHEED stream: which of its chunks are stored, and what may still come."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

from beamstream.ingest.catalogue import Item
from beamstream.ingest.files import StreamFiles
from beamstream.ingest.refusal import Refusal
from beamstream.ingest.shard import Shard, check, open_shard, same_frames
from beamstream.ingest.tokens import Chunk
from beamstream.ingest.told import ToldRun

MOST_MISSING, MISSING_PER_FRAME = 100_000, 10
"""Rows of a stream that may never come, and how many more for each frame that came: readers see all of them."""


class Stream:
    """Know the chunks of one stream; one thread at a time.

    Parameters
    ----------
    item : Item
    files : StreamFiles
    told : ToldRun
    chunks : list of Chunk
        Those that are stored already.
    """

    def __init__(self, item: Item, files: StreamFiles, told: ToldRun, chunks: list[Chunk]) -> None:
        self.item, self.files, self.told = item, files, told
        self.first: Chunk | None = chunks[0] if chunks else None
        self.frames: dict[int, int] = {}
        """Frames by chunk."""
        self.total = 0
        """Frames of all chunks."""
        self.consecutive = 0
        """Chunks without a gap from the first one."""
        self.published = -1
        """Rows that readers were shown by this process."""
        for chunk in chunks:
            self.add(chunk)

    def add(self, chunk: Chunk) -> None:
        """Note that a chunk is stored."""
        self.first = self.first or chunk
        self.frames[chunk.number] = chunk.frames
        self.total += chunk.frames
        while self.consecutive in self.frames:
            self.consecutive += 1

    def has(self, number: int) -> bool:
        """Return whether a chunk is stored."""
        return number in self.frames

    @property
    def rows(self) -> int:
        """Rows that readers see: those of consecutive chunks, or of all of them when no more come."""
        if self.first is None:
            return 0
        count = self.consecutive if self.item.ended is None else max(self.frames) + 1
        return (count - 1) * self.first.chunk_size + self.frames[count - 1] if count else 0

    def admit(self, chunk: Chunk) -> None:
        """Check that a chunk belongs to this stream.

        Raises
        ------
        Refusal
            409: it has another geometry, or the stream has ended without it. 422: it is so far behind the others that
            nearly all of the stream would be missing.
        """
        first, who = self.first, f"ingest: chunk {chunk.number} of stream {chunk.data_id}"
        if first is not None:
            was, now = (f"{c.rows} × {c.columns}, {c.chunk_size} frames a chunk" for c in (first, chunk))
            if was != now:
                raise Refusal(409, f"{who} is {now}, the stream is {was}; begin another stream")
        if self.item.ended is not None and not self.has(chunk.number):
            raise Refusal(409, f"{who} came after the stream was ended; begin another stream")
        last, came = max(self.frames, default=0), self.total + chunk.frames
        missing = max(last, chunk.number) * chunk.chunk_size + chunk.frames - came
        most = MOST_MISSING + MISSING_PER_FRAME * came
        if chunk.number > last and missing > most:
            raise Refusal(
                422,
                f"{who} would leave {missing} rows of {missing + came} missing, at most {most} may be; "
                f"send those before it first",
            )

    def compare(self, chunk: Chunk, came: Shard, decoding: AbstractContextManager[None]) -> None:
        """Check that a chunk that came once more is the one that is stored; where frames are decoded, see `decoding`.

        Raises
        ------
        Refusal
            409: it is not; the one that was first stays.
        """
        stored_frames = self.frames[chunk.number]
        who = f"ingest: chunk {chunk.number} of stream {chunk.data_id}"
        if chunk.frames != stored_frames:
            raise Refusal(409, f"{who} came again with {chunk.frames} frames, {stored_frames} are stored and stay")
        with self.files.shard(chunk.number).open("rb") as file:
            stored = open_shard(file.fileno(), chunk.chunk_size)
            check(stored, chunk.frame_nbytes)
            if not same_frames(stored, came, chunk.frames, chunk.frame_nbytes, decoding):
                raise Refusal(409, f"{who} came again with other pixels; those that came first stay")

    def missing(self) -> Iterator[tuple[int, int]]:
        """Yield the rows, from and up to, that readers see and that never came."""
        size, expected = (0 if self.first is None else self.first.chunk_size), 0
        for number in sorted(self.frames):
            if number * size > expected:
                yield expected, number * size
            expected = number * size + self.frames[number]

    def reason(self) -> str:
        """Return what is missing, in words; empty if nothing is."""
        missing = list(self.missing())
        if not missing:
            return "" if self.frames else "no frames came"
        rows = sum(stop - start for start, stop in missing)
        listed = ", ".join(f"{start}:{stop}" for start, stop in missing[:20]) + ("…" if len(missing) > 20 else "")
        return f"{rows} rows never came and are black, their times NaN: {listed}"
