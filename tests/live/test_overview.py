"""The overview and the run panel in a real Chromium, of a real hub: pixels, words, colours and links."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from event_model import compose_run
from hub_rig import Camera
from live_ring import Writer
from test_overview_state import write_run

from beamstream.archive.process import running_server
from beamstream.callbacks.journal import Journal
from beamstream.frames import ColorMode
from beamstream.live.hub_settings import HubSettings
from beamstream.live.page import LivePage
from beamstream.rheed.job import Job, JobDirectory
from beamstream.watching.presence import PresenceFile

_numbers = count()
CAMERAS = [f"over{os.getpid()}-{i}" for i in range(3)]
SPECTRA = f"overspec{os.getpid()}"
PIXEL = """([name, x, y]) => {
    const canvas = [...document.querySelectorAll(".card")].find((c) => c.querySelector("a").text === name)
        ?.querySelector("canvas");
    if (!canvas?.dataset.drawn) return null;
    const at = [Math.round(x * canvas.width), Math.round(y * canvas.height)];
    return [...canvas.getContext("2d").getImageData(...at, 1, 1).data];
}"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("archive")


@pytest.fixture(scope="module")
def hub(archive) -> Iterator[LivePage]:
    streams: list[dict[str, Any]] = [{"name": name, "about": {}} for name in CAMERAS]
    streams.append({"name": SPECTRA, "about": {"kind": "zmq_spectrometer"}})
    with LivePage(HubSettings(streams=streams, port=0, archive=str(archive))) as page:
        yield page


@pytest.fixture(scope="module")
def tab(browser, hub) -> Iterator[Any]:
    """One tab for all tests."""
    tab = browser.new_page(viewport={"width": 1300, "height": 900}, color_scheme="dark")
    errors: list[str] = []
    tab.on("pageerror", lambda error: None if "/ui/" in tab.url else errors.append(str(error)))
    yield tab
    assert errors == []


@pytest.fixture
def overview(tab, hub) -> Iterator[Any]:
    tab.goto(hub.url)
    yield tab
    tab.goto("about:blank")


@pytest.fixture
def camera() -> Iterator[Camera]:
    camera = Camera(CAMERAS[next(_numbers) % len(CAMERAS)], (60, 90))
    yield camera
    camera.close()


def card(tab: Any, name: str) -> Any:
    """Return the card of a stream."""
    return tab.locator(".card", has=tab.get_by_role("link", name=name, exact=True))


def until_text(wait_for: Callable[..., None], locator: Any, expected: str, timeout: float = 15.0) -> None:
    """Wait until an element has this in its text."""
    wait_for(lambda: expected in locator.inner_text(), timeout=timeout, what=f"{expected!r} in the page")


def test_small_pictures_show_what_cameras_and_spectrometers_have(overview, camera, wait_for):
    image = np.full((60, 90), 100)
    image[:, 45:] = 3000
    writer = Writer(SPECTRA)
    values = np.full(16, 1.0)
    values[4:8] = 1000.0
    pixel = lambda name, x, y: overview.evaluate(PIXEL, [name, x, y])  # noqa: E731

    def looks(name: str, x: float, right: Callable[[list[int]], bool]) -> bool:
        camera.put(image.astype("<u2"))
        writer.put(values)
        found = pixel(name, x, 0.02 if name == SPECTRA else 0.5)
        return found is not None and right(found)

    try:
        wait_for(lambda: looks(camera.name, 0.25, lambda p: p == [0, 0, 0, 255]), what="the dark half")
        wait_for(lambda: looks(camera.name, 0.75, lambda p: p == [255, 255, 255, 255]), what="the bright half")
        wait_for(lambda: looks(SPECTRA, 5.5 / 16, lambda p: p[0] > 90 > p[2]), what="the strong channels: red")
        assert looks(SPECTRA, 12 / 16, lambda p: p[2] > p[1]), "the weak ones: blue"
        until_text(wait_for, card(overview, SPECTRA).locator(".pill"), "live")
    finally:
        writer.close()


def test_small_pictures_of_colours_are_as_bright_as_the_field_whatever_single_pixels_are(overview, camera, wait_for):
    image = np.zeros((60, 90, 3))
    image[:, :45], image[:, 45:] = (1000, 500, 0), (0, 500, 1000)
    image[3, 4], image[7, 8] = 1e9, np.nan
    camera.color_mode = ColorMode.RGB1

    def looks() -> bool:
        camera.put(image.astype("<f4"))
        found = [overview.evaluate(PIXEL, [camera.name, x, 0.5]) for x in (0.25, 0.75)]
        expected = [[255, 128, 0, 255], [0, 128, 255, 255]]
        return None not in found and bool(np.abs(np.subtract(found, expected)).max() <= 2)

    wait_for(looks, timeout=15, what="the colours of both halves")


def test_a_stream_is_green_amber_when_it_stops_and_red_when_it_loses_frames(overview, camera, wait_for):
    pill = card(overview, camera.name).locator(".pill")
    tone = lambda: pill.get_attribute("data-tone")  # noqa: E731

    def goes_on(expected: str) -> bool:
        camera.put()
        return tone() == expected

    wait_for(lambda: goes_on("good"), timeout=15, what="green")
    assert pill.inner_text() == "live"
    wait_for(lambda: tone() == "care", timeout=15, what="amber")
    assert "acquiring" in pill.inner_text() or "no frame" in pill.inner_text()
    assert overview.locator("#state").get_attribute("data-state") == "waiting"
    wait_for(lambda: goes_on("good"), timeout=15, what="green again")
    camera.number += 7
    wait_for(lambda: goes_on("bad"), timeout=15, what="red")
    assert "7" in pill.inner_text()
    assert "lost" in pill.inner_text()
    assert card(overview, camera.name).locator("dd").last.inner_text() == "7"


JUDGE = """async () => {
    const { delay, disk, Health, ring } = await import("/static/health.js");
    const room = (free, left = null) => disk({ free, total: 1e12, left });
    const waits = (n) => ring({ received: 1000 + n, recorded: 990, lost: 10 }, 100);
    const live = (rate, lost = 0) => ({ state: "live", words: "live", rate, lost, delay: 0.1 });
    const slower = new Health(), lossy = new Health();
    for (let second = 0; second < 40; second++) slower.take(live(second < 36 ? 10 : 2), {}, 1000 * second);
    const losses = [0, 0, 4, 4, 4, 4].map((lost, i) => lossy.take(live(10, lost), {}, 4000 * i * i));
    return [
        room(5e8), room(8e9), room(5e11), room(5e11, 200), room(5e11, 1500), disk({ words: "gone" }), disk(undefined),
        waits(0), waits(60), waits(90), delay(0.2), delay(3), delay(20), delay(-5), delay(9e8),
        slower.take(live(2), {}, 40_000), ...losses,
        new Health().take(live(10), { room: { free: 5e8, total: 1e12, left: null } }),
    ].map(({ tone, words }) => [tone, words]);
}"""


def test_health_is_judged_by_rate_losses_delay_ring_and_disk(overview):
    lost = "4 lost in the last minute"
    assert overview.evaluate(JUDGE) == [
        ["bad", "500 MB free"],
        ["care", "8.00 GB free"],
        ["good", "500 GB free"],
        ["bad", "500 GB free, full in 3 min"],
        ["care", "500 GB free, full in 25 min"],
        ["bad", "gone"],
        ["idle", "disk not known"],
        ["good", "0 % of the ring waits for the disk"],
        ["care", "60 % of the ring waits for the disk"],
        ["bad", "90 % of the ring waits for the disk"],
        ["good", ""],
        ["care", "3.0 s late"],
        ["bad", "20 s late"],
        ["care", "the detector's clock is 5.0 s ahead"],
        ["care", "the detector's clock is wrong"],
        ["care", "slower: 2.00 / s, was 10.0 / s"],
        ["good", "live"],  # at 0 s
        ["good", "live"],  # at 4 s
        ["bad", lost],  # at 16 s, now
        ["care", lost],  # at 36 s
        ["care", lost],  # at 64 s
        ["good", "live"],  # at 100 s
        ["bad", "500 MB free"],
    ]


def run_document(**more: Any) -> dict[str, Any]:
    detectors = {"cam": {"received": 41, "recorded": 40, "lost": 0, "rate": 10.0, "file": "/data/a.h5"}}
    return {
        "uid": "abcdef01-2345",
        "scan_id": 42,
        "plan": "record",
        "title": "Kapton",
        "started": time.time() - 61,
        "done": 40,
        "total": 100,
        "unit": "frames",
        "seconds": None,
        "detectors": detectors,
        "callbacks": [{"name": "flat_field", "words": "40 corrected", "ok": True}],
        **more,
    }


def test_the_run_panel_tells_of_the_run_and_afterwards_what_became_of_it(overview, archive, wait_for):
    panel = overview.locator("#run")
    until_text(wait_for, panel, "No run in progress, no session open")
    presence = PresenceFile(archive)
    presence.write("running", run_document())
    until_text(wait_for, panel, "40 of 100 frames · 6.0 s left")
    bar = panel.locator("progress")
    assert (bar.get_attribute("value"), bar.get_attribute("max")) == ("40", "100")
    words = panel.locator(".run-now").inner_text()
    assert all(part in words for part in ("record", "scan 42", "Kapton", "running", "none lost", "40 corrected", "1:0"))
    assert panel.locator(".run-now tbody tr").inner_text().split() == ["cam", "41", "40", "0", "10.0", "/", "s"]
    lossy = {"cam": {"received": 41, "recorded": 38, "lost": 3, "rate": 10.0, "file": ""}}
    failed = [{"name": "flat_field", "words": "no flat fits", "ok": False}]
    presence.write("paused", run_document(total=None, detectors=lossy, callbacks=failed))
    until_text(wait_for, panel, "3 lost")
    assert panel.locator(".run-now .run-lost").get_attribute("data-tone") == "bad"
    assert panel.locator(".run-callbacks [data-tone=bad]").first.inner_text() == "flat_field"
    assert panel.locator(".run-top .pill").inner_text() == "paused"
    presence.write("idle", None)
    until_text(wait_for, panel, "No run in progress, a session is open")
    presence.remove()
    journal = Journal(archive / "journal")
    write_run(journal, 42, ledger={"received": 41, "recorded": 38, "lost": 3}, stop="fail")
    row = panel.locator(".run-last tbody tr")
    until_text(wait_for, panel.locator(".run-last"), "failed, not filed yet")
    assert [row.locator(f".run-{name}").first.inner_text() for name in ("scan", "frames", "lost", "took")] == [
        "42",
        "38",
        "3",
        "13 s",
    ]
    assert row.locator("td.run-lost").get_attribute("data-tone") == "bad"
    until_text(wait_for, panel, "nobody serves it")
    assert row.locator("a").get_attribute("href") is None
    (archive / "journal" / "run-0042.jsonl").unlink()


@contextmanager
def journalled_run(archive: Path) -> Iterator[str]:
    """Put one run into an archive's journal; its uid."""
    journal = Journal(archive / "journal")
    run = compose_run(metadata={"plan_name": "count", "scan_id": 5})
    journal("start", run.start_doc)
    key: Any = {"dtype": "number", "shape": [], "source": "here"}
    described = run.compose_descriptor(name="ledger", data_keys={"cam_ledger_lost": key})
    journal("descriptor", described.descriptor_doc)
    event = described.compose_event(data={"cam_ledger_lost": 0}, timestamps={"cam_ledger_lost": time.time()})
    journal("event", event)
    journal("stop", run.compose_stop())
    yield run.start_doc["uid"]
    journal.close()


def test_a_run_links_to_where_the_archive_shows_it_and_uploads_are_told(overview, archive, wait_for):
    job = Job("rheed", "run-0001", "rheed", str(archive / "none.h5"), "http://127.0.0.1:9", "growth of A7")
    JobDirectory.create(archive / "uploads" / "run-0001-rheed", job)
    with journalled_run(archive) as uid, running_server(archive, anonymous=True) as server:
        link = overview.locator(f".run-last a[href$='/ui/browse/{uid}']")
        wait_for(lambda: link.count() == 1, timeout=20, what="a link")
        until_text(wait_for, overview.locator("#run"), "Uploads: 1 under way")
        uploads = overview.locator("#run a", has_text="Uploads")
        assert uploads.get_attribute("href") == f"{server.url}/uploads"
        wait_for(lambda: (archive / "journal" / "filed" / f"{uid}.jsonl").exists(), timeout=20)
        overview.goto(link.get_attribute("href"))
        until_text(wait_for, overview.locator("body"), "ledger")  # a stream of the run


def test_a_card_or_its_digit_opens_the_stream_and_the_panel_is_there_in_one_line(overview, hub, archive, wait_for):
    wait_for(lambda: overview.locator(".card").count() == 4)
    card(overview, CAMERAS[0]).click()
    assert overview.url == f"{hub.url}streams/{CAMERAS[0]}/"
    overview.goto(hub.url)
    wait_for(lambda: overview.locator(".card").count() == 4)
    overview.keyboard.press("4")
    overview.wait_for_url(f"{hub.url}streams/{SPECTRA}/")
    presence = PresenceFile(archive)
    presence.write("running", run_document())
    until_text(wait_for, overview.locator("#run summary"), "40 of 100 frames")
    assert not overview.locator("#run table").first.is_visible()
    overview.locator("#run summary").click()
    assert overview.locator("#run table").first.is_visible()
    overview.keyboard.press("Escape")
    assert not overview.locator("#run table").first.is_visible()
    presence.remove()
    overview.get_by_role("link", name="Overview").click()
    overview.wait_for_url(hub.url)


def test_settings_of_the_waterfall_are_those_of_its_stream(overview, hub, wait_for):
    overview.goto(f"{hub.url}streams/{SPECTRA}/")
    overview.get_by_text("Viridis").click()
    keys = overview.evaluate("Object.keys(localStorage)")
    assert f"beamstream.live.{SPECTRA}" in keys
    assert json.loads(overview.evaluate(f"localStorage['beamstream.live.{SPECTRA}']"))["palette"] == "viridis"


def test_a_phone_needs_no_scrolling_sideways_and_nothing_comes_from_elsewhere(browser, hub, archive, wait_for):
    phone = browser.new_page(viewport={"width": 360, "height": 740}, is_mobile=True, color_scheme="light")
    presence = PresenceFile(archive)
    presence.write("running", run_document(title="A title that is rather long for a phone, as they are", total=10**9))
    phone.goto(hub.url)
    until_text(wait_for, phone.locator("#run"), "A title")
    wait_for(lambda: phone.locator(".card").count() == 4)
    assert phone.evaluate("document.documentElement.scrollWidth") == 360
    hosts = phone.evaluate("performance.getEntriesByType('resource').map((e) => new URL(e.name).host)")
    assert set(hosts) == {f"127.0.0.1:{hub.port}"}
    presence.remove()
    phone.close()


def test_the_page_says_when_the_server_is_gone_and_goes_on_when_it_is_back(tab, tmp_path, wait_for):
    settings = {"streams": [{"name": CAMERAS[0], "about": {}}], "archive": str(tmp_path)}
    with LivePage(HubSettings(port=0, **settings)) as page:
        tab.goto(page.url)
        wait_for(lambda: tab.locator(".card").count() == 1)
        port = page.port
    until_text(wait_for, tab.locator("#state"), "server not reachable")
    assert tab.locator("#state").get_attribute("data-state") == "lost"
    with LivePage(HubSettings(port=port, **settings)):
        wait_for(lambda: "reachable" not in tab.locator("#state").inner_text(), timeout=20)
    tab.goto("about:blank")
