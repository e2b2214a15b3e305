"""What a run says about its own frames: the events of its ``ledger`` stream, as metadata."""

from typing import Any

STREAM = "ledger"


class Accounts:
    """Gather a run's ledger while its documents pass.

    The contract with the device: events in a stream named ``ledger`` with scalar data keys
    ``<detector>_ledger_received``, ``…_recorded``, ``…_lost`` and others that start ``<detector>_ledger_``.
    """

    def __init__(self) -> None:
        self._descriptors: set[str] = set()
        self._detectors: dict[str, dict[str, Any]] = {}

    def take(self, name: str, doc: dict[str, Any]) -> None:
        """Note what one document says."""
        if name == "descriptor" and doc.get("name") == STREAM:
            self._descriptors.add(doc["uid"])
        elif name == "event" and doc["descriptor"] in self._descriptors:
            self._note(doc["data"])
        elif name == "event_page" and doc["descriptor"] in self._descriptors:
            self._note({key: values[-1] for key, values in doc["data"].items() if values})

    def metadata(self) -> dict[str, Any]:
        """Return ``{"ledger": {detector: {"received": …, "recorded": …, "lost": …}}, "lost": total}``.

        Empty when the run kept no ledger.
        """
        if not self._detectors:
            return {}
        lost = sum(int(account.get("lost", 0)) for account in self._detectors.values())
        return {"ledger": self._detectors, "lost": lost}

    def _note(self, data: dict[str, Any]) -> None:
        for key, value in data.items():
            detector, found, what = key.partition("_ledger_")
            if found and isinstance(value, (int, float, str, bool)):
                self._detectors.setdefault(detector, {})[what] = value
