"""What is missing, by the detector's count: in the ledger, in the log, and, where that is asked for, an error."""

import logging
from collections import Counter

from beamstream.errors import FrameLoss
from beamstream.frame_times import FrameTimes
from beamstream.ledger import Ledger, OnLoss, Place
from beamstream.window import Window

logger = logging.getLogger(__name__)

_NONE = -(2**63)
_FAR = 2**15  # numbers; so far back is a counter that was full
_NAMED = 3  # of each kind; the rest is counted, not logged
_DOWN = 3  # numbers in a row, each below the one before and of no frame that was missed: it counts down


class Losses:
    """Account for what the count of a detector shows; called in its source's thread.

    Parameters
    ----------
    name : str
        The detector's.
    ledger : Ledger
    times : FrameTimes
        Of all frames, the one that is asked about included.
    on_loss : {"mark", "fail"}
        Whether what is missing becomes an error, or only a warning.

    Attributes
    ----------
    newest : int
        The newest number; less than any before the first.
    malformed : int
        Frames that came since the last gap and contradict themselves; counted by the caller.
    """

    def __init__(self, name: str, ledger: Ledger, times: FrameTimes, on_loss: OnLoss) -> None:
        self.newest = _NONE
        self.malformed = 0
        self._name, self._ledger, self._times, self._on_loss = name, ledger, times, on_loss
        self._stands_still = False
        self._logged: Counter[str] = Counter()
        self._previous: int | None = None  # the number before this one, of those that did not go on as they should
        self._down = 0  # how many in a row were below the one before
        self._gap_before = (0, 0)  # where the last gap ended, how many were missing
        self._even_gaps = 0  # in a row, one behind the other

    @property
    def last_id(self) -> int:
        """The newest number; -1 before the first."""
        return self.newest if self.newest != _NONE else -1

    def before(
        self, taken: Window | None, window: Window | None, unique_id: int, missing: int | None
    ) -> FrameLoss | None:
        """Account for what the number of a frame shows of those before it.

        Parameters
        ----------
        taken : Window or None
            The one that takes the frame; nothing is missing before a frame that was not requested.
        window : Window or None
            The one that there is at the moment.
        missing : int or None
            As of `beamstream.ledger.UniqueIds.see`.

        Returns
        -------
        FrameLoss or None
            Why the run fails, if it does.
        """
        last = self.newest
        if missing is not None and missing < 0:
            if self._ledger.fill(unique_id) and window is not None:
                window.lost = max(0, window.lost - 1)
            return None
        if self._counts_down(unique_id):
            return None if taken is None else self._count_down(unique_id)
        if missing == 0 and 0 < last - unique_id < _FAR:
            return None  # a late one, of before the first that was counted
        self.newest = unique_id
        came, self.malformed = self.malformed, 0
        if taken is None:
            return None
        if unique_id == last:
            return self._stands(unique_id)
        if missing is None:
            before = "the frame before it" if last == _NONE else last
            return self.doubt(f"unique_id ran back from {before} to {unique_id}", "back")
        if unique_id < last:
            logger.warning(
                "%s: unique_id went on from %d to %d: its counter was full; nothing is lost by that",
                *(self._name, last, unique_id),
            )
        if not missing or (taken.started and not taken.accepted):
            return None  # from before the start; one of ours is missed at the end
        place = Place.HEADER if came >= missing else Place.TRANSPORT
        return self._gap(taken, unique_id, missing, unique_id - missing - 1 if unique_id > last else last, place)

    def _gap(self, window: Window, unique_id: int, missing: int, after: int, place: Place) -> FrameLoss | None:
        expected, most = self._times.possible_before_newest(window.frame_time)
        if missing <= most:
            window.lost += missing
            return self.miss(after, missing, place, log=self._is_to_be_logged(after, unique_id, missing))
        lost = min(missing, round(expected))
        window.lost += lost
        self._ledger.lose(after, lost, Place.COUNT)
        return self.doubt(
            f"unique_id jumped from {after} to {unique_id} in a time that has room for {lost} frames between them: "
            "its count was changed",
            "jump",
        )

    def _is_to_be_logged(self, after: int, unique_id: int, missing: int) -> bool:
        """Whether a gap is none of a row of equal ones, as of a count that goes up by two; of these, name the row."""
        even = (after, missing) == self._gap_before
        self._gap_before = unique_id, missing
        self._even_gaps = self._even_gaps + 1 if even else 0
        if self._even_gaps == _NAMED:
            logger.warning(
                "%s: unique_id goes up by %d from frame to frame: %d of %d are lost on the way to us, or its server "
                "counts so; they count as lost, without a line for each",
                *(self._name, missing + 1, missing, missing + 1),
            )
        return self._even_gaps < _NAMED

    def _counts_down(self, unique_id: int) -> bool:
        """Whether the last frames had lower numbers each: frames that changed places go up again soon."""
        below = unique_id < (self.newest if self._previous is None else self._previous)
        self._down = self._down + 1 if below else 0
        self._previous = unique_id
        return self._down >= _DOWN

    def _count_down(self, unique_id: int) -> FrameLoss | None:
        """Doubt a count that goes down, once."""
        self.newest = unique_id
        if self._logged["down"]:
            return None
        return self.doubt(
            f"unique_id goes down, it is {unique_id}; frames are recorded as they come, the server should count up",
            "down",
        )

    def _stands(self, unique_id: int) -> FrameLoss | None:
        """Doubt a count that stands still, once."""
        if self._stands_still:
            return None
        self._stands_still = True
        return self.doubt(
            f"uniqueId does not move, it is {unique_id} in frame after frame; they are recorded as they come, the "
            "server should number them",
            "stands",
        )

    def doubt(self, what: str, kind: str = "") -> FrameLoss | None:
        """Mark the run as one whose losses are not known; return why it fails, if it does.

        The first few of a `kind` are logged.
        """
        self._ledger.restarts += 1
        self._logged[kind] += bool(kind)
        message = f"{self._name}: {what}; frames may be missing, it is unknown how many"
        if self._on_loss == "fail":
            return FrameLoss(f"{message}; start a new run")
        if self._logged[kind] <= _NAMED:
            more = "; each further one is only counted" if self._logged[kind] == _NAMED else ""
            logger.warning("%s; the run is marked%s", message, more)
        return None

    def miss(self, after: int, missing: int, place: Place, *, log: bool = True) -> FrameLoss | None:
        """Account for frames that will never be recorded; return why the run fails, if it does."""
        ledger = self._ledger
        ledger.lose(after, missing, place)
        message = f"{self._name}: {missing} frames lost after unique_id {after} ({place})"
        if self._on_loss == "fail":
            return FrameLoss(f"{message}, {ledger.recorded} recorded; on_loss is 'fail': start a new run")
        if log:
            logger.warning("%s; the run is marked", message)
        return None
