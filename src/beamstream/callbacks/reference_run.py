"""A dark or a flat that no plan took becomes a run as well, so that the archive knows of it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from beamstream.callbacks.derived import descriptor_of
from beamstream.references import Reference, ReferenceStore, stored
from beamstream.sinks.documents import SinkDocuments

STREAM = "primary_reference"


def keep_as_run(
    reference: Reference,
    store: ReferenceStore,
    journal: Callable[[str, Mapping[str, Any]], object],
    *,
    scan_id: int,
    md: Mapping[str, Any] | None = None,
) -> Reference:
    """Keep a reference in a store, and write the documents of a run that has nothing else.

    Parameters
    ----------
    reference : Reference
        Captured or imported; in no run.
    store : ReferenceStore
    journal : callable
        Takes the documents, ``journal(name, doc)``: a `beamstream.callbacks.journal.Journal`.
    scan_id : int
    md : dict, optional
        Goes into the start document.

    Returns
    -------
    Reference
        The same, with its run and the path of its file.

    Raises
    ------
    DiskFull, SinkError
        It cannot be kept; there is no run then.
    ArchiveError
        The documents cannot be kept; the reference is in the store all the same.
    """
    start: Any = {**(md or {}), **_start(reference, scan_id)}
    kept = store.keep(replace(reference, run=start["uid"]))
    documents = SinkDocuments(stored(kept), kept.detector, start=start)  # pyright: ignore[reportArgumentType]
    keys = documents.data_keys(_source(reference))
    about = {"reference": kept.kind, "number": kept.number, "origin": kept.origin}
    if kept.exposure is not None:
        about["acquire_time"] = kept.exposure
    descriptor: Any = descriptor_of(start, STREAM, {kept.detector: keys}, {kept.detector: about})
    journal("start", start)
    journal("descriptor", descriptor)
    for name, doc in documents.up_to(1, descriptor):
        journal(name, doc)
    journal("stop", _stop(start))
    return kept


def _start(reference: Reference, scan_id: int) -> dict[str, Any]:
    return {
        "uid": str(uuid4()),
        "time": time.time(),
        "scan_id": scan_id,
        "plan_name": f"{reference.kind}s",
        "purpose": "reference",
        "reference": reference.kind,
        "origin": reference.origin,
        "detectors": [reference.detector],
        "num": reference.number,
    }


def _stop(start: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "uid": str(uuid4()),
        "run_start": start["uid"],
        "time": time.time(),
        "exit_status": "success",
        "reason": "",
        "num_events": {STREAM: 1},
    }


def _source(reference: Reference) -> str:
    return f"ring {reference.detector}" if reference.origin == "capture" else reference.origin
