"""Spectra as JSON text, made once a spectrum and shared by all answers."""

from collections import deque

import numpy as np
import orjson

from beamstream.live.history import History

_BLOCK = 64  # spectra that are kept as one piece of text


class RowsAsJson:
    """Give the last spectra of one beam as pieces of JSON text; NaN and infinity become null.

    An answer of megabytes is a list of texts that exist already: nothing is copied, and a client that takes it
    slowly holds no more memory than one that is fast. Nothing is done while nobody asks.
    """

    def __init__(self, history: History, beam: int) -> None:
        self._history, self._beam = history, beam
        self._begin(history.start)

    def _begin(self, number: int) -> None:
        self._base = self._next = number  # of the first row in the first block; of the next row to be made
        self._blocks: deque[tuple[bytes, list[int]]] = deque()  # text, and where its rows begin
        self._open: list[bytes] = []
        self._tail: tuple[bytes, list[int]] = b"", []

    def _catch_up(self) -> None:
        """Make the text of what is new, drop that of what is gone."""
        history = self._history
        if self._next < history.start:
            self._begin(history.start)
        if self._next < history.count:
            values = history.values(self._next, history.count, self._beam)
            for row in values:
                self._open.append(orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) + b",")
                if len(self._open) == _BLOCK:
                    self._blocks.append(_block(self._open))
                    self._open = []
            self._next = history.count
            self._tail = _block(self._open)
        while self._blocks and self._base + _BLOCK <= history.start:
            self._blocks.popleft()
            self._base += _BLOCK

    def newest(self) -> bytes:
        """Return the newest spectrum as a JSON list."""
        (row,) = self.last(1) or [memoryview(b"[]")]
        return bytes(row)

    def last(self, number: int) -> list[memoryview]:
        """Return the last so many spectra, the oldest first, as pieces of ``[…],[…]``; fewer if there are fewer."""
        self._catch_up()
        history = self._history
        start = max(history.start, history.count - number)
        if start >= history.count:
            return []
        skip, within = divmod(start - self._base, _BLOCK)
        texts = [*list(self._blocks)[skip:], *([self._tail] if self._open else [])]
        pieces = [memoryview(text) for text, _ in texts]
        pieces[0] = pieces[0][texts[0][1][within] :]
        pieces[-1] = pieces[-1][:-1]  # the comma
        return pieces


def _block(rows: list[bytes]) -> tuple[bytes, list[int]]:
    """Return rows as one text, and where each begins in it."""
    begins = np.cumsum([0, *map(len, rows)])[:-1]
    return b"".join(rows), begins.tolist()
