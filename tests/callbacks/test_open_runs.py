"""Several runs that are open at once: each has its documents, its callbacks and its end."""

import io
import threading
import time
from uuid import uuid4

import pytest
from growing import TWELVE, Documents, play
from rich.console import Console

from beamstream.callbacks import chain_run
from beamstream.callbacks.chain import Chain
from beamstream.callbacks.curves import Curves
from beamstream.callbacks.derive import Derive
from beamstream.callbacks.journal import Journal
from beamstream.callbacks.live_stats import LiveStats
from beamstream.callbacks.plain import PlainWork
from beamstream.callbacks.progress import FrameProgress
from beamstream.errors import CallbackFailed


def of_run(docs: Documents, uid: str) -> Documents:
    """Return the documents of one run."""
    names = {uid} | {doc["uid"] for _, doc in docs if doc.get("run_start") == uid}
    keys = ("uid", "run_start", "descriptor", "stream_resource")
    return Documents((name, doc) for name, doc in docs if names & {doc.get(key) for key in keys})


class Slow:
    def apply(self, image, meta):
        time.sleep(0.02)
        return image


def nested(chain, directory, depth=2):
    """Play a run in the middle of another; return their uids, the outer one first."""
    inner: list[str] = []

    def between() -> None:
        if not inner:
            inner.append(play(chain, directory, TWELVE[:7], batch=3))

    return play(chain, directory, TWELVE, batch=4, between=between), inner[0]


def test_a_run_that_closes_leaves_the_callbacks_of_the_others_at_work(chain, docs, tmp_path):
    chain.add(Derive("slow", Slow, required=True))
    outer, inner = (of_run(docs, uid) for uid in nested(chain, tmp_path))
    for run, number in ((outer, 12), (inner, 7)):
        assert (run.account["slow_frames"], run.account["slow_undone"]) == (number, 0)
        assert len(run.rows("cam_slow_image")) == number
        (stop,) = run.of("stop")
        assert stop["exit_status"] == "success"
        assert stop["num_events"]["primary_slow"] == number


def test_to_cut_one_run_short_concerns_no_other(chain, docs, tmp_path, monkeypatch):
    monkeypatch.setattr(chain_run, "_HURRY", 0.0)
    chain.add(Derive("slow", Slow, required=True))
    uids: list[str] = []

    def cut_short() -> None:
        if len(docs.of("start")) == 1:
            uids.append(play(chain, tmp_path, TWELVE * 20, batch=240, between=cut_short))
        else:
            chain.run(docs.of("start")[-1]["uid"]).hurry()

    outer = of_run(docs, play(chain, tmp_path, TWELVE, between=cut_short))
    inner = of_run(docs, uids[0])
    assert inner.of("stop")[0]["exit_status"] == "fail"
    assert inner.account["slow_undone"] > 0
    assert outer.of("stop")[0]["exit_status"] == "success"
    assert outer.account["slow_undone"] == 0


def test_a_callback_that_is_slow_with_a_document_of_one_run_delays_no_other(chain, docs, tmp_path):
    released, entered, uid = threading.Event(), threading.Event(), str(uuid4())

    class Slow:
        name, required, derives = "slow", True, False

        def begin(self, start, emit):
            return SlowWork() if start["uid"] == uid else None

    class SlowWork(PlainWork):
        def __init__(self) -> None:
            self.account = {}

        def __call__(self, name, doc):
            entered.set()
            assert released.wait(60)

    chain.add(Slow())
    chain("start", {"uid": uid, "time": 0.0})
    descriptor = {"uid": "d", "run_start": uid, "name": "primary", "data_keys": {}}
    held = threading.Thread(target=chain, args=("descriptor", descriptor))
    held.start()
    try:
        assert entered.wait(20)
        other = of_run(docs, play(chain, tmp_path, TWELVE))
        assert other.of("stop")[0]["exit_status"] == "success"
        assert held.is_alive()
    finally:
        released.set()
        held.join(20)
    chain("stop", {"uid": "s", "run_start": uid, "time": 0.0, "exit_status": "success"})


def test_old_documents_that_name_no_run_go_to_the_one_that_their_resource_is_of(chain, docs, tmp_path):
    journal = Journal(tmp_path / "journal")
    chain = Chain(journal, [])
    seen: dict[str, list[str]] = {}
    for uid in ("first", "second"):
        chain("start", {"uid": uid, "time": 0.0})
        seen[uid] = []
    chain("resource", {"uid": "r1", "run_start": "first"})
    chain("resource", {"uid": "r2", "run_start": "second"})
    chain("datum", {"uid": "d2", "resource": "r2", "datum_id": "r2/0"})
    with pytest.raises(CallbackFailed, match="none of the 2 open runs"):
        chain("resource", {"uid": "r3"})
    with pytest.raises(CallbackFailed, match="none of the 2 open runs"):
        chain("datum", {"uid": "d", "resource": "of another"})
    for uid in seen:
        chain("stop", {"uid": f"{uid}-stop", "run_start": uid, "time": 0.0, "exit_status": "success"})
    assert "d2" in (tmp_path / "journal" / "second.jsonl").read_text()
    assert "d2" not in (tmp_path / "journal" / "first.jsonl").read_text()


def test_curves_of_runs_that_overlap_are_files_of_each(chain, docs, tmp_path, capsys):
    import matplotlib.pyplot as plt

    chain.add(LiveStats())
    chain.add(Curves(tmp_path / "plots"))
    uids = nested(chain, tmp_path)
    plt.close("all")
    made = {uid: [path.name for path in (tmp_path / "plots").glob(f"*{uid[:8]}*.png")] for uid in uids}
    assert all(made.values()), made
    assert "Traceback" not in "".join(capsys.readouterr())


def test_bars_of_runs_that_overlap_are_of_each(wait_for):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    progress = FrameProgress(console)
    keys = {"image": {"external": "STREAM:"}}
    for uid in ("a", "b"):
        progress.document("start", {"uid": uid, "plan_name": "monitor"})
        progress.document(
            "descriptor", {"uid": f"{uid}-d", "run_start": uid, "data_keys": keys, "object_keys": {f"cam_{uid}": []}}
        )
    progress.document("stop", {"uid": "s", "run_start": "b"})
    progress.document("stream_datum", {"uid": "r", "descriptor": "a-d", "indices": {"start": 0, "stop": 17}})
    wait_for(lambda: "cam_a" in console.file.getvalue() and "17 frames" in console.file.getvalue())
    progress.document("stop", {"uid": "s", "run_start": "a"})
    wait_for(lambda: progress._bars is None)
