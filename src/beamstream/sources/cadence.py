"""Which spectrum a message carries, and how many are missing before it: from its own count, or from its times."""

from collections import deque
from collections.abc import Sequence

from beamstream.ledger import UniqueIds
from beamstream.spectra_wire import Spectrum

_STEPS = 16  # as many as the median looks at: a new cadence is believed after half of them
_FEW = 3  # steps forward before anything is declared lost
_JUMP = 1.5  # periods; averages of 9 or 10 gulps make ±20 %
_ROUNDING = 1.0  # s, of times without a fraction
_MOST_MISSING = 10**9  # more is another count, not a loss
_LARGEST_ID = 2**63 - 1


class Cadence:
    """Number the spectra of one publisher.

    With ``sequence`` in the header that is the number. Without, spectra are counted here from 0, and a step of
    ``last_block_time`` of more than one and a half periods means that some were lost; the count jumps by as many.
    The period is the median of the last steps. Until a few are known nothing is declared lost, nor when several
    spectra in a row have one time, or times without a fraction of a second, and that alone explains a step.

    A publisher without a count that averages over twice its usual time once looks just as if one was lost.
    """

    def __init__(self) -> None:
        self.last: int | None = None
        """The number given last."""
        self._ids = UniqueIds()  # of a publisher that counts
        self._before: Spectrum | None = None
        self._steps: deque[float] = deque(maxlen=_STEPS)  # s, of last_block_time, per spectrum
        self._whole = 0  # times in a row without a fraction
        self._tag_changed = False  # with the last spectrum

    @property
    def period(self) -> float | None:
        """Seconds from one spectrum to the next; None until that is known. Safe from other threads."""
        pace = _pace(tuple(self._steps), self._coarse)
        return None if pace is None else pace[0]

    def see(self, spectrum: Spectrum) -> tuple[int, int | None]:
        """Take the next spectrum; return its number and how many are missing before it, None if that is unknown.

        That is so when count or time ran back, when the publisher began to count, and when either jumped together
        with a ``time_tag`` that used to stand still: a new sequence. -1 with one that comes late, by its count.
        """
        counted = None if spectrum.sequence is None else self._ids.see(spectrum.sequence)
        if counted is not None and spectrum.sequence is not None and spectrum.sequence != self._ids.last:
            return spectrum.sequence, counted  # its time is of no cadence
        before, self._before = self._before, spectrum
        self._whole = self._whole + 1 if spectrum.last_block_time.is_integer() else 0
        if before is None:
            self.last = spectrum.sequence or 0
            return self.last, 0
        if spectrum.sequence is None:
            missing = self._by_time(before, spectrum)
        else:
            missing = self._by_count(before, spectrum, counted)
        if missing and (missing > _MOST_MISSING or self._renewed(before, spectrum)):
            missing = None
        if missing is None:
            self._steps.clear()
            self._ids = UniqueIds(spectrum.sequence)
        self._tag_changed = spectrum.time_tag != before.time_tag
        self.last = (self.last or 0) + 1 + (missing or 0) if spectrum.sequence is None else spectrum.sequence
        if self.last > _LARGEST_ID:
            self.last, missing = 0, None
        return self.last, missing

    def _renewed(self, before: Spectrum, spectrum: Spectrum) -> bool:
        """Whether a new sequence began: its tag is new, and used to stand still."""
        return spectrum.time_tag != before.time_tag and not self._tag_changed

    def _by_count(self, before: Spectrum, spectrum: Spectrum, counted: int | None) -> int | None:
        if before.sequence is None or counted is None:
            return None
        step = spectrum.last_block_time - before.last_block_time
        if step >= 0:
            self._steps.append(step / (counted + 1))
        return counted

    def _by_time(self, before: Spectrum, spectrum: Spectrum) -> int | None:
        step = spectrum.last_block_time - before.last_block_time
        if step < 0:
            return None
        missing = self._skipped(step, spectrum.timestamp - before.timestamp)
        self._steps.append(step)
        return missing

    @property
    def _coarse(self) -> bool:
        """Whether all the times that the steps are made of are whole seconds."""
        return self._whole > len(self._steps)

    def _skipped(self, step: float, between_messages: float) -> int:
        """Return how many spectra a step of time leaves out, at least."""
        pace = _pace(self._steps, self._coarse)
        if pace is None:
            return 0
        period, room = pace
        if self._coarse and not room and between_messages <= _JUMP * period:
            room = _ROUNDING  # where the messages are as far apart, it is none
        certain = step - room
        return round(certain / period) - 1 if certain > _JUMP * period else 0


def _pace(steps: Sequence[float], coarse: bool) -> tuple[float, float] | None:
    """Return the period, and by how much a step may exceed it because several spectra have one time, s."""
    forward = sorted(step for step in steps if step > 0)
    if len(forward) < _FEW:
        return None
    middle = forward[len(forward) // 2]
    shared = len(forward) < len(steps)
    if not shared and not coarse:
        return middle, 0.0
    longest = _JUMP * middle if shared else middle + _ROUNDING
    usual = [step for step in steps if step <= longest]
    period = sum(usual) / len(usual)  # the median of rounded steps is none of theirs
    return period, middle - period if shared else 0.0
