"""`beamstream serve --ingest`: what is uploaded is served beside the rest, while it comes, over kills, afterwards."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from by_hand import START, movie
from commands import COMMAND

from beamstream.archive.layout import Layout, read_key
from beamstream.children import read_line
from beamstream.cli.ingest import wanted
from beamstream.config import Ingest

FILM = movie(47)


@contextmanager
def served(where: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """Serve an archive; yield the process and what it said."""
    environment = {**os.environ, "BEAMSTREAM_CONFIG": str(where / "beamstream.toml"), "NO_COLOR": "1"}
    command = [*COMMAND, "serve", "--port", "0", "--no-live", *arguments]
    with (
        (where / "serve.err").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, cwd=where) as process,
    ):
        try:
            assert process.stdout is not None
            line = read_line(process.stdout, 60)
            assert line, (where / "serve.err").read_text()
            yield process, json.loads(line) if b"{" in line else {"text": line.decode()}
        finally:
            process.kill()


@dataclass
class Service:
    """What the command started."""

    process: subprocess.Popen[bytes]
    layout: Layout
    api: str
    url: str
    """Of the ingest."""

    @property
    def key(self) -> str:
        """Of the ingest."""
        return read_key(self.layout.ingest_key)

    @property
    def pid(self) -> int:
        """Of the ingest."""
        return json.loads(self.layout.ingest_address.read_text())["pid"]

    def get(self, path: str, **parameters: Any) -> httpx.Response:
        headers = {"Authorization": f"Apikey {read_key(self.layout.key)}"}
        return httpx.get(f"{self.api}/api/v1{path}", headers=headers, params=parameters, timeout=30)

    def metadata(self, run: str) -> dict[str, Any]:
        answer = self.get(f"/metadata/{run}")
        return answer.json()["data"]["attributes"]["metadata"] if answer.status_code == 200 else {}

    def rows(self, run: str, key: str = "rheed_image") -> int:
        answer = self.get(f"/metadata/{run}/primary/{key}")
        return answer.json()["data"]["attributes"]["structure"]["shape"][0] if answer.status_code == 200 else 0

    def image(self, run: str, **parameters: Any) -> np.ndarray:
        answer = self.get(f"/array/full/{run}/primary/rheed_image", format="application/octet-stream", **parameters)
        return np.frombuffer(answer.raise_for_status().content, np.uint8).reshape(-1, *FILM.shape[1:])

    def times(self, run: str) -> np.ndarray:
        answer = self.get(f"/array/full/{run}/primary/rheed_timestamp", format="application/octet-stream")
        return np.frombuffer(answer.raise_for_status().content, "<f8")


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Service]:
    (tmp_path / "beamstream.toml").write_text('[archive]\ndirectory = "a"\n[ingest]\nenabled = true\nport = 0\n')
    with served(tmp_path, "--json") as (process, said):
        layout = Layout(Path(said["archive"]))
        assert Path(said["ingest"]["key_file"]) == layout.ingest_key
        yield Service(process, layout, said["url"], said["ingest"]["url"])


def test_uploads_are_served_while_they_come_when_their_process_dies_and_afterwards(
    archive: Service, real, by_hand, wait_for: Callable[..., None], tmp_path: Path
):
    client = real(archive)
    asked = {"fps": 5.0, "rotations_per_min": 0.0, "chunk_size": 10, "stream_name": "film", "tags": ["run:89ab"]}
    data_id = client.do("initialize", **asked)
    for number in range(5):
        client.push(data_id, number, FILM[number * 10 : number * 10 + 10], START + 2000 * number)
        if number in (0, 2):
            rows = number * 10 + 10
            wait_for(lambda rows=rows: archive.rows(data_id) == rows, timeout=30, what=f"{rows} rows in the archive")
            assert np.array_equal(archive.image(data_id), FILM[:rows])
            assert np.array_equal(archive.image(data_id, slice="7"), FILM[7:8])
            before = archive.pid
            os.kill(before, signal.SIGKILL)
            wait_for(lambda before=before: archive.pid != before, timeout=60, what="another ingest in its place")
    client.do("finalize", data_id=data_id)
    wait_for(lambda: "stop" in archive.metadata(data_id), timeout=30, what="the run to be filed")
    about = archive.metadata(data_id)
    assert (about["start"]["recorded_run"], about["start"]["stream_name"]) == ("89ab", "film")
    assert (about["ledger"]["rheed"]["received"], about["lost"]) == (47, 0)
    assert np.array_equal(archive.image(data_id), FILM)
    assert np.allclose(archive.times(data_id), START / 1000 + np.arange(47) / 5, rtol=0, atol=1e-6)
    service = by_hand(archive)
    assert service.end(data_id)["rows"] == 47
    assert service.send(data_id, 1, FILM[10:20]).status_code == 200
    journal = archive.layout.journal
    wait_for(
        lambda: not list(journal.glob("*.jsonl")), timeout=30, what="the journal to be filed; nothing is told twice"
    )

    gaps = service.begin()
    for number in (0, 2):
        service.send(gaps, number, FILM[number * 10 : number * 10 + 10])
    service.end(gaps)
    wait_for(lambda: "stop" in archive.metadata(gaps), timeout=30, what="the run with a gap to be filed")
    assert archive.metadata(gaps)["lost"] == 10
    image = archive.image(gaps)
    assert np.array_equal(image[:10], FILM[:10])
    assert not image[10:20].any()
    assert np.array_equal(np.isnan(archive.times(gaps)), np.arange(30) // 10 == 1)

    series = service.post("/tool-state/stream/initialize", stream_name="heater", points_per_chunk=3).json()["data_id"]
    one = {"timestamps": [1.0, 2.0, 3.0], "values": [600.0, None, 601.5], "units": "degC"}
    service.post("/tool-state/stream/chunk", data_id=series, chunk_index=0, channel_name="temperature", **one)
    service.http.post(f"/tool-state/stream/{series}/finalize").raise_for_status()
    wait_for(lambda: "stop" in archive.metadata(series), timeout=30, what="the time series to be filed")
    table = archive.get(f"/table/full/{series}/primary/internal", format="application/json-seq").text.splitlines()
    events = [json.loads(line.strip("\x1e")) for line in table if line.strip("\x1e")]
    assert [event["temperature"] for event in events] == [600.0, None, 601.5]

    pid = archive.pid
    archive.process.send_signal(signal.SIGINT)
    assert archive.process.wait(30) == 0
    assert not psutil.pid_exists(pid)
    assert not archive.layout.ingest_address.exists()
    log = (tmp_path / "serve.err").read_text()
    assert "Traceback" not in log
    assert archive.key not in log + (archive.layout.ingest / "ingest.log").read_text()


def test_the_ingest_ends_with_the_process_that_started_it(tmp_path):
    command = [sys.executable, "-m", "beamstream.ingest", str(tmp_path / "a")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url = json.loads(read_line(process.stdout, 60))["url"]
            assert httpx.get(f"{url}/gateway/time").status_code == 200
            process.stdin.close()  # what the system does for a parent that was killed
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_nobody_takes_uploads_unless_asked(tmp_path):
    enabled = Ingest(enabled=True)
    assert wanted(Ingest(), tmp_path, None, None) is None
    assert wanted(enabled, tmp_path, False, 0) is None
    for asked in (wanted(enabled, tmp_path, None, None), wanted(Ingest(), tmp_path, True, None)):
        assert asked is not None
        assert asked.key_file == tmp_path / "ingest_key"
        asked._process.close()
