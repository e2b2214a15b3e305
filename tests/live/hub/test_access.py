"""Access to the page of an instrument: to read, to control, and its addresses."""

import json
import os
import time
import urllib.parse

import pytest
from hub_rig import KEY
from hub_viewer import Viewer, ask
from websockets.exceptions import InvalidStatus

from beamstream.errors import ConfigurationError
from beamstream.live.hub_access import HubAccess
from beamstream.live.hub_settings import HubSettings
from beamstream.live.page import LivePage
from beamstream.network.tickets import new_ticket
from beamstream.segment import PREFIX, SHM


def _cookie(headers: dict[str, str]) -> str:
    return headers["set-cookie"].partition(";")[0]


def test_reading_is_open_on_loopback(page, url, camera):
    camera.put()
    for path in ("", "streams", "state", f"streams/{camera.name}/"):
        status, headers, body = ask(page.url + path)
        assert status == 200, (path, body)
        assert "frame-ancestors" in headers["content-security-policy"]


def test_the_list_of_streams_has_their_state(page, camera, wait_for):
    camera.put()

    def listed() -> dict:
        streams = json.loads(ask(f"{page.url}streams")[2])
        return next(stream for stream in streams if stream["name"] == camera.name)

    wait_for(lambda: listed()["connected"], what="the stream to be followed on request")
    stream = listed()
    assert (stream["kind"], stream["url"], stream["clients"]) == ("image", f"/streams/{camera.name}/", 0)
    assert stream["stop"] == 1


def test_a_page_shows_a_stream_past_pipes_and_files_of_others_that_have_its_name(page, camera, wait_for):
    pipe, foreign = [SHM / f"{PREFIX}{camera.name}.{os.getpid()}-{number}-0" for number in (9998, 9999)]
    os.mkfifo(pipe, 0o600)
    foreign.write_bytes(b"BEAMRING" + bytes(4096))
    os.chown(foreign, 65534, 65534)
    for path in (pipe, foreign):
        os.utime(path, (3e9, 3e9))
    try:
        test_the_list_of_streams_has_their_state(page, camera, wait_for)
    finally:
        pipe.unlink()
        foreign.unlink()


def test_the_key_and_a_ticket_give_control_and_a_ticket_only_once(page, url, camera):
    camera.put()
    status, headers, _ = ask(f"{page.url}unlock", "POST", json.dumps({"key": KEY}).encode())
    assert status == 200
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=Strict" in headers["set-cookie"]
    assert KEY not in str(headers)
    ticket = page.ticket() + f"&stream={camera.name}"
    status, again, _ = ask(ticket)
    assert (status, again["location"]) == (303, f"/streams/{camera.name}/")
    for known in (headers, again):
        with Viewer(url, Cookie=_cookie(known)) as viewer:
            assert viewer.text("status")["may_control"]
    status, third, _ = ask(ticket)
    assert status == 303
    assert "set-cookie" not in third


def test_wrong_keys_and_odd_bodies_give_nothing(page):
    for body in (b'{"key": "wrong but of some length"}', b'{"key": 3}', b"{}", b"[", b"x" * 100_000, b'{"key": ""}'):
        status, headers, answer = ask(f"{page.url}unlock", "POST", body)
        assert status in (403, 422)
        assert "set-cookie" not in headers
        assert "unlock" in json.loads(answer)["error"]
    assert ask(f"{page.url}unlock")[0] == 405
    assert ask(f"{page.url}unlock", "POST", json.dumps({"key": KEY}).encode(), Origin="http://evil.example")[0] == 403


def test_pages_of_others_and_names_of_others_are_refused(page, url, camera):
    with pytest.raises(InvalidStatus), Viewer(url, Origin="http://evil.example"):
        pass
    assert ask(page.url, Host="evil.example")[0] == 421
    host = urllib.parse.urlsplit(page.url).netloc
    with Viewer(url, Origin=f"http://{host}") as viewer:
        assert viewer.text("status")["is"] == "status"


@pytest.mark.parametrize("path", ["streams/none/", "nothing", "streams/../state/", "static/../hub.py", "streams//ws"])
def test_an_address_that_is_not_there_is_answered_404(page, path):
    status, _, body = ask(page.url + path)
    assert status == 404
    assert json.loads(body)["error"]


def test_nothing_is_changed_over_http(page, url):
    for where in (page.url, url, f"{url}frame"):
        assert ask(where, "POST", b"{}")[0] == 405
        assert ask(where, "DELETE")[0] == 405


def test_beyond_loopback_reading_takes_the_key():
    with pytest.raises(ConfigurationError, match="without a key"):
        HubSettings(host="0.0.0.0")
    with LivePage(HubSettings([{"name": "x", "about": {}}], host="0.0.0.0", port=0, key=KEY)) as page:
        there = f"http://127.0.0.1:{page.port}/"
        for path in ("streams", "state", "streams/x/frame"):
            assert ask(there + path)[0] == 401
        status, _, body = ask(there)
        assert status == 401
        assert b"wants its key" in body
        assert ask(f"{there}static/unlock.js")[0] == 200
        with pytest.raises(InvalidStatus), Viewer(f"{there}streams/x/"):
            pass
        assert ask(f"{there}streams", Authorization=f"Bearer {KEY}")[0] == 200
        status, headers, _ = ask(f"{there}?ticket={new_ticket(KEY)}")
        assert status == 303
        with Viewer(f"{there}streams/x/", Cookie=_cookie(headers)) as viewer:
            assert viewer.text("status")["may_control"]


def test_tickets_are_for_one_key_and_a_minute(monkeypatch):
    access = HubAccess(HubSettings(key=KEY), 1)
    ticket = new_ticket(KEY)
    for wrong in ("", ".", ticket[:-1], f"1.2.{ticket}", new_ticket(KEY[::-1]), ticket.replace(".", "0", 1)):
        assert not access.take_ticket(wrong, {})
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert not access.take_ticket(ticket, {})
    monkeypatch.undo()
    assert access.take_ticket(ticket, {})
    assert not access.take_ticket(ticket, {})


def test_control_is_for_who_unlocked_the_page(monkeypatch):
    monkeypatch.setattr("beamstream.network.sessions.peer_of", lambda scope: scope["peer"])
    access = HubAccess(HubSettings(key=KEY), 1)
    cookie = access.take_ticket(new_ticket(KEY, 1), {"peer": "user 1000"}).partition(";")[0]
    headers = [(b"cookie", cookie.encode())]
    assert access.may_control({"headers": headers, "peer": "user 1000"})
    assert not access.may_control({"headers": headers, "peer": "user 1001"})
    assert not access.take_ticket(new_ticket(KEY, 2), {"peer": "user 1000"}), "a ticket for another server"


def test_without_a_key_there_is_no_control():
    access = HubAccess(HubSettings(), 1)
    assert access.keys.check("") is None
    assert access.identify("") is None
    assert access.sessions.scopes("beamstream-page-1=", {}) is None
    assert not access.may_control({"headers": [(b"authorization", b"Bearer ")]})
    assert not access.take_ticket(new_ticket(""), {})


@pytest.mark.parametrize("streams", [[{"name": "../x"}], [{"name": ""}], [{"name": "a"}, {"name": "a"}]])
def test_names_that_lead_elsewhere_or_twice_to_one_are_refused(streams):
    with pytest.raises(ConfigurationError, match="stream"):
        HubSettings(streams)


def test_a_port_that_is_taken_is_named(page):
    with pytest.raises(ConfigurationError, match="in use"), LivePage(HubSettings(port=page.port)):
        pass
