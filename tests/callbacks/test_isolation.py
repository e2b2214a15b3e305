"""An optional callback never fails or stops a run, whatever it does; what it did is in the run's account."""

import json
import sys
import threading

import numpy as np
import pytest
from growing import Documents, frames_of, play

from beamstream.callbacks import chain_run
from beamstream.callbacks.chain import Chain
from beamstream.callbacks.derive import Derive
from beamstream.callbacks.journal import Journal
from beamstream.errors import CallbackFailed

FRAMES = frames_of(lambda t: np.full((8, 8), int(t), np.uint16), range(6))


@pytest.fixture
def docs() -> Documents:
    return Documents()


@pytest.fixture
def chain(docs, tmp_path):
    journal = Journal(tmp_path / "journal")
    chain = Chain(journal)
    chain.add(docs, required=True)
    yield chain
    assert journal.open_runs == ()
    journal.close()


class Faulty:
    """A callback whose parts raise where they are told to."""

    derives = False

    def __init__(self, where: str, *, required: bool = False, account: dict | None = None) -> None:
        self.name, self.where, self.required = "faulty", where, required
        self._account = account or {}
        self.finished = 0

    def raise_at(self, where: str) -> None:
        if where == self.where:
            raise OSError(f"no {where}")

    def begin(self, start, emit):
        self.raise_at("begin")
        return FaultyWork(self)

    @property
    def account(self):
        return self._account


class FaultyWork:
    error = None

    def __init__(self, of: Faulty) -> None:
        self._of = of

    def __call__(self, name, doc):
        self._of.raise_at(name)

    def finish(self):
        self._of.finished += 1
        self._of.raise_at("finish")

    def wait(self, timeout):
        self._of.raise_at("wait")
        return self._of.where != "give_up"

    def give_up(self):
        self._of.raise_at("give_up")

    @property
    def moved(self):
        self._of.raise_at("moved")
        return 0.0

    @property
    def progress(self):
        self._of.raise_at("progress")
        return 0, 0

    @property
    def account(self):
        self._of.raise_at("account")
        return self._of.account


PLACES = ["begin", "descriptor", "stream_datum", "finish", "wait", "give_up", "progress", "account"]


@pytest.mark.parametrize("where", PLACES)
def test_what_an_optional_callback_raises_anywhere_is_in_the_account(chain, docs, tmp_path, where, monkeypatch, caplog):
    monkeypatch.setattr(chain_run, "PATIENCE", 2.0)
    chain.add(Faulty(where))
    chain.add(Derive("same", lambda: type("Same", (), {"apply": lambda self, image, meta: image})()))
    play(chain, tmp_path, FRAMES, between=lambda: chain.report(docs.of("start")[0]["uid"]))
    (stop,) = docs.of("stop")
    assert stop["exit_status"] == "success"
    assert docs.account["faulty_error"] == f"no {where}"
    assert docs.account["same_frames"] == 6
    assert caplog.text.count(f"no {where}") == 1


@pytest.mark.parametrize("where", ["finish", "wait", "give_up", "account"])
def test_what_a_required_callback_raises_at_the_end_fails_the_run_and_its_stop_document_is_kept(
    chain, docs, tmp_path, where, monkeypatch
):
    monkeypatch.setattr(chain_run, "PATIENCE", 0.3)
    chain.add(Faulty(where, required=True))
    play(chain, tmp_path, FRAMES)
    (stop,) = docs.of("stop")
    assert (stop["exit_status"], stop["reason"]) == ("fail", f"faulty: no {where}")


def test_what_a_required_callback_raises_at_the_stop_document_is_logged(chain, docs, tmp_path, caplog):
    chain.add(Faulty("stop", required=True))
    play(chain, tmp_path, FRAMES)
    assert "faulty: no stop; the run's stop document is kept already" in caplog.text


def test_a_callback_that_refuses_a_document_is_finished_all_the_same(chain, docs, tmp_path):
    faulty = chain.add(Faulty("descriptor"))
    play(chain, tmp_path, FRAMES)
    assert faulty.finished == 1


def test_an_optional_callable_that_exits_ends_neither_the_process_nor_the_run(chain, docs, tmp_path):
    def leaves(name, doc):
        sys.exit(3)

    chain.add(leaves)
    play(chain, tmp_path, FRAMES)
    assert docs.of("stop")[0]["exit_status"] == "success"
    assert docs.account["leaves_error"] == "SystemExit(3)"


@pytest.mark.parametrize("where", ["start", "descriptor", "stream_datum", "stop"])
def test_an_optional_callable_that_does_not_return_is_left_behind_until_it_does(
    chain, docs, tmp_path, where, monkeypatch, caplog, wait_for
):
    monkeypatch.setattr(chain_run, "PATIENCE", 0.3)
    monkeypatch.setattr(chain_run, "_LAST", 0.3)
    released, seen = threading.Event(), []

    def stuck(name, doc):
        seen.append(name)
        if name == where and not released.is_set():
            released.wait(60)

    chain.add(stuck)
    try:
        play(chain, tmp_path, FRAMES)
        (stop,) = docs.of("stop")
        assert stop["exit_status"] == "success"
        if where == "stop":  # after the account
            assert "stuck: does not return from a call" in caplog.text
        else:
            assert "does not return from a call" in docs.account["stuck_error"]
        play(chain, tmp_path, FRAMES)
        assert docs.account["stuck_error"] == "stuck: does not return from an earlier call; it is not called meanwhile"
        assert docs.of("stop")[-1]["exit_status"] == "success"
    finally:
        released.set()
    wait_for(lambda: not any(t.name == "stuck-calls" for t in threading.enumerate()))
    del seen[:]
    play(chain, tmp_path, FRAMES)
    assert (seen[0], seen[-1]) == ("start", "stop")


def test_a_slow_optional_callable_delays_no_document_and_sees_all_of_them(chain, docs, tmp_path):
    passed, seen = threading.Event(), []

    def slow(name, doc):
        if name == "start":
            assert passed.wait(20)
        seen.append(name)

    chain.add(slow)
    play(chain, tmp_path, FRAMES, between=passed.set)
    assert seen == [name for name, _ in docs]


class Odd:
    def __str__(self) -> str:
        raise ValueError("has no words")


ACCOUNT = {
    "count": np.int64(3),
    "mean": np.float32(1.5),
    "nan": float("nan"),
    "infinite": np.inf,
    "flag": np.bool_(True),
    "array": np.arange(3),
    "name": "image_\udcff.tiff",
    "zero": "a\0b",
    "odd": Odd(),
    "large": 2**70,
    "bytes": b"\xff",
    "none": None,
    3: "a key that is none",
}


@pytest.mark.parametrize("required", [False, True])
def test_an_account_of_any_values_becomes_plain_ones(chain, docs, tmp_path, required):
    chain.add(Faulty("nowhere", account=ACCOUNT, required=required))
    uid = play(chain, tmp_path, FRAMES)
    assert docs.of("stop")[0]["exit_status"] == "success"
    lines = (tmp_path / "journal" / f"{uid}.jsonl").read_text("utf-8").splitlines()
    (event,) = [json.loads(line)["doc"] for line in lines if json.loads(line)["name"] == "event"]
    found = {key.removeprefix("faulty_"): value for key, value in event["data"].items()}
    assert (found["count"], found["mean"], found["flag"], found["nan"]) == (3, 1.5, True, "nan")
    assert (found["array"], found["name"], found["zero"]) == ("[0 1 2]", "image_\\udcff.tiff", "a\\0b")
    assert (found["odd"], found["large"], found["3"]) == ("a Odd", str(2**70), "a key that is none")
    json.dumps(event, ensure_ascii=False, allow_nan=False).encode()
    kinds = {key: about["dtype"] for key, about in docs.descriptor("callbacks")["data_keys"].items()}
    assert (kinds["faulty_count"], kinds["faulty_mean"], kinds["faulty_flag"]) == ("integer", "number", "boolean")


def test_callbacks_of_the_same_name_have_an_account_each(chain, docs, tmp_path):
    for words in ("first", "second"):
        chain.add(Faulty("nowhere", account={"words": words}))
    play(chain, tmp_path, FRAMES)
    assert (docs.account["faulty_words"], docs.account["faulty_2_words"]) == ("first", "second")


def test_a_document_that_is_made_after_the_run_has_closed_is_refused(chain, docs, tmp_path):
    emits = []

    class Late(Faulty):
        def begin(self, start, emit):
            emits.append(emit)
            return super().begin(start, emit)

    chain.add(Late("nowhere"))
    play(chain, tmp_path, FRAMES)
    with pytest.raises(CallbackFailed, match="which is closed; too late"):
        emits[0]("event", {"uid": "e", "descriptor": "d"})
