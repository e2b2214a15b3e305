"""The process that follows a source for those who look: it ends with its stdin."""

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from beamstream.errors import BeamstreamError, NotConnected
from beamstream.frames import Frame
from beamstream.log_size import keep_small
from beamstream.logs import log_as_service
from beamstream.ring import Ring
from beamstream.segment import slot_bytes
from beamstream.sources.base import Source
from beamstream.watching.child import own_stdout, told
from beamstream.watching.shown import source_of
from beamstream.watching.streams import StreamSpec

_ASK = 2.0  # s that a source has to answer
_PAUSE = 0.5  # s before it is asked again
_TELL = 0.5  # s between two words about it
_LOOK = 0.1  # s
_AWAY = 5.0  # s that a server may be away before it is asked for anew
_MEMORY = 64 * 2**20  # bytes for pixels
_LEAST = 8  # frames
_NICE = 5  # who looks gives way to who records


class Received:
    """Put frames in a ring and count: a `beamstream.sources.base.Listener`, called in the source's thread.

    Parameters
    ----------
    spec : StreamSpec

    Attributes
    ----------
    words : str
        What is wrong, or waited for; empty while all is well.
    failed_once : bool
        Whether the source, or this, raised since it was started.
    gone : float or None
        Since when the server is away, s of `time.monotonic`.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self.name, self.uri = spec.name, spec.uri
        self.received = self.lost = self.malformed_ones = self.disconnects = 0
        self.words = f"{self.name}: connecting to {self.uri}"
        self.failed_once = False
        self.gone: float | None = None
        self._ring: Ring | None = None
        self._closed = False
        self._turn = threading.Lock()  # a frame that comes while the ring is closed would open it again

    def close(self) -> None:
        """Give the ring back; frames that still come are dropped."""
        with self._turn:
            self._closed = True
            if self._ring is not None:
                self._ring.close()

    def frame(self, frame: Frame, missing: int | None) -> None:
        """Take a frame."""
        with self._turn:
            if self._closed:
                return
            if self._ring is None:
                memory = max(_MEMORY, _LEAST * slot_bytes(frame.geometry))
                self._ring = Ring(self.name, memory=memory, source=self.uri)
            self._ring.put(frame)
        self.received += 1
        self.lost += missing or 0
        self.words = ""

    def repeated(self) -> None:
        """Hear of what came again."""

    def malformed(self, error: BeamstreamError) -> None:
        """Count what is no frame, and say it."""
        self.malformed_ones += 1
        self.words = f"{self.name}: {error}"

    def connection(self, up: bool) -> None:
        """Say that the server went away, or that it is back."""
        self.disconnects += not up
        self.gone = None if up else time.monotonic()
        at = time.strftime("%H:%M:%S")
        self.words = "" if up else f"{self.name}: {self.uri} went away at {at}; waiting for it to come back"

    def failed(self, error: Exception) -> None:
        """Say what went wrong here."""
        self.failed_once = True
        text = str(error) if isinstance(error, BeamstreamError) else f"{type(error).__name__}: {error}"
        self.words = text if text.startswith(f"{self.name}:") else f"{self.name}: {text}"


class Following:
    """Follow the source of a stream for ever, through everything that may happen to it.

    Parameters
    ----------
    spec : StreamSpec
    present : bool
        Whether to begin with the frame that a camera has already.
    """

    def __init__(self, spec: StreamSpec, *, present: bool) -> None:
        self.received = Received(spec)
        self._spec, self._present = spec, present
        self._source: Source | None = None
        self._started = False

    def run(self) -> None:
        """Follow; never returns."""
        while True:
            try:
                self._source = self._source or source_of(self._spec, present=self._present)
                self._connect(self._source)
                self._stay(self._source)
            except BeamstreamError as error:
                if self.received.gone is None:  # otherwise it is said already
                    self.received.failed(error)
            except Exception as error:  # nothing that a stranger sends may end this
                logging.exception("%s", self._spec.name)
                self.received.failed(error)
            self._let_go()
            time.sleep(_PAUSE)

    def _let_go(self) -> None:
        """End the source, to start it anew; of one that went away even the connection, which looks ever more rarely."""
        source, self._started = self._source, False
        if source is None:
            return
        with contextlib.suppress(BeamstreamError):
            source.stop()
        if self.received.gone is not None:
            self._source = None
            source.close()

    def _connect(self, source: Source) -> None:
        try:
            source.connect(_ASK)  # says best what is wrong with it
        except NotConnected:
            if not self._spec.spectra:
                raise  # spectra may come more rarely than that: `start` knows whether anybody is there
        self.received.failed_once = False
        source.start(self.received, _ASK)
        self._started, self.received.gone = True, None
        if not self.received.failed_once:
            self.received.words = ""

    def _stay(self, source: Source) -> None:
        """Return when the source has to be started anew."""
        while not self.received.failed_once and not getattr(source, "over", False):
            gone = self.received.gone
            if gone is not None and time.monotonic() - gone > _AWAY:
                return
            time.sleep(_LOOK)

    def status(self) -> dict[str, Any]:
        """Return what there is to say."""
        received, source = self.received, self._source
        return {
            "connected": self._started and source is not None and source.connected,
            "received": received.received,
            "lost": received.lost,
            "malformed": received.malformed_ones,
            "disconnects": received.disconnects,
            "words": received.words,
        }


def _tell(status: Callable[[], dict[str, Any]], pipe: int) -> None:
    while True:
        try:
            os.write(pipe, json.dumps(status()).encode() + b"\n")
        except OSError:  # nobody listens any more
            return
        time.sleep(_TELL)


def main() -> int:
    """Follow; the first line on stdin is the stream, its end is ours."""
    log_as_service()
    keep_small()
    pipe = own_stdout()
    os.nice(_NICE)
    first = told()
    if first is None:
        return 0
    following = Following(StreamSpec(first["name"], first["about"]), present=first["present"])
    for target in (following.run, lambda: _tell(following.status, pipe)):
        threading.Thread(target=target, daemon=True).start()
    while os.read(0, 4096):
        pass
    following.received.close()
    os._exit(0)  # a source may be busy with a server that does not answer
