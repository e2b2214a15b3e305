"""The page of uploads in a real Chromium: what a person reads, and who may."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import h5py
import httpx
import numpy as np
import pytest

from beamstream.archive.layout import read_key
from beamstream.archive.server import ArchiveServer
from beamstream.rheed.job import Job, JobDirectory, State

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SERVICE = "http://127.0.0.1:8711"
STATES = {
    "waiting": State(),
    "uploading": State("uploading", fps=10.0, frames=400, uploaded=100),
    "offline": State("offline", fps=10.0, frames=200, uploaded=50, error=f"{SERVICE} does not answer"),
    "refused": State("refused", frames=80, error="401 unknown key", refusals=3),
    "failed": State("failed", frames=90, uploaded=30, error="the recorded file is gone"),
    "done": State("done", fps=10.0, frames=120, uploaded=120),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[ArchiveServer]:
    """An archive that wants its key, without uploads at first."""
    with ArchiveServer(tmp_path_factory.mktemp("archive"), feed=False) as server:
        yield server


@pytest.fixture
def put(server, tmp_path) -> Iterator[Callable[..., JobDirectory]]:
    """Write uploads, as a session and a worker do; they go with the test."""
    made: list[JobDirectory] = []

    def put(name: str, state: State, *, total: int | None = None, of: Any = server, **more: Any) -> JobDirectory:
        file = tmp_path / f"{name}.h5"
        with h5py.File(file, "w") as recorded:
            recorded.create_dataset("entry/data/data", data=np.zeros((10, 50, 40), np.uint8))
        job = Job("rheed", f"{name}-0123456789", name, str(file), SERVICE, f"growth of {name}", **more)
        made.append(JobDirectory.create(of.layout.directory / "uploads" / f"{len(made)}-{name}", job))
        made[-1].save(replace(state, since=time.time()))
        if total is not None:
            made[-1].end(total)
        return made[-1]

    yield put
    for job in made:
        for path in job.path.iterdir():
            path.unlink()
        job.path.rmdir()


@pytest.fixture(scope="module")
def window(browser, server) -> "Page":
    """One tab for all tests, at the page already: each new one costs processes."""
    window = browser.new_page(viewport={"width": 1100, "height": 700}, color_scheme="dark")
    window.goto(f"{server.url}/uploads")
    return window


@pytest.fixture
def tab(window) -> "Iterator[Page]":
    """A tab that knows no key and shows nothing; what its scripts throw fails the test."""
    thrown: list[str] = []
    window.goto("about:blank")

    def note(error: Exception) -> None:
        thrown.append(str(error))

    window.on("pageerror", note)
    yield window
    window.evaluate("location.href === 'about:blank' || sessionStorage.clear()")
    window.goto("about:blank")
    window.remove_listener("pageerror", note)
    assert thrown == []


def row_of(tab: "Page", name: str) -> "Locator":
    return tab.locator("#uploads li", has_text=f"growth of {name}")


def row(tab: "Page", name: str) -> dict[str, str]:
    """Return what stands in the row of a detector, by the names of its parts; empty if there is none."""
    return tab.evaluate(
        """(name) => {
            const rows = [...document.querySelectorAll("#uploads li")];
            const found = rows.find((r) => r.querySelector("[data-part=detector]").textContent === name);
            const parts = [...(found?.querySelectorAll("[data-part]") ?? [])];
            return Object.fromEntries(parts.map((p) => [p.dataset.part, p.textContent]));
        }""",
        name,
    )


def names(tab: "Page") -> list[str]:
    return tab.locator("#uploads [data-part=detector]").all_inner_texts()


def bar(tab: "Page", name: str) -> float:
    """Return how much of the bar of a detector is filled, 0 to 1."""
    return row_of(tab, name).locator("progress").evaluate("(bar) => bar.position")


def words(tab: "Page") -> str:
    return tab.locator("#state").inner_text().replace("\N{NO-BREAK SPACE}", " ")


def with_key(server: ArchiveServer) -> dict[str, str]:
    return {"Authorization": f"Apikey {read_key(server.layout.key)}"}


def test_the_status_is_for_those_who_know_the_key(server, put):
    put("film", STATES["done"], total=120)
    url, key = f"{server.url}/uploads/status", read_key(server.layout.key)
    missing = httpx.get(url)
    assert (missing.status_code, missing.json()["detail"].split(";")[0]) == (401, "the archive wants its key")
    for wrong in (key[:-1], f"{key}0", "é"):
        refused = httpx.get(url, params={"api_key": wrong})
        assert (refused.status_code, "not the key" in refused.json()["detail"]) == (401, True), wrong
    assert httpx.get(url, headers={"Authorization": f"Apikey {key[::-1]}"}).status_code == 401
    assert httpx.get(url, headers={"Authorization": f"Bearer {key}"}).status_code == 401
    assert httpx.get(url, headers={"Cookie": f"tiled_api_key={key}"}).status_code == 401, "no cookie holds the key"
    for answer in (httpx.get(url, headers=with_key(server)), httpx.get(url, params={"api_key": key})):
        assert answer.headers["cache-control"] == "no-store"
        assert [(u["detector"], u["phase"], u["uploaded"]) for u in answer.json()["uploads"]] == [("film", "done", 120)]


def test_a_key_in_the_address_is_replaced_by_a_cookie_and_a_wrong_one_gets_none(server):
    key = read_key(server.layout.key)
    answer = httpx.get(f"{server.url}/uploads", params={"api_key": key})
    assert (answer.status_code, answer.headers["location"]) == (303, "uploads")
    assert httpx.get(f"{server.url}/uploads/status", cookies=answer.cookies).status_code == 200
    wrong = httpx.get(f"{server.url}/uploads", params={"api_key": "wrong"})
    assert wrong.status_code == 200
    assert "tiled_api_key" not in wrong.cookies


def test_no_other_file_is_served(server):
    for path in ("nothing.js", "..%2fapp.py", "%2e%2e/uploads_page.py", "index.html"):
        assert httpx.get(f"{server.url}/uploads/static/{path}", headers=with_key(server)).status_code == 404, path


def test_the_page_runs_no_script_but_its_own(server):
    page = httpx.get(f"{server.url}/uploads")
    assert "default-src 'none'; script-src 'self'" in page.headers["content-security-policy"]
    script = httpx.get(f"{server.url}/uploads/static/uploads.js")
    assert script.headers["content-type"].startswith("text/javascript")
    known = {"If-None-Match": script.headers["etag"]}
    assert httpx.get(f"{server.url}/uploads/static/uploads.js", headers=known).status_code == 304


def test_every_upload_is_shown_with_what_is_in_the_way(server, put, tab, wait_for):
    for name, state in STATES.items():
        put(name, state, total=None if name == "uploading" else max(state.frames, 1))
    with tab.expect_request("**/uploads/status") as asked:
        tab.goto(f"{server.url}/uploads#key={read_key(server.layout.key)}")
    assert "key" not in asked.value.url
    wait_for(lambda: len(names(tab)) == len(STATES), what="all uploads")
    assert names(tab) == list(STATES)[::-1]
    assert words(tab) == "1 uploading, 1 waiting, 1 offline, 1 refused, 1 failed, 1 done"
    shown = row(tab, "uploading")
    assert shown["name"] == "growth of uploading"
    assert (shown["run"], shown["service"]) == ("uploadin", "127.0.0.1:8711")
    assert (shown["uploaded"], shown["backlog"], shown["percent"]) == (
        "100 of 400 frames so far",
        "300 frames, 30 s",
        "25 %",
    )
    assert shown["rate"].endswith("MB/s")
    assert bar(tab, "uploading") == pytest.approx(0.25)
    assert row(tab, "offline")["words"].endswith(f"goes on by itself: {SERVICE} does not answer")
    assert row(tab, "refused")["words"].endswith("the service refuses; tried again until it does not: 401 unknown key")
    assert row(tab, "failed")["words"] == "the recorded file is gone"
    done = row(tab, "done")
    assert (done["phase"], done["words"], done["backlog"], done["percent"]) == ("done", "", "none", "100 %")
    assert bar(tab, "done") == 1.0
    tones = {name: row_of(tab, name).get_attribute("data-tone") for name in ("done", "offline", "refused", "failed")}
    assert tones == {"done": "good", "offline": "care", "refused": "bad", "failed": "bad"}
    assert tab.locator("#uploaded").inner_text() == "300 frames"
    assert tab.locator("#behind").inner_text() == "30 s"
    assert "key=" not in tab.url


def test_a_change_is_shown_within_seconds_in_the_same_element(server, put, tab, wait_for):
    job = put("growing", STATES["uploading"])
    tab.goto(f"{server.url}/uploads#key={read_key(server.layout.key)}")
    wait_for(lambda: names(tab) == ["growing"])
    tab.evaluate("document.querySelector('#uploads li').mark = 'the same'")
    job.save(State("uploading", fps=10.0, frames=500, uploaded=450))
    wait_for(lambda: row(tab, "growing")["uploaded"] == "450 of 500 frames so far", timeout=3)
    assert bar(tab, "growing") == pytest.approx(0.9)
    put("newer", STATES["waiting"])
    wait_for(lambda: names(tab) == ["newer", "growing"], timeout=3)
    job.end(500)
    job.save(State("done", fps=10.0, frames=500, uploaded=500))
    wait_for(lambda: row(tab, "growing")["phase"] == "done", timeout=3)
    assert words(tab) == "1 waiting, 1 done"
    assert tab.evaluate("document.querySelectorAll('#uploads li')[1].mark") == "the same"


def test_an_upload_without_a_worker_is_not_shown_as_at_work(server, put, tab, wait_for):
    job = put("alone", STATES["uploading"])
    long_ago = time.time() - 60
    os.utime(job.path / "job.json", (long_ago, long_ago))
    tab.goto(f"{server.url}/uploads#key={read_key(server.layout.key)}")
    wait_for(lambda: row(tab, "alone").get("phase") == "at rest", what="the upload at rest")
    assert words(tab) == "1 at rest"
    assert row(tab, "alone")["words"].startswith("no worker is at it (beamstream uploads --resume)")


def test_the_key_is_asked_for_by_keyboard_and_kept_for_the_tab_the_browser_gets_a_session(server, put, tab, wait_for):
    put("film", STATES["done"], total=120)
    tab.goto(f"{server.url}/uploads")
    tab.locator("#key").wait_for()
    assert words(tab) == "the key is needed"
    assert tab.evaluate("document.activeElement.id") == "key"
    tab.keyboard.type("wrong")
    tab.keyboard.press("Enter")
    wait_for(lambda: "this is not the key" in tab.locator("#ask-words").inner_text(), what="the refusal")
    assert names(tab) == []
    tab.keyboard.type(read_key(server.layout.key))
    tab.keyboard.press("Enter")
    wait_for(lambda: names(tab) == ["film"], what="the uploads")
    assert tab.locator("#ask").is_hidden()
    tab.reload()
    wait_for(lambda: names(tab) == ["film"], what="the uploads, after a reload")
    assert tab.evaluate("localStorage.length") == 0
    assert read_key(server.layout.key) not in str(tab.context.cookies())
    link = f"{server.url}/api/v1/search/"
    wait_for(lambda: tab.context.request.get(link).status == 200, what="links into the archive to work")
    tab.context.clear_cookies()


def test_a_server_that_has_ended_is_reported_and_found_again(tmp_path, put, tab, wait_for):
    with ArchiveServer(tmp_path / "other", anonymous=True, feed=False) as other:
        port = int(other.url.rsplit(":", 1)[1])
        tab.goto(f"{other.url}/uploads")
        wait_for(lambda: words(tab) == "no uploads", what="an archive that is read without a key")
        assert "No upload in this archive yet" in tab.locator("#empty").inner_text()
        job = put("film", STATES["uploading"], of=other)
        wait_for(lambda: names(tab) == ["film"], timeout=3)
    wait_for(lambda: words(tab).startswith("server not reachable, trying again; shown is what was at"))
    assert names(tab) == ["film"], "what was known stays"
    job.save(State("uploading", fps=10.0, frames=400, uploaded=300))
    with ArchiveServer(tmp_path / "other", anonymous=True, feed=False, port=port):
        wait_for(lambda: words(tab) == "1 uploading", what="the page to recover")
        assert bar(tab, "film") == pytest.approx(0.75)
        tab.goto("about:blank")  # nothing asks any more: the server ends at once
