"""What a person sees of the account when a run ends."""

import io
import json
import time

import pytest
from bluesky import plan_stubs as bps
from bluesky.callbacks.core import make_callback_safe
from event_model import compose_run
from rich.console import Console
from run_engines import run_engine

from beamstream.callbacks.ledger_table import LedgerTable, ledger_table
from beamstream.ledger import COLUMNS, Ledger, Place
from devices.ledger import LedgerDevice


def text_of(shown, **options) -> str:
    console = Console(file=io.StringIO(), width=options.pop("width", 80), **options)
    console.print(shown, crop=False)
    return console.file.getvalue()


def account(detector="cam", **counts) -> dict[str, dict[str, object]]:
    return {detector: dict.fromkeys(COLUMNS, 0) | {"gaps": "[]"} | counts}


def ledger_of(detector: str, **counts) -> LedgerDevice:
    device = LedgerDevice(name=f"{detector}_ledger")
    device.account = Ledger(detector, **counts)
    return device


def run_with(*ledgers):
    """Open a run, tell the accounts in a stream of their own, close it."""
    yield from bps.open_run({"plan_name": "record"})
    yield from bps.create(name="ledger")
    for ledger in ledgers:
        yield from bps.read(ledger)
    yield from bps.save()
    yield from bps.close_run()


@pytest.fixture
def shown() -> list[object]:
    return []


@pytest.fixture
def engine(shown):
    with run_engine() as engine:
        engine.subscribe(LedgerTable(print=shown.append))
        yield engine


def test_a_run_that_kept_a_ledger_prints_one_table_with_every_detector(engine, shown):
    engine(run_with(ledger_of("cam", received=20, recorded=20), ledger_of("side", received=9, recorded=7)))
    assert len(shown) == 1
    text = text_of(shown[0])
    assert "run 1 record" in text
    assert "success" in text
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith(("cam", "side"))}
    assert rows == {"cam": ["20", "0", "20", "0", "0", "0", "0"], "side": ["7", "0", "9", "0", "0", "0", "0"]}


def test_a_run_without_a_ledger_prints_nothing(engine, shown):
    def plan():
        yield from bps.open_run()
        yield from bps.close_run()

    engine(plan())
    assert shown == []


def test_each_run_prints_its_own_account(engine, shown):
    for recorded in (3, 5):
        engine(run_with(ledger_of("cam", received=recorded, recorded=recorded)))
    first, second = (text_of(table) for table in shown)
    assert "cam             3" in first
    assert "cam             5" in second


def test_a_run_that_failed_says_why(engine, shown):
    def plan():
        yield from bps.open_run()
        yield from bps.create(name="ledger")
        yield from bps.read(ledger_of("cam"))
        yield from bps.save()
        yield from bps.close_run(exit_status="fail", reason="the camera burnt")

    engine(plan())
    assert "fail: the camera burnt" in text_of(shown[0])


def test_where_frames_are_missing_is_told_for_the_first_gaps():
    ledger = Ledger("cam", received=90, recorded=90)
    for number in range(8):
        ledger.lose(10 * number + 4, 2, Place.TRANSPORT)
    counts = {"recorded": 90, "lost": ledger.lost, "gaps": ledger.gaps_json()}
    lines = text_of(ledger_table(account(**counts))).splitlines()
    assert [line for line in lines if "after unique_id" in line] == [
        f"cam: 2 missing after unique_id {10 * n + 4} (transport)" for n in range(5)
    ]
    assert "cam: and 3 more gaps, 6 missing in them" in lines


def test_gaps_may_be_a_list_as_well_as_json():
    gaps = [{"after": 4, "missing": 1, "place": "ring"}]
    with_list, with_json = (text_of(ledger_table(account(gaps=g))) for g in (gaps, json.dumps(gaps)))
    assert with_list == with_json
    assert "1 missing after unique_id 4 (ring)" in with_list


@pytest.mark.parametrize(("lost", "colour"), [(0, "\x1b[32m   0"), (3, "\x1b[1;31m   3")])
def test_lost_is_green_at_zero_and_red_above(lost, colour):
    text = text_of(ledger_table(account(lost=lost)), force_terminal=True, color_system="standard", legacy_windows=False)
    assert colour in text


def test_there_are_no_colours_where_there_is_no_terminal(capsys):
    table = LedgerTable()
    for name, doc in documents():
        table(name, doc)
    out = capsys.readouterr().out
    assert "cam" in out
    assert "\x1b" not in out


def test_a_table_fits_into_80_characters():
    text = text_of(ledger_table(account(recorded=1234567), rates={"cam": 99.93}))
    assert all(title in text for title in ("recorded", "malformed", "restarts", "frames/s", "99.9"))
    assert "…" not in text


def test_a_column_that_the_account_does_not_have_is_a_question_mark():
    assert text_of(ledger_table({"cam": {"recorded": 5}})).splitlines()[-1].split() == ["cam", "5", *"??????"]


def documents(seconds: float = 0.5, recorded: int = 400, path: str = "/data/a%20b/cam_1.h5"):
    """Make the documents of a flight, the account at its end."""
    now = time.time()
    run = compose_run()
    yield "start", run.start_doc
    key = {"source": "pva://X", "dtype": "array", "shape": [4, 4], "dtype_numpy": "<u2", "external": "STREAM:"}
    stream = run.compose_descriptor(name="primary", data_keys={"cam_image": key}, time=now)
    yield "descriptor", stream.descriptor_doc
    resource = run.compose_stream_resource(
        mimetype="application/x-hdf5", uri=f"file://localhost{path}", data_key="cam_image", parameters={}
    )
    yield "stream_resource", resource.stream_resource_doc
    counts = {f"cam_ledger_{c}": 0 for c in COLUMNS} | {"cam_ledger_recorded": recorded}
    keys = {name: {"source": "SIM:", "dtype": "integer", "shape": []} for name in counts}
    ledger = run.compose_descriptor(name="ledger", data_keys=keys, time=now + seconds)
    yield "descriptor", ledger.descriptor_doc
    times = dict.fromkeys(counts, now)
    yield "event", ledger.compose_event(data=counts, timestamps=times, time=now + seconds)
    yield "stop", run.compose_stop()


def printed(**options) -> str:
    shown = []
    table = LedgerTable(print=shown.append)
    for name, doc in documents(**options):
        table(name, doc)
    (only,) = shown
    return text_of(only)


def test_the_file_is_told_in_one_piece_as_it_is_called_on_disk():
    path = "/data/" + "very_long_directory/" * 8 + "cam_1.h5"
    assert f"cam: {path}\n" in printed(path=path)
    assert "cam: /data/a b/cam_1.h5\n" in printed()


def test_the_rate_is_told_for_runs_that_are_long_enough_to_have_one():
    assert "100.0" in printed(seconds=4.0, recorded=400)
    assert "frames/s" not in printed(seconds=0.5)


def test_a_table_that_cannot_be_printed_does_not_end_the_run(engine):
    def broken(_):
        raise OSError("no space left on the terminal")

    engine.subscribe(make_callback_safe(LedgerTable(print=broken)))
    assert engine(run_with(ledger_of("cam", recorded=1)))
