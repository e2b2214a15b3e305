"""The account of a recording as something that a plan can wait for and read."""

import copy
import threading
import time
import weakref
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device
from ophyd.signal import AttributeSignal

from beamstream.ledger import COLUMNS, Ledger
from beamstream.recording import Recording
from devices.frame_status import FrameStatus

_PATIENCE = 60.0  # s without a single frame written
_LAST_BATCH = 10.0  # s for what the disk is at, when the wait was cut short
_LOOK = 1.0  # s
_waited_for: "weakref.WeakSet[LedgerDevice]" = weakref.WeakSet()


def _count(column: str) -> Cpt:
    return Cpt(AttributeSignal, attr=f"account.{column}", write_access=False, kind="normal")


class LedgerDevice(Device):
    """Read what was received, recorded and lost since the detector was staged.

    `account` is the `beamstream.ledger.Ledger` of the present recording, or of the last one. A trigger waits until it
    is final.
    """

    received = _count("received")
    recorded = _count("recorded")
    lost = _count("lost")
    discarded = _count("discarded")
    repeated = _count("repeated")
    malformed = _count("malformed")
    restarts = _count("restarts")
    gaps = Cpt(AttributeSignal, attr="gaps_json", write_access=False, kind="normal")
    trigger_rule = Cpt(AttributeSignal, attr="account.trigger_rule", write_access=False, kind="config")

    account = Ledger("")
    recording: Recording | None = None
    """While the detector is staged."""
    _hurried = False

    @property
    def gaps_json(self) -> str:
        """Where frames are missing, JSON: a list of {after, missing, place}."""
        return self.account.gaps_json()

    def read(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return all columns as they are at one moment: frames of a detector that runs by itself go on passing."""
        readings: Any = super().read()
        account = copy.copy(self.account)
        for column in COLUMNS:
            readings[f"{self.name}_{column}"]["value"] = getattr(account, column)
        return dict(readings)

    @property
    def error(self) -> Exception | None:
        """Why the recording has failed, while the detector is staged; None where all is well."""
        return None if self.recording is None else self.recording.error

    def trigger(self) -> FrameStatus:
        """Return a status that is done when the disk has every frame accepted so far, or it is counted as lost.

        It is waited for as long as the disk makes progress; `cut_short` ends that. `error` holds afterwards whether the
        recording has failed.
        """
        recording, self._hurried = self.recording, False
        number = 0 if recording is None else recording.waiting
        status = FrameStatus(
            self.parent or self,
            recorded=lambda: 0 if recording is None else max(0, number - recording.waiting),
            number=number,
        )
        if recording is None:
            status.set_finished()
        else:
            _waited_for.add(self)
            threading.Thread(
                target=self._wait_for_disk, args=(recording, status), name=f"{self.name}-disk", daemon=True
            ).start()
        return status

    def cut_short(self) -> None:
        """End the wait of `trigger`: frames that the disk is not at already are counted as lost; does not wait."""
        if self in _waited_for and self.recording is not None:
            self._hurried = True
            self.recording.abandon("the wait for the disk was cut short")

    def _wait_for_disk(self, recording: Recording, status: FrameStatus) -> None:
        waiting, since = recording.waiting, time.monotonic()
        while not recording.drain(_LOOK):
            if recording.waiting != waiting:
                waiting, since = recording.waiting, time.monotonic()
            silent = time.monotonic() - since
            if silent > (_LAST_BATCH if self._hurried else _PATIENCE):
                recording.abandon(f"the disk took no frame for {silent:.0f} s", everything=True)
        recording.sync()
        _waited_for.discard(self)
        status.set_finished()


def cut_short() -> None:
    """End every wait for a disk in this process, so that the run can end."""
    for ledger in list(_waited_for):
        ledger.cut_short()
