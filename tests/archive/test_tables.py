"""Tables of events are read while others are filed."""

import threading

import httpx
from archive_session import journaled

from beamstream.archive.catalog import wait_for_run

RUNS = 4


def test_tables_are_read_while_runs_are_filed(archive):
    statuses: list[int] = []
    over = threading.Event()
    first = journaled(archive.layout.journal, 5)
    wait_for_run(archive.client, first)
    path = f"{archive.url}/api/v1/table/full/{first}/primary/internal?format=text/csv"

    def read() -> None:
        with httpx.Client(headers={"Authorization": f"Apikey {archive.key}"}, timeout=30) as http:
            while not over.is_set():
                statuses.append(http.get(path).status_code)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for uid in [journaled(archive.layout.journal, 5) for _ in range(RUNS)]:
            wait_for_run(archive.client, uid)
    finally:
        over.set()
        for reader in readers:
            reader.join(30)
    assert len(statuses) > RUNS
    assert set(statuses) == {200}
