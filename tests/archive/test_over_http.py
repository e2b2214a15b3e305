"""What a run looks like over HTTP and for databroker, from a real server that a real feeder fills."""

import io
import json
import os
import threading
import time

import bluesky.plans as bp
import h5py
import httpx
import numpy as np
import pytest
from archive_session import SHAPE, Camera, Ledger, fly, frame, journaled
from ophyd.sim import SynAxis, SynGauss
from PIL import Image

from beamstream.archive.catalog import broker, connect, list_runs, run_summary, wait_for_run
from beamstream.callbacks.journal import Journal
from beamstream.errors import ArchiveError


@pytest.fixture(scope="module")
def flown(archive):
    """A fly run of 20 frames that claims to have lost 3."""
    camera = Camera("cam", archive.layout.recordings, num=20)
    camera.loses = 3
    (uid,) = archive.engine(fly([camera], sample="GaAs wafer 7"))
    wait_for_run(archive.client, uid)
    return uid


@pytest.fixture(scope="module")
def scanned(archive):
    """A step scan: a motor, a point detector, a camera."""
    motor = SynAxis(name="motor")
    point = SynGauss("point", motor, "motor", center=0, Imax=1)
    camera = Camera("cam", archive.layout.recordings, num=1)
    (uid,) = archive.engine(bp.scan([point, camera], motor, -1, 1, 5))
    wait_for_run(archive.client, uid)
    return uid


def test_arrays_come_back_bit_by_bit(archive, flown):
    raw = archive.curl("-g", '-H "Authorization: Apikey $K"', f'"$A/array/full/{flown}/primary/cam_image"')
    images = np.frombuffer(raw, "<u2").reshape(-1, *SHAPE)
    assert np.array_equal(images, [frame(n) for n in range(20)])


def test_one_frame_of_many_comes_back_as_raw_bytes_and_as_png(archive, flown):
    where = f"$A/array/full/{flown}/primary/cam_image?slice=7"
    raw = archive.curl("-g", '-H "Authorization: Apikey $K"', f'"{where},::1,::1"')
    assert np.array_equal(np.frombuffer(raw, "<u2").reshape(SHAPE), frame(7))
    png = archive.curl("-g", '-H "Authorization: Apikey $K"', f'"{where}&format=image/png"')
    assert Image.open(io.BytesIO(png)).size == SHAPE[::-1]


def test_the_recorded_file_itself_can_be_fetched(archive, flown):
    key = '-H "Authorization: Apikey $K"'
    about = json.loads(archive.curl("-g", key, f'"$A/metadata/{flown}/primary/cam_image?include_data_sources=true"'))
    asset = about["data"]["attributes"]["data_sources"][0]["assets"][0]["id"]
    whole = archive.curl(key, f'"$A/asset/bytes/{flown}/primary/cam_image?id={asset}"')
    with h5py.File(io.BytesIO(whole)) as file:
        assert np.array_equal(file["entry/data/data"][3], frame(3))


def found(archive, query: str) -> set[str]:
    answer = json.loads(archive.curl("-g", '-H "Authorization: Apikey $K"', f'"$A/search/?{query}"'))
    return {item["id"] for item in answer["data"]}


def test_runs_are_found_by_plan_by_words_and_newest_first(archive, flown, scanned):
    plan = r"filter[eq][condition][key]=start.plan_name&filter[eq][condition][value]=\"fly\""
    assert flown in found(archive, plan)
    assert scanned not in found(archive, plan)
    assert found(archive, "filter[fulltext][condition][text]=GaAs") == {flown}
    newest = found(archive, "page[limit]=1&sort=-start.time")
    assert newest == {scanned}


def test_runs_are_found_by_the_frames_they_lost(archive, flown, scanned):
    lost = "filter[comparison][condition][operator]=gt&filter[comparison][condition][key]=lost"
    assert found(archive, lost + "&filter[comparison][condition][value]=0") == {flown}
    assert found(archive, lost + "&filter[comparison][condition][value]=3") == set()
    metadata = archive.get(f"/metadata/{flown}").json()["data"]["attributes"]["metadata"]
    assert metadata["ledger"] == {"cam": {"received": 23, "recorded": 20, "lost": 3}}
    assert metadata["lost"] == 3


def test_documents_come_back_as_json_seq(archive, flown):
    key = '-H "Authorization: Apikey $K"'
    text = archive.curl(key, '-H "Accept: application/json-seq"', f'"$A/container/full/{flown}"').decode()
    documents = [json.loads(line) for line in text.replace("\x1e", "").splitlines() if line.strip()]
    names = [d["name"] for d in documents]
    assert names[0] == "start"
    assert names[-1] == "stop"
    assert {"descriptor", "stream_resource", "stream_datum", "event"} <= set(names)
    assert documents[0]["doc"]["sample"] == "GaAs wafer 7"
    assert documents[-1]["doc"]["num_events"] == {"primary": 20, "ledger": 1}


def test_the_summary_tells_frames_and_losses(archive, flown, scanned):
    summary = run_summary(archive.client[flown].metadata)
    assert (summary.received, summary.recorded, summary.lost, summary.frames) == (23, 20, 3, 20)
    assert (summary.plan_name, summary.exit_status, summary.recovered) == ("fly", "success", False)
    assert [r.uid for r in list_runs(archive.client, lossy=True)] == [flown]
    assert [r.uid for r in list_runs(archive.client, limit=2)] == [scanned, flown]
    assert [r.uid for r in list_runs(archive.client, plan_name="scan")] == [scanned]
    assert next(list_runs(archive.client, plan_name="scan")).frames == 5


def test_databroker_reads_tables_and_images(archive, scanned, flown):
    catalog = broker(archive.layout.directory)
    header = catalog[scanned]
    assert header.start["plan_name"] == "scan"
    table = header.table(fill=True)
    assert list(table["motor"]) == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert table["point"].max() == 1.0
    images = np.asarray(list(header.data("cam_image")))
    assert np.array_equal(images.reshape(5, *SHAPE), [frame(n) for n in range(5)])
    assert next(name for name, _ in header.documents()) == "start"
    assert {h.start["uid"] for h in catalog(plan_name="fly")} == {flown}
    for client in (catalog._catalog, archive.client):  # neither its own client nor another one changes with it
        assert client[flown]["primary"]["cam_image"].shape[1:] == SHAPE
    catalog._catalog.context.close()


@pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager")  # tiled's use of websockets
def test_a_run_in_progress_is_followed_live(archive, wait_for, connected):
    from bluesky_tiled_plugins import subscribe_to_streams

    camera = Camera("live", archive.layout.recordings, num=30, period=0.01)
    camera.pause_at = 12  # waits there until we saw what came before
    seen: dict[int, np.ndarray] = {}

    def follow(update):
        if update.data_keys == ("live_image",):
            seen[update.update.patch.offset[0]] = np.asarray(update.data())

    subscription = subscribe_to_streams(connected(archive.layout.directory), follow, streams=None, start=0)
    run = threading.Thread(target=archive.engine, args=(fly([camera]),))
    run.start()
    try:
        wait_for(lambda: sum(map(len, seen.values())) == 12, timeout=20, what="12 frames while the run goes on")
        assert run.is_alive()
        camera.hold.set()
        wait_for(lambda: sum(map(len, seen.values())) == 30, timeout=20, what="the rest of the frames")
    finally:
        camera.hold.set()
        run.join(30)
        subscription.disconnect()
    joined = np.concatenate([seen[offset] for offset in sorted(seen)])
    assert np.array_equal(joined, [frame(n) for n in range(30)])


def test_a_running_run_is_visible_before_it_ends(archive, wait_for):
    camera = Camera("cam", archive.layout.recordings, num=12)
    camera.hold.clear()
    thread = threading.Thread(target=archive.engine, args=(fly([camera], sample="now"),))
    thread.start()
    try:
        wait_for(lambda: list(list_runs(archive.client, text="now")), timeout=5, what="the run to appear")
        (summary,) = list_runs(archive.client, text="now")
        assert summary.exit_status == "open"
    finally:
        camera.hold.set()
        thread.join(30)
    assert wait_for_run(archive.client, summary.uid).exit_status == "success"


def test_without_the_key_nothing_is_said(archive, flown):
    for headers in ({}, {"Authorization": "Apikey 0123456789abcdef"}):
        for path in ("/search/", f"/metadata/{flown}", f"/array/full/{flown}/primary/cam_image"):
            assert httpx.get(f"{archive.url}/api/v1{path}", headers=headers).status_code == 401
    with pytest.raises(ArchiveError, match="no key was given"):
        connect(archive.url)
    with pytest.raises(ArchiveError, match="the key given is wrong"):
        connect(archive.url, key="0123456789abcdef")


def test_the_key_comes_from_the_environment_for_a_url(archive, flown, monkeypatch, connected):
    monkeypatch.setenv("BEAMSTREAM_API_KEY", archive.key)
    assert run_summary(connected(archive.url)[flown].metadata).uid == flown


def test_the_key_is_private_and_in_no_log(archive, flown):
    assert archive.layout.key.stat().st_mode & 0o777 == 0o600
    httpx.get(f"{archive.url}/api/v1/search/?api_key={archive.key}")
    httpx.get(f"{archive.url}/api/v1/array/full/{flown}/primary/cam_image?slice=999&api_key={archive.key}")
    for path in (archive.layout.directory / "server.log", archive.layout.address):
        assert archive.key not in path.read_text()
    for process in (archive.pid, os.getpid()):
        with open(f"/proc/{process}/cmdline") as file:  # noqa: PTH123
            assert archive.key not in file.read()


def test_filed_journals_are_moved(archive, flown, wait_for):
    wait_for(lambda: (archive.layout.journal / "filed" / f"{flown}.jsonl").exists(), what="the journal to move")
    assert not (archive.layout.journal / f"{flown}.jsonl").exists()


def test_a_refused_run_is_kept_with_the_reason_and_others_go_on(archive, wait_for):
    journal = Journal(archive.layout.journal)
    journal("start", {"uid": "0" * 36, "time": time.time(), "scan_id": 1})
    keys = {"x": {"source": "s", "dtype": "array", "shape": [2, 2], "dtype_numpy": "<u2", "external": "STREAM:"}}
    about = {"uid": "d", "run_start": "0" * 36, "time": 1.0, "name": "primary", "data_keys": keys}
    journal("descriptor", {**about, "configuration": {}, "hints": {}, "object_keys": {}})
    resource = {"uid": "r", "run_start": "0" * 36, "data_key": "x", "mimetype": "no/such", "parameters": {}}
    journal("stream_resource", {**resource, "uri": "file://localhost/nowhere"})
    ranges = {"indices": {"start": 0, "stop": 1}, "seq_nums": {"start": 1, "stop": 2}}
    journal("stream_datum", {"uid": "r/0", "stream_resource": "r", "descriptor": "d", **ranges})
    refused = archive.layout.journal / "refused"
    wait_for(lambda: (refused / f"{'0' * 36}.txt").exists(), timeout=20, what="the reason")
    assert (archive.layout.journal / f"{'0' * 36}.jsonl").exists(), "moved while its owner still writes"
    stop = {"uid": "s", "run_start": "0" * 36, "time": 2.0, "exit_status": "success", "num_events": {}}
    journal("stop", stop)
    wait_for(lambda: (refused / f"{'0' * 36}.jsonl").exists(), what="the journal to be refused")
    assert "no/such" in (refused / f"{'0' * 36}.txt").read_text()
    assert ("0" * 36) in (archive.layout.directory / "server.log").read_text()
    assert "no/such" in archive.client["0" * 36].metadata["refused"]
    (uid,) = archive.engine(bp.count([Ledger(name="other")], 2))
    assert wait_for_run(archive.client, uid).num_events == {"primary": 2}


def test_rows_that_may_be_there_twice_are_filed_anew(archive, wait_for):
    camera = Camera("cam", archive.layout.recordings, num=4)
    (uid,) = archive.engine(fly([camera]))
    wait_for_run(archive.client, uid)
    filed = archive.layout.journal / "filed" / f"{uid}.jsonl"
    wait_for(filed.exists, what="the journal to move")
    note = "forcing a retry. If the failed attempt was in fact processed, the rows may be duplicated."
    archive.client[uid].update_metadata({"notes": [note]})  # as TiledWriter leaves it after a lost answer
    filed.rename(archive.layout.journal / filed.name)
    wait_for(filed.exists, what="the run to be filed again")
    run = archive.client.v3[uid]
    assert "notes" not in run.metadata
    assert np.array_equal(run["primary"]["cam_image"].read(), [frame(n) for n in range(4)])
    assert camera.path.exists(), "deleting the run deleted the recording"


def test_a_run_that_outran_the_feeder_is_caught_up_in_one_go(archive):
    uid = journaled(archive.layout.journal, 2500)  # at 30 ms a request: more than a minute
    summary = wait_for_run(archive.client, uid, timeout=30)
    assert summary.num_events == {"primary": 2500}
    table = archive.client.v3[uid]["primary"].base["internal"].read()
    assert list(table["seq_num"]) == list(range(1, 2501))
