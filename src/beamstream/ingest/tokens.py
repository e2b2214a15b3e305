"""Addresses that may be uploaded to without the key: for one chunk, for an hour, made by nobody else."""

import base64
import hashlib
import hmac
import json
import time
from dataclasses import asdict, dataclass
from typing import Any, Self

from beamstream.ingest.messages import ChunkMessage
from beamstream.ingest.refusal import Refusal
from beamstream.network.keys import Keys

LIFETIME = 3600.0  # s
_LONGEST = 2048  # characters


@dataclass(frozen=True, slots=True)
class Chunk:
    """Say what the pixels are that somebody is about to send; all of it comes back with them.

    Parameters
    ----------
    data_id : str
        The stream.
    number : int
        Of the chunk.
    frames, rows, columns : int
        What the shard holds.
    chunk_size : int
        Frames of a whole chunk of this stream.
    rate : float
        Frames per second.
    start_ms, end_ms : int
        Capture time of the first frame, and when the last one ended, ms since 1970-01-01 UTC.
    offset_ms : int, optional
        What the client added to its own clock.
    uncertainty_ms : float, optional
        Of that.
    """

    data_id: str
    number: int
    frames: int
    rows: int
    columns: int
    chunk_size: int
    rate: float
    start_ms: int
    end_ms: int
    offset_ms: int | None = None
    uncertainty_ms: float | None = None

    @classmethod
    def of(cls, number: int, said: ChunkMessage) -> Self:
        """Return what a presign request announces."""
        times = said.start_unix_ms_utc, said.end_unix_ms_utc, said.clock_offset_ms, said.clock_uncertainty_ms
        return cls(said.data_id, number, *said.cube, said.chunk_size, said.raw_frame_rate, *times)

    @property
    def frame_nbytes(self) -> int:
        """Bytes of one decoded frame."""
        return self.rows * self.columns


class Tokens:
    """Seal what a chunk is into the address that it is sent to, so that nothing has to be remembered.

    Parameters
    ----------
    key : str
        The service's key; tokens outlive a restart, not another key.
    keys : Keys, optional
        Whose keys tokens are given out for: they end with the key.
    """

    def __init__(self, key: str, keys: Keys | None = None) -> None:
        self._keys = keys or Keys(None)
        self._secret = hashlib.sha256(b"beamstream ingest upload\0" + key.encode()).digest()

    def seal(self, chunk: Chunk, now: float | None = None, given: str = "") -> str:
        """Return a token for one chunk, in letters that an address may have; `given` is the key that asks for it."""
        until = (time.time() if now is None else now) + LIFETIME
        key = self._keys.identify(given)
        said = json.dumps({"until": until, "key": key and key.id, **asdict(chunk)}, separators=(",", ":")).encode()
        return f"{_text(said)}.{_text(self._sign(said))}"

    def open(self, token: str, now: float | None = None) -> Chunk:
        """Return the chunk that a token is for.

        Raises
        ------
        Refusal
            403: it was made by somebody else, or its time is over, or its key's.
        """
        said = self._verified(token)
        if said is None:
            raise Refusal(403, "ingest: this upload address was not given out here; ask for a new one")
        if said.pop("until") < (time.time() if now is None else now):
            raise Refusal(403, "ingest: this upload address has expired; ask for a new one")
        key = said.pop("key", None)
        if key is not None and self._keys.living(key) is None:
            raise Refusal(403, "ingest: the key of this upload address is over; ask for another key")
        return Chunk(**said)

    def _verified(self, token: str) -> dict[str, Any] | None:
        if len(token) > _LONGEST or not token.isascii():
            return None
        said, dot, signature = token.partition(".")
        try:
            told, signed = (base64.b64decode(part + "=" * (-len(part) % 4), b"-_", True) for part in (said, signature))
        except ValueError:
            return None
        if not dot or not hmac.compare_digest(signed, self._sign(told)):
            return None
        return json.loads(told)

    def _sign(self, said: bytes) -> bytes:
        return hmac.digest(self._secret, said, "sha256")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
