"""What can go wrong with a spectrometer's stream, to be switched on while it runs."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

import orjson

Malformed = Literal["json", "parts", "topic", "dtype", "shape", "size", "binary"]
MALFORMED: tuple[Malformed, ...] = get_args(Malformed)
Parts = list[bytes | memoryview]


@dataclass(frozen=True)
class SpectraFaults:
    """Say what a simulated spectrometer gets wrong; everything is off by default.

    ``_at`` and ``_after`` count messages from 0, since the start or since the faults were set, whichever is later;
    None is never. ``_every`` counts from 1; 0 is never.

    Parameters
    ----------
    skip_ids : frozenset of int
        Messages with these sequence numbers are made and counted, but never sent: lost.
    skip_every : int
        So is every nth message.
    skip_random : float
        So is any message with this probability, 0 to 1; which ones is a function of `seed`.
    seed : int
        Of `skip_random` and of binary garbage.
    repeat_every : int
        Every nth message is sent twice, header and all.
    malformed_at : int or None
        In place of this message and the next `malformed_count` − 1 something goes out that is none.
    malformed_count : int
    malformed : {"json", "parts", "topic", "dtype", "shape", "size", "binary"}
        How: a header cut off; no third part; another topic; a pickle for a type; sizes that contradict each other;
        fewer bytes than announced; random bytes in three parts.
    wrong_size_at : int or None
        From this message on the spectra have half the channels, and say so: a change of geometry.
    nan_every : int
        Every nth message has NaN in every tenth channel.
    silent_after : int or None
        This many messages are made, then the stream stalls, connected; it goes on where it stopped when the faults
        are cleared, or after `silent_seconds`.
    silent_seconds : float
        s; 0 is for ever.
    restart_at : int or None
        With this message the sequence begins at 0 again and `time_tag` is new, as after a restart.
    restart_jump : float
        s that ``last_block_time`` jumps then.
    """

    skip_ids: frozenset[int] = frozenset()
    skip_every: int = 0
    skip_random: float = 0.0
    seed: int = 0
    repeat_every: int = 0
    malformed_at: int | None = None
    malformed_count: int = 1
    malformed: Malformed = "json"
    wrong_size_at: int | None = None
    nan_every: int = 0
    silent_after: int | None = None
    silent_seconds: float = 0.0
    restart_at: int | None = None
    restart_jump: float = 0.0

    def __post_init__(self) -> None:
        if self.malformed not in MALFORMED:
            raise ValueError(f"malformed={self.malformed} asked for; use one of {', '.join(MALFORMED)}")

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can carry."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"skip_ids": sorted(self.skip_ids)}

    @classmethod
    def from_dict(cls, doc: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(**{**doc, "skip_ids": frozenset(doc.get("skip_ids", ()))})

    def copies(self, index: int, sequence: int) -> int:
        """Return how often this message goes out: 0 is lost, 2 is repeated."""
        if sequence in self.skip_ids or _nth(index, self.skip_every):
            return 0
        if self.skip_random and random.Random(f"{self.seed} {index}").random() < self.skip_random:
            return 0
        return 2 if _nth(index, self.repeat_every) else 1

    def damages(self, index: int) -> bool:
        """Tell whether this is one of the malformed messages."""
        first = self.malformed_at
        return first is not None and first <= index < first + self.malformed_count

    def damaged(self, index: int, parts: Parts) -> Parts:
        """Return what goes out in place of a message."""
        topic, header, values = parts
        said = orjson.loads(header)
        garbage = random.Random(f"{self.seed} {index}")
        match self.malformed:
            case "json":
                return [topic, bytes(header)[: len(header) // 2], values]
            case "parts":
                return [topic, header]
            case "topic":
                return [b"metadata", header, values]
            case "dtype":
                return [topic, orjson.dumps(said | {"data_type": "|O"}), values]
            case "shape":
                return [topic, orjson.dumps(said | {"nchan": said["nchan"] + 1}), values]
            case "size":
                return [topic, header, values[:-4]]
            case "binary":
                return [garbage.randbytes(garbage.randrange(1, 4096)) for _ in parts]

    def halves(self, index: int) -> bool:
        """Tell whether this message has half the channels."""
        return _reached(index, self.wrong_size_at)

    def has_nan(self, index: int) -> bool:
        """Tell whether this message has NaN in it."""
        return _nth(index, self.nan_every)

    def stalls(self, index: int) -> bool:
        """Tell whether the stream is silent in place of this message."""
        return _reached(index, self.silent_after)

    def restarts(self, index: int) -> bool:
        """Tell whether the sequence begins anew with this message."""
        return index == self.restart_at


def _reached(index: int, at: int | None) -> bool:
    return at is not None and index >= at


def _nth(index: int, every: int) -> bool:
    return every > 0 and (index + 1) % every == 0
