"""Tables of events are read while others are filed."""

import threading
import time
from pathlib import Path

import httpx
from event_model import compose_run

from beamstream.archive.catalog import connect, wait_for_run
from beamstream.archive.server import ArchiveServer
from beamstream.callbacks.journal import Journal

RUNS = 4


def journaled(journal: Journal) -> str:
    run = compose_run()
    journal("start", run.start_doc)
    key = {"source": "test", "dtype": "number", "shape": []}
    descriptor = run.compose_descriptor(name="primary", data_keys={"x": key})  # type: ignore[arg-type]
    journal("descriptor", descriptor.descriptor_doc)
    for value in range(5):
        journal("event", descriptor.compose_event(data={"x": value}, timestamps={"x": time.time()}))
    journal("stop", run.compose_stop())
    return run.start_doc["uid"]


def test_tables_are_read_while_runs_are_filed(tmp_path: Path):
    statuses: list[int] = []
    over = threading.Event()
    with ArchiveServer(tmp_path) as server:
        journal = Journal(tmp_path / "journal")
        client = connect(tmp_path)
        first = journaled(journal)
        wait_for_run(client, first)
        path = f"{server.url}/api/v1/table/full/{first}/primary/internal?format=text/csv"
        headers = {"Authorization": f"Apikey {(tmp_path / 'api_key').read_text().strip()}"}

        def read() -> None:
            with httpx.Client(headers=headers, timeout=30) as http:
                while not over.is_set():
                    statuses.append(http.get(path).status_code)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        try:
            for uid in [journaled(journal) for _ in range(RUNS)]:
                wait_for_run(client, uid)
        finally:
            over.set()
            for reader in readers:
                reader.join(30)
            client.context.close()
    assert len(statuses) > RUNS
    assert set(statuses) == {200}
