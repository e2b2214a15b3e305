"""The account of a recording as something that a plan can read."""

from ophyd import Component as Cpt
from ophyd import Device
from ophyd.signal import AttributeSignal

from beamstream.ledger import Ledger


def _count(column: str) -> Cpt:
    return Cpt(AttributeSignal, attr=f"account.{column}", write_access=False, kind="normal")


class LedgerDevice(Device):
    """Read what was received, recorded and lost since the detector was staged.

    `account` is the `beamstream.ledger.Ledger` of the present recording, or of the last one.
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

    @property
    def gaps_json(self) -> str:
        """Where frames are missing, JSON: a list of {after, missing, place}."""
        return self.account.gaps_json()
