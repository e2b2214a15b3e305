"""One page as the thread sees it that makes pictures: what it wishes, what it has, and what it gets next."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from beamstream.live.image_link import Link
from beamstream.live.image_newest import Newest
from beamstream.live.image_pixels import Quality, plain_bytes
from beamstream.live.image_wire import Picture
from beamstream.live.image_wish import Wish

_EARLY = 0.9  # of the time between two frames: a frame that is nearly due must not wait for the next one
_REFINE_AFTER, _REFINE_SOON = 0.4, 0.05  # s without a new frame, until the last one is sent better; on fast links
_BETTER = 4.0  # times as many bytes


@dataclass(slots=True, eq=False)
class Seat:
    """One page: `wish` and acknowledgements come from its coroutine, everything else belongs to the feed's thread.

    Parameters
    ----------
    send : callable
        Given a message, from the feed's thread: a frame, or a text in place of one.
    meet : callable
        Given the newest frame where it is the first of its geometry, from the feed's thread, before any message.

    Attributes
    ----------
    kept : Newest or None
        What is shown while the page is paused.
    gone : bool
        Whether that had to be given up, because too many pages were paused.
    note, failed
        What was done to the frame that was sent last, and whether something could not be done.
    """

    send: Callable[[bytes | str], None]
    meet: Callable[[Newest], None]
    wish: Wish = field(default_factory=Wish)
    link: Link = field(default_factory=Link)
    kept: Newest | None = None
    gone: bool = False
    serial: int = 0
    skipped: int = 0
    note: str = ""
    failed: bool = False
    used: Mapping[str, str | None] = field(default_factory=dict)
    _waiting: bool = False  # for an acknowledgement
    _sent_at: float = 0.0  # monotonic, s
    _nbytes: int = 0
    _shown: Newest | None = None
    _shown_wish: Wish = field(default_factory=Wish)
    _refined: bool = False

    def acknowledge(self, serial: int, drawing: float = 0.0) -> None:
        """Hear that a frame was drawn, and how long that took, s; from the page's coroutine."""
        if self._waiting and serial == self.serial:
            seconds = time.monotonic() - self._sent_at
            self.link.acknowledged(self._nbytes, seconds - min(max(0.0, drawing), seconds))
            self._waiting = False

    @property
    def open(self) -> bool:
        """Whether it could take a frame, if one came now."""
        return not self._waiting and self.wish.view is not None

    @property
    def live(self) -> bool:
        """Whether it waits for a new frame."""
        return self.open and not self.wish.paused

    def due(self, now: float) -> bool:
        """Return whether it could take a new frame at this moment, monotonic, s."""
        return self.live and now - self._sent_at >= _EARLY / self.wish.rate

    def give_up(self, newest: Newest) -> None:
        """Let go of a frame that is kept for a paused page: it stays with the picture that it has."""
        if self.kept is newest:
            self.kept, self._shown, self.gone = None, None, True

    def serve(self, newest: Newest | None, now: float) -> None:
        """Send what there is to be sent; `now` is monotonic, s."""
        wish = self.wish
        if not wish.paused:
            self.kept, self.gone = None, False
        elif self.kept is None and not self.gone:
            self.kept = self._shown or newest
        newest = self.kept if wish.paused else newest
        if newest is None or not self.open:
            return
        waited = now - self._sent_at
        if newest is not self._shown:
            if waited >= _EARLY / wish.rate:
                self._picture(newest, wish, None)
        elif (wish.view, wish.treated) != (self._shown_wish.view, self._shown_wish.treated):
            self._picture(newest, wish, None)
        elif wish != self._shown_wish and waited >= _EARLY / wish.rate:
            self._sent_at, self._shown_wish = now, wish
            self.send(newest.notes_alone(wish, self.skipped))
        elif not self._refined and (wish.paused or waited > (_REFINE_AFTER if self.link.slow else _REFINE_SOON)):
            self._picture(newest, wish, _BETTER * max(self._nbytes, self.link.budget))

    def _picture(self, newest: Newest, wish: Wish, budget: float | None) -> None:
        region, best = wish.region(*newest.shape), wish.factor()
        if region is None:
            return
        made = newest.made(wish.treated)
        channels = made.image.shape[2] if made.image.ndim == 3 else 1
        quality = self.link.choose(region, best, plain_bytes(made.image, best), channels, budget)
        pixels = newest.pixels(wish.treated, region, quality)
        if quality.deflate:
            self.link.deflated(quality.eight_bit, pixels.plain_nbytes, pixels.nbytes)
        if self._shown is not None and newest.epoch == self._shown.epoch:
            self.skipped += max(0, newest.index - self._shown.index - 1)
        self._refined = quality == Quality(best, False, quality.deflate)
        picture = Picture(newest.frame, newest.index, region, pixels, self._refined, made.treated)
        notes = newest.notes(wish, self.skipped)
        self.note, self.failed, self.used = made.note, made.failed, made.used
        self._shown, self._shown_wish = newest, wish
        self.serial = (self.serial + 1) % 2**32
        self._waiting, self._sent_at, self._nbytes = True, time.monotonic(), pixels.nbytes
        self.send(picture.message(self.serial, notes, time.time()))
