"""Messages that no page should send end neither the server nor the pages of others."""

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from hub_rig import KEY, Camera
from hub_viewer import Viewer
from live_ring import get_json
from page_messages import messages
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from beamstream.live.feed import Feed
from beamstream.live.follower import Follower
from beamstream.live.hub_settings import HubSettings
from beamstream.live.image_control import Control
from beamstream.live.image_page import ImagePage
from beamstream.live.image_status import Health
from beamstream.live.page import LivePage
from beamstream.live.push import Audience
from beamstream.live.settings import Settings
from beamstream.live.status import Status

NUMBER = 10_000
VIEW = json.dumps({"view": {"row": 0, "col": 0, "rows": 64, "cols": 96, "width": 96, "height": 64}})
Attend = Callable[[Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


class Socket:
    """A websocket as an ASGI application sees it: it sends what it is given, and then closes."""

    def __init__(self, texts: Iterator[str]) -> None:
        self._texts, self.sent, self.closed = texts, 0, False
        self._begun = False

    async def receive(self) -> dict[str, Any]:
        await asyncio.sleep(0)  # what is answered goes out first, as on a fast link
        if not self._begun:
            self._begun = True
            return {"type": "websocket.connect"}
        text = next(self._texts, None)
        return {"type": "websocket.disconnect"} if text is None else {"type": "websocket.receive", "text": text}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent += 1
        self.closed |= message["type"] == "websocket.close"
        if (text := message.get("text")) is not None:
            json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_ten_thousand_requests_for_images_are_followed_or_answered_and_frames_still_come(
    name, tmp_path, little_memory, wait_for, caplog
):
    settings = HubSettings(key=KEY, recordings=str(tmp_path / "r"), references=str(tmp_path / "f"))
    camera, feed = Camera(name), Feed(name, {}, settings)
    camera.put()

    async def all_of_them() -> Socket:
        control = Control(feed, settings)
        wrong = Socket(text for text in messages(NUMBER, 32768) if '"record"' not in text)
        await ImagePage(feed, control, Health(feed), may_control=lambda: True).attend(wrong.receive, wrong.send)
        control.close()
        return wrong

    async def one_more() -> Socket:
        right = Socket(iter([VIEW]))
        seen = asyncio.Event()

        async def receive() -> dict[str, Any]:
            message = await right.receive()
            if message["type"] == "websocket.disconnect":
                async with asyncio.timeout(30):
                    await seen.wait()
            return message

        async def send(message: dict[str, Any]) -> None:
            if message.get("bytes"):
                seen.set()
            await right.send(message)

        await ImagePage(feed, Control(feed, settings), Health(feed), may_control=lambda: False).attend(receive, send)
        return right

    try:
        socket = asyncio.run(all_of_them())
        assert not socket.closed
        assert socket.sent > NUMBER // 4
        assert not asyncio.run(one_more()).closed
        assert feed.trouble == ""
    finally:
        feed.close()
        camera.close()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_ten_thousand_messages_to_the_page_of_spectra_are_followed_or_close_it(writer, name, little_memory):
    writer.put()

    async def all_of_them() -> tuple[int, int]:
        settings = Settings(name, os.getpid())
        follower = Follower(name, os.getpid(), 100, lambda: audience.notify())
        audience = Audience(follower, Status(follower), settings)
        following = asyncio.create_task(follower.run())
        followed = closed = 0
        for text in messages(NUMBER, 4096):
            socket = Socket(iter([text]))
            await audience.attend(
                {"rows": text[:40], "interval": text[:9], "beam": text[-9:]}, socket.receive, socket.send
            )
            followed, closed = followed + (not socket.closed), closed + socket.closed
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        return followed, closed

    followed, closed = asyncio.run(all_of_them())
    assert followed > 200
    assert closed > 5000


@pytest.mark.parametrize("of", ["images", "spectra"])
def test_hundreds_of_them_over_a_socket_leave_a_server_that_answers_and_a_log_without_tracebacks(of, name, wait_for):
    camera = Camera(name)
    about = {} if of == "images" else {"kind": "zmq_spectrometer", "address": "tcp://127.0.0.1:9"}
    try:
        with LivePage(HubSettings(streams=[{"name": name, "about": about}], port=0, key=KEY)) as page:
            url = f"{page.url.replace('http', 'ws', 1)}streams/{name}/ws"
            texts = messages(400, 4000)
            text = next(texts, None)
            while text is not None:
                try:
                    with connect(url, proxy=None, compression=None) as socket:
                        while text is not None:
                            socket.send(text.encode(errors="replace").decode())
                            text = next(texts, None)
                except ConnectionClosed:
                    pass
            assert page.alive
            camera.put()
            get_json(page, "/streams")  # pyright: ignore[reportArgumentType]
            if of == "images":
                with Viewer(f"{page.url}streams/{name}/") as viewer:
                    viewer.view(64, 96)
                    assert viewer.frame().values.shape == (64, 96)
            assert "Traceback" not in page.error_output()
            assert "Exception in ASGI" not in page.error_output()
    finally:
        camera.close()
