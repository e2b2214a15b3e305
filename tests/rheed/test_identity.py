"""The key of an upload goes to the ingest that was started, and over no network that can be read."""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # for impostor
from impostor import impostor, redirecting

from beamstream.config import load
from beamstream.errors import ConfigurationError
from beamstream.ingest.process import IngestProcess
from beamstream.rheed.destination import destination_for
from beamstream.rheed.job import Job, JobDirectory
from beamstream.rheed.options import UploadOptions
from beamstream.rheed.service import Asked, Service
from beamstream.rheed.stream import RheedStream

TAGS = Asked("the tags", "GET", "/tags/")


async def until(condition, what: str) -> None:
    try:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"not within 30 s: {what}")


def test_a_worker_waits_for_its_ingest_and_sends_its_key_to_nobody_else(tmp_path):
    archive = tmp_path / "archive"
    with IngestProcess(archive) as ingest:
        to = destination_for(UploadOptions(), archive)
        key, url, pid = ingest.key, ingest.url, ingest.ready["pid"]
        assert (to.endpoint, to.key_file) == (url, str(archive / "ingest_key"))

        async def ask() -> bytes:
            async with Service(to.endpoint, to.key_file, to.address_file) as service:
                assert (await service.ask(TAGS)).is_success
                os.kill(pid, signal.SIGKILL)
                await until(lambda: not ingest.running, "the ingest to be gone")
                with impostor(int(url.rpartition(":")[2])) as other:
                    asking = asyncio.create_task(service.ask(TAGS))
                    await until(lambda: service.trouble is not None, "trouble")
                    await until(lambda: b"prove" in other.received, "the question who listens")
                    assert service.trouble is not None
                    assert service.trouble.phase == "offline"
                    assert "cannot prove to be the server that was started there" in service.trouble.words
                    assert not asking.done()
                    received = other.close()
                await asyncio.to_thread(ingest.restart)
                assert (await asyncio.wait_for(asking, 30)).is_success
                return received

        received = asyncio.run(ask())
    assert key.encode() not in received


def test_a_service_that_sends_an_upload_elsewhere_is_not_followed(tmp_path):
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_text("k" * 32)

    async def ask(url: str) -> None:
        async with Service(url, str(key)) as service:
            asking = asyncio.create_task(service.ask(TAGS))
            await until(lambda: service.refusals, "the redirect to be a refusal")
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    with impostor() as other, redirecting(f"http://127.0.0.1:{other.port}") as url:
        asyncio.run(ask(url))
        assert other.close() == b""


def test_an_upload_that_an_earlier_version_wrote_down_for_the_own_ingest_has_it_prove_itself_too(tmp_path):
    job = Job(
        "rheed", "0123456789", "rheed", "x.h5", "http://127.0.0.1:9", "a film", key_file=str(tmp_path / "ingest_key")
    )
    own = JobDirectory.create(tmp_path / "uploads" / "own", job)
    assert own.ingest_address == str(tmp_path / "ingest" / "server.json")
    other = JobDirectory.create(tmp_path / "uploads" / "other", replace(job, key_file="/somewhere/key"))
    assert other.ingest_address is None


def test_a_new_upload_to_the_own_ingest_says_where_that_is_to_be_asked(tmp_path):
    to = destination_for(UploadOptions(), tmp_path, "http://127.0.0.1:8711")
    assert to.address_file == str(tmp_path / "ingest" / "server.json")
    assert destination_for(UploadOptions(endpoint="https://there"), tmp_path).address_file is None


@pytest.mark.parametrize("host", ["there", "10.0.0.1", "127.0.0.1.evil.example", "[fe80::1]", "localhost.evil.example"])
def test_keys_and_frames_go_over_http_beyond_this_machine_only_when_that_was_asked_for(host, tmp_path):
    url = f"http://{host}:8711"
    with pytest.raises(ValueError, match="could read the key and the frames; write https://, or insecure_http = true"):
        UploadOptions(endpoint=url)
    with pytest.raises(ValueError, match="insecure_http"):
        RheedStream(fps=10.0, directory=tmp_path, endpoint=url)
    assert UploadOptions(endpoint=url, insecure_http=True).endpoint == url
    assert UploadOptions(endpoint=f"https://{host}:8711").endpoint == f"https://{host}:8711"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.1.2.3"])
def test_this_machine_needs_no_encryption(host):
    assert UploadOptions(endpoint=f"http://{host}:8711").endpoint == f"http://{host}:8711"


@pytest.mark.parametrize("section", ["rheed_uploader", "readings_uploader"])
def test_a_configuration_that_would_send_a_key_in_clear_is_refused_with_its_line(tmp_path, section):
    file = tmp_path / "beamstream.toml"
    more = 'data_keys = ["t"]\n' if section == "readings_uploader" else ""
    file.write_text(f'[callbacks.{section}]\n{more}endpoint = "http://there:8711"\n')
    with pytest.raises(ConfigurationError, match="everybody between here and there could read the key"):
        load(file)
    file.write_text(f"{file.read_text()}insecure_http = true\n")
    assert getattr(load(file).callbacks, section).insecure_http
