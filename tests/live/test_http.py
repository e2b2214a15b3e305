"""What the live server answers over HTTP: the forerunner's three addresses, and the page."""

import json
import math

import numpy as np
from live_ring import Writer, get, get_json


def shown(server, number):
    """Return a condition: the server has so many spectra."""
    return lambda: get_json(server, "/status")["spectra"] >= number


def test_before_there_is_a_ring_everything_is_answered_and_empty(server):
    page = server(title="Band 3")
    assert get_json(page, "/data") == []
    assert get_json(page, "/refresh?n_frames=5") == {
        "data": [],
        "buffer_length": 0,
        "buffer_index": 0,
        "timestamp": None,
        "spectra": 0,
    }
    status = get_json(page, "/status")
    assert (status["connected"], status["buffer_fill"], status["rate"], status["delay"]) == (False, 0, 0, None)


def test_data_is_the_newest_spectrum_and_refresh_the_last_ones_oldest_first(server, writer, wait_for):
    page = server()
    for _ in range(200):
        writer.put()
    wait_for(shown(page, 200))
    assert get_json(page, "/data") == writer.values[-1][0].tolist()
    for number in (1, 63, 64, 65, 130, 200, 5000):
        answer = get_json(page, f"/refresh?n_frames={number}")
        assert answer["data"] == [values[0].tolist() for values in writer.values[-number:]]
        assert answer["timestamp"] == writer.times[-1]
        assert (answer["buffer_length"], answer["buffer_index"], answer["spectra"]) == (1200, 200, 200)
    assert len(get_json(page, "/refresh")["data"]) == 200


def test_a_buffer_that_wraps_is_no_empty_buffer(server, writer, wait_for):
    page = server(rows=100)
    for total in (100, 130, 200, 300):
        while len(writer.values) < total:
            writer.put()
        wait_for(shown(page, total))
        answer = get_json(page, "/refresh?n_frames=1000")
        assert answer["data"] == [values[0].tolist() for values in writer.values[-100:]]
        assert answer["buffer_index"] == total % 100
        assert get_json(page, "/status")["buffer_fill"] == 100


def test_numbers_are_as_short_as_float32_allows_and_nan_is_null(server, writer, wait_for):
    page = server()
    values = np.full(16, 0.1, "<f4")
    values[[1, 2, 3]] = np.nan, np.inf, -np.inf
    values[4] = np.finfo(np.float32).max
    writer.put(values)
    wait_for(shown(page, 1))
    _, _, body = get(page, "/data")
    assert body.startswith(b"[0.1,null,null,null,")
    assert np.float32(json.loads(body)[4]) == np.finfo(np.float32).max
    assert get_json(page, "/refresh?n_frames=1")["data"][0][:4] == [0.1, None, None, None]


def test_another_beam_can_be_asked_for(server, name, wait_for):
    page = server()
    writer = Writer(name, n_beams=3)
    for _ in range(3):
        writer.put()
    wait_for(shown(page, 3))
    assert get_json(page, "/data?beam=2") == writer.values[-1][2].tolist()
    assert get_json(page, "/refresh?n_frames=2&beam=1")["data"] == [v[1].tolist() for v in writer.values[-2:]]
    status, _, body = get(page, "/data?beam=3")
    assert (status, "have 3" in json.loads(body)["error"]) == (422, True)
    writer.close()


def test_a_wrong_number_of_frames_is_named_as_json(idle):
    for bad in ("abc", "0", "-3", "1.5", "1e3", "9" * 400, "%C2%B2", "%00", "NaN"):
        status, headers, body = get(idle, f"/refresh?n_frames={bad}&x=1")
        assert (status, headers["content-type"]) == (422, "application/json"), bad
        assert json.loads(body)["error"].startswith("n_frames: ")
        assert len(body) < 200
    assert get_json(idle, "/refresh?n_frames=")["data"] == [], "an empty parameter is none"


def test_what_is_not_there_and_what_is_not_allowed_is_said_as_json(idle):
    for method, path, expected in (
        ("GET", "/nothing", 404),
        ("GET", "/static/../settings.py", 404),
        ("GET", "/static/%2e%2e/settings.py", 404),
        ("POST", "/data", 405),
        ("DELETE", "/", 405),
    ):
        status, _, body = get(idle, path, method)
        assert (status, bool(json.loads(body)["error"])) == (expected, True), path
    status, headers, body = get(idle, "/data", "HEAD")
    assert (status, body, headers["content-length"]) == (200, b"", "2")


def test_pages_of_others_may_read_what_needs_no_key(idle):
    for path in ("/data", "/refresh", "/status"):
        assert get(idle, path)[1]["access-control-allow-origin"] == "*"
    status, headers, _ = get(idle, "/data", "OPTIONS")
    assert (status, headers["access-control-allow-methods"]) == (204, "GET, HEAD, OPTIONS")


def test_the_page_runs_only_its_own_scripts_and_is_loaded_once(idle):
    status, headers, body = get(idle, "/")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert b"<script>" not in body
    assert b"style=" not in body
    assert b"//" not in body.replace(b"<!doctype", b""), "nothing from elsewhere"
    status, headers, _ = get(idle, "/static/main.js")
    assert headers["content-type"] == "text/javascript; charset=utf-8"
    assert get(idle, "/static/main.js", If_None_Match=headers["etag"])[::2] == (304, b"")


def test_status_counts_rates_and_what_is_missing(server, writer, wait_for):
    page = server()
    for unique_id in (0, 1, 2, 5, 6, 9, 0, 1):  # four are missing; then the source began anew
        writer.put(unique_id=unique_id)
    wait_for(shown(page, 8))
    status = get_json(page, "/status")
    assert (status["lost"], status["overruns"], status["skipped"], status["clients"]) == (4, 0, 0, 0)
    assert status["delay"] == 0.25
    assert status["last_block_time"] == writer.times[-1]
    assert status["rate"] > 0
    assert 0 <= status["age"] < 5
    assert (status["n_beams"], status["n_channels"]) == (1, 16)


def test_what_the_receiver_tells_is_part_of_the_status(server, wait_for):
    page = server()
    assert page.update(connected=True, lost=3, plots={"last": None})
    wait_for(lambda: get_json(page, "/status").get("plots") == {"last": None})
    assert page.update(lost=math.nan)
    wait_for(lambda: get_json(page, "/status")["lost"] is None)
    assert get_json(page, "/status")["connected"] is True


def test_a_ring_may_end_come_again_and_change_its_shape(server, writer, wait_for):
    page = server()
    for _ in range(5):
        writer.put()
    wait_for(shown(page, 5))
    writer.close()
    wait_for(lambda: get_json(page, "/status")["connected"] is False)
    assert get_json(page, "/data") == writer.values[-1][0].tolist(), "what was there stays"
    writer.open()
    for _ in range(5):
        writer.put()
    wait_for(shown(page, 10))
    assert len(get_json(page, "/refresh")["data"]) == 10
    writer.reshape(1, 40)
    for _ in range(7):
        writer.put()
    wait_for(shown(page, 17))
    answer = get_json(page, "/refresh")
    assert answer["data"] == [values[0].tolist() for values in writer.values[-7:]]
    assert get_json(page, "/status")["overruns"] == 0


def test_the_ring_of_a_writer_that_was_killed_is_left_for_the_next_one(server, writer, wait_for):
    page = server()
    writer.put()
    wait_for(shown(page, 1))
    next_one = Writer(writer.name)  # the first one ended nothing
    next_one.put()
    next_one.put()
    wait_for(shown(page, 3))
    assert get_json(page, "/status")["overruns"] == 0
    next_one.close()


def test_spectra_that_are_none_are_named_and_those_after_are_shown(server, name, writer, wait_for):
    page = server()
    writer.shape = (4, 16, 2)
    writer.put(np.zeros((4, 16, 2)))
    wait_for(lambda: "select a polarization" in get_json(page, "/status")["trouble"])
    assert get_json(page, "/data") == []
    writer.shape = (16,)  # no beams: channels alone
    writer.put(np.arange(16))
    wait_for(lambda: get_json(page, "/data") == list(range(16)))
    assert get_json(page, "/status")["trouble"] == ""


def test_spectra_that_come_faster_than_they_can_be_read_are_counted(server, name, wait_for):
    writer = Writer(name, slots=4)
    page = server()
    writer.put()
    wait_for(shown(page, 1))
    for _ in range(10_000):
        writer.put()

    def all_accounted_for():
        status = get_json(page, "/status")
        return status["spectra"] + status["overruns"] == 10_001

    wait_for(all_accounted_for)
    assert get_json(page, "/data") == writer.values[-1][0].tolist()
    writer.close()
