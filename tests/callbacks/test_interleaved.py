"""Runs that are open at once: what each callback makes of them is what it makes of one after the other."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from growing import SPOT, Documents, frames_of, oscillating

from beamstream.callbacks.average import ReferenceAverage
from beamstream.callbacks.chain import Chain
from beamstream.callbacks.curves import Curves
from beamstream.callbacks.derive import Derive
from beamstream.callbacks.derived import descriptor_of, event_of
from beamstream.callbacks.flatfield import FlatField
from beamstream.callbacks.growth_rate import GrowthRate
from beamstream.callbacks.intensity import Intensity
from beamstream.callbacks.journal import Journal
from beamstream.callbacks.ledger_table import LedgerTable
from beamstream.callbacks.live_stats import LiveStats
from beamstream.callbacks.recorder import Recorder
from beamstream.callbacks.strip import Strip
from beamstream.sinks.documents import SinkDocuments
from beamstream.sinks.hdf5 import Hdf5Sink

SPOTS = {"spot": SPOT}
FILMS = [frames_of(oscillating(rate, seed=seed), np.arange(0, 8, 0.1)) for seed, rate in enumerate((0.5, 1.25), 1)]
TIMING = ("late", "skipped", "frames", "error")  # of accounts: how fast it went; frames of those that skip some


class Doubled:
    def apply(self, image, meta):
        return image.astype(np.float32) * 2


class Remembering:
    """An op with a memory: the sum of all that it was given."""

    def __init__(self) -> None:
        self.sum = 0.0

    def apply(self, image, meta):
        self.sum = self.sum + image.astype(np.float64)
        return self.sum.copy()


def run(chain: Chain, directory: Path, number: int, **md: Any) -> Iterator[str]:
    """Play a run of one film with a motor beside it, piece by piece; yield its uid after each."""
    frames = FILMS[number]
    start = {"uid": str(uuid4()), "time": frames[0].timestamp, "scan_id": number, "plan_name": "growth"} | {
        "plan_type": "generator",
        **md,
    }
    chain("start", start)
    yield start["uid"]
    with Hdf5Sink(directory / f"cam_{start['uid'][:8]}.h5", frames[0].geometry, name="cam") as sink:
        documents = SinkDocuments(sink, "cam", start=start)
        images: Any = descriptor_of(start, "primary", {"cam": documents.data_keys("sim")}, {"cam": {}})
        key = {"source": "sim", "dtype": "number", "shape": []}
        moves: Any = descriptor_of(start, "moves", {"motor": {"motor": key}}, {"motor": {}}, {"motor": ["motor"]})
        for descriptor in (images, moves):
            chain("descriptor", descriptor)
            yield start["uid"]
        for piece, first in enumerate(range(0, len(frames), 8), 1):
            for name, doc in documents.up_to(sink.write(frames[first : first + 8]), images):
                chain(name, doc)
            yield start["uid"]
            chain("event", event_of(moves, piece, {"motor": 10.0 * number + piece}))
            yield start["uid"]
    columns = dict.fromkeys(("recorded", "received"), len(frames)) | {"lost": number}
    keys = {f"cam_ledger_{column}": {"source": "sim", "dtype": "integer", "shape": []} for column in columns}
    ledger: Any = descriptor_of(start, "ledger", {"cam_ledger": keys}, {"cam_ledger": {}})
    chain("descriptor", ledger)
    chain("event", event_of(ledger, 1, {f"cam_ledger_{column}": value for column, value in columns.items()}))
    yield start["uid"]
    stop = {"uid": str(uuid4()), "run_start": start["uid"], "time": frames[-1].timestamp, "exit_status": "success"}
    chain("stop", stop)


def in_turns(*runs: Iterator[str]) -> list[str]:
    """Play runs in turns; return their uids."""
    uids: dict[int, str] = {}
    waiting = list(enumerate(runs))
    while waiting:
        for number, one in list(waiting):
            uid = next(one, None)
            if uid is None:
                waiting.remove((number, one))
            else:
                uids[number] = uid
    return [uids[number] for number in sorted(uids)]


def inside(outer: Iterator[str], inner: Iterator[str]) -> list[str]:
    """Play a run in the middle of another; return their uids."""
    for _ in range(8):
        uid = next(outer)
    (*_, within) = inner
    (*_,) = outer
    return [uid, within]


def one_after_the_other(*runs: Iterator[str]) -> list[str]:
    return [list(one)[-1] for one in runs]


def made_of(docs: Documents, uid: str) -> dict[str, Any]:
    """Return what documents hold of a run, without names and times that are of the moment."""
    names = {uid} | {doc["uid"] for _, doc in docs if doc.get("run_start") == uid}
    keys = ("uid", "run_start", "descriptor", "stream_resource")
    own = Documents((name, doc) for name, doc in docs if names & {doc.get(key) for key in keys})
    found: dict[str, Any] = {"order": (own[0][0], own[-1][0]), "stop": own.of("stop")[0]["exit_status"]}
    for descriptor in own.of("descriptor"):
        stream = descriptor["name"]
        for key, about in descriptor["data_keys"].items():
            if "external" in about and any(d["data_key"] == key for d in own.of("stream_resource")):
                found[f"{stream}/{key}"] = own.rows(key).tolist() if "received" not in key else None
        events = [doc["data"] for doc in own.of("event") if doc["descriptor"] == descriptor["uid"]]
        if events and stream == "callbacks":
            found[stream] = {key: value for key, value in events[-1].items() if not key.endswith(TIMING)}
        elif events and stream.endswith("_live"):  # of the newest frame, how often depends on the time there is
            found[stream] = events[-1]
        elif events:
            found[stream] = np.nan_to_num([list(data.values()) for data in events], nan=-1).tolist()
    return found


def printed(shown: list[str]) -> Callable[[Any], None]:
    from rich.console import Console

    def show(what: Any) -> None:
        console = Console(width=200)
        with console.capture() as capture:
            console.print(what)
        shown.append(capture.get())

    return show


CALLBACKS: dict[str, Callable[[Path], list[Any]]] = {
    "derive": lambda to: [Derive("doubled", Doubled)],
    "derive with a memory": lambda to: [Derive("sum", Remembering)],
    "flat field": lambda to: [FlatField(np.linspace(1, 3, 1200).reshape(30, 40))],
    "of what is derived": lambda to: [Derive("doubled", Doubled), Derive("sum", Remembering, stream="doubled")],
    "live stats": lambda to: [LiveStats(SPOTS)],
    "intensity": lambda to: [Intensity(SPOTS)],
    "growth rate": lambda to: [GrowthRate(SPOTS, window=4.0)],
    "strip": lambda to: [Strip(SPOT, angles=(0, 90), tolerance=20, rotations_per_min=12)],
    "recorder": lambda to: [Recorder(to / "npy", format="npy", publish=True), Recorder(to / "tiff", name="tiff")],
}


@pytest.mark.parametrize("overlapping", [in_turns, inside])
@pytest.mark.parametrize("name", CALLBACKS)
def test_runs_that_overlap_become_what_they_become_one_after_the_other(tmp_path, name, overlapping):
    made: list[list[dict[str, Any]]] = []
    for how in (one_after_the_other, overlapping):
        docs, directory = Documents(), tmp_path / how.__name__
        directory.mkdir()
        chain = Chain()
        chain.add(docs, required=True)
        for callback in CALLBACKS[name](directory):
            chain.add(callback)
        made.append([made_of(docs, uid) for uid in how(run(chain, directory, 0), run(chain, directory, 1))])
    apart, together = made
    assert together == apart
    assert apart[0] != apart[1]


def test_references_of_runs_that_overlap_are_of_each(tmp_path):
    docs, chain = Documents(), Chain()
    chain.add(docs, required=True)
    chain.add(ReferenceAverage(tmp_path / "references"))
    taken = [run(chain, tmp_path, n, purpose="reference", reference=kind) for n, kind in enumerate(("dark", "flat"))]
    for number, uid in enumerate(in_turns(*taken)):
        mean = np.mean([frame.image for frame in FILMS[number]], axis=0)
        (row,) = made_of(docs, uid)["primary_reference/cam_mean"]
        np.testing.assert_allclose(row, mean, rtol=1e-6)


@pytest.mark.parametrize("overlapping", [in_turns, inside])
def test_tables_curves_and_journals_of_runs_that_overlap_are_of_each(tmp_path, capsys, overlapping):
    import matplotlib.pyplot as plt

    found = []
    for how in (one_after_the_other, overlapping):
        directory, tables = tmp_path / how.__name__, []
        directory.mkdir()
        chain = Chain(journal := Journal(directory / "journal"))
        chain.add(Curves(directory / "plots"))
        chain.add(LedgerTable(printed(tables)))
        uids = how(run(chain, directory, 0), run(chain, directory, 1))
        plt.close("all")
        journal.close()
        words = capsys.readouterr()
        assert "Traceback" not in words.out + words.err
        found.append(
            {
                "journals": [len((directory / "journal" / f"{uid}.jsonl").read_text().splitlines()) for uid in uids],
                "plots": [
                    sorted(
                        p.name.replace(uid[:8], "").replace("_2.", ".")
                        for p in (directory / "plots").glob(f"*{uid[:8]}*")
                    )
                    for uid in uids
                ],
                "tables": sorted(len(table.splitlines()) for table in tables),
            }
        )
        for number, uid in enumerate(uids):
            (table,) = [table for table in tables if uid[:8] in table]
            assert f"cam            80    {number}" in table
            assert f"cam_{uid[:8]}.h5" in table
    assert found[0] == found[1]
    assert all(found[0]["plots"])
