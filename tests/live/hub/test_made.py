"""What is made of one frame: once however many ask, in the type that holds it, and judged in words."""

import numpy as np
import pytest
from hub_rig import noise

from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.live.feed import Feed
from beamstream.live.hub_settings import HubSettings
from beamstream.live.image_newest import Made, Newest
from beamstream.live.image_pixels import Quality, pixels_of, plain
from beamstream.live.image_seat import Seat
from beamstream.live.image_status import Health
from beamstream.live.image_wish import Area, Region, Treated, Wish

WHOLE = Region(0, 0, 64, 96)


def _newest(image: np.ndarray, treat=None, **attributes) -> Newest:
    geometry = Geometry(image.shape, image.dtype.str)
    return Newest(
        Frame(image, geometry, 7, 1.0, 2.0, attributes=attributes), 3, 1, treat or (lambda f, t: Made(f.image))
    )


def _values(pixels) -> np.ndarray:
    return np.frombuffer(pixels.data, pixels.dtype).reshape(pixels.shape)[..., 0] * pixels.scale + pixels.offset


def test_equal_wishes_of_many_pages_are_worked_on_once():
    treated = []

    def treat(frame: Frame, how: Treated) -> Made:
        treated.append(how)
        return Made(frame.image * 2.0, used={"flat": "a flat"})

    newest, flat = _newest(noise((64, 96), "<u2"), treat), Treated(flat=True)
    quality = Quality(2, False, False)
    assert newest.pixels(flat, WHOLE, quality) is newest.pixels(flat, WHOLE, quality)
    wish = Wish(treated=flat, areas=(Area("A", False, 0, 0, 5, 5),))
    assert newest.notes(wish, 3) == newest.notes(Wish(treated=flat, areas=wish.areas), 3)
    assert treated == [flat]
    for row in range(40):  # a page that moves about in a paused frame
        newest.pixels(flat, Region(row, 0, 8, 8), quality)
    assert len(newest._pixels) <= 16
    newest.forget()
    newest.made(flat)
    assert len(treated) == 2


def test_a_hot_pixel_does_not_make_eight_bit_coarse():
    image = (1000 + noise((64, 96), "|u1").astype(float) / 255 * 100).astype("<u2")
    image[5, 5] = 65535
    pixels = pixels_of(image, WHOLE, Quality(1, True, False))
    error = np.abs(_values(pixels) - image)
    error[5, 5] = 0
    assert pixels.dtype == "u1"
    assert error.max() <= 1.0


def test_means_of_few_counts_keep_their_fractions():
    image = (noise((64, 96), "|u1") > 250).astype("<u2")
    pixels = pixels_of(image, WHOLE, Quality(4, False, False))
    expected = image.reshape(16, 4, 24, 4).astype(float).mean(axis=(1, 3))
    np.testing.assert_allclose(_values(pixels), expected, atol=1 / 512)


def test_nan_goes_through_where_pixels_are_floats():
    image = noise((64, 96), "<f4")
    image[3, 4] = np.nan
    values = _values(pixels_of(image, WHOLE, Quality(1, False, False)))
    np.testing.assert_array_equal(values, image)


@pytest.mark.parametrize(("shape", "dtype"), [((), "u1"), ((0,), "u1"), ((4, 5), "c8"), ((0, 5), "u1")])
def test_what_is_no_image_is_named(shape, dtype):
    with pytest.raises(ValueError, match="cannot be shown"):
        plain(np.zeros(shape, dtype), ColorMode.MONO)


def _judged(status: dict, state: dict | None = None, **more) -> tuple[str, str]:
    feed = Feed("cam", {}, HubSettings())
    feed.newest, feed.status = _newest(noise((4, 4), "<u2"), AcquireTime=0.25), {"words": "", "lost": 0, **status}
    health = Health(feed)
    health.state = state or {}
    document = health.document(Seat(lambda message: None, lambda newest: None), more.get("recording"))
    assert document["exposure"] == 0.25
    return document["state"], document["words"]


def test_a_stream_is_judged_in_words():
    assert _judged({"delay": 0.1}) == ("live", "live")
    assert _judged({"words": "cam: the last frame came 9 s ago; is it acquiring?"})[0] == "waiting"
    assert _judged({"delay": 3.0}) == ("amber", "frames come 3.0 s after they were taken")
    assert _judged({"delay": 30.0})[0] == "red"
    assert _judged({}, {"disk": {"free": 5 * 2**30}}) == ("amber", "5.0 GiB left on the disk")
    assert _judged({}, {"disk": {"free": 2**28}})[0] == "red"
    failed = {"state": "failed", "words": "no space"}
    assert _judged({}, recording=failed) == ("red", "recording: no space")


def test_frames_that_are_lost_are_news_for_a_while(monkeypatch):
    import time

    feed = Feed("cam", {}, HubSettings())
    feed.newest = _newest(noise((4, 4), "<u2"))
    health, seat, now = Health(feed), Seat(lambda message: None, lambda newest: None), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    judged = []
    for later, lost in ((0, 0), (1, 0), (2, 3), (9, 5), (30, 5)):
        monkeypatch.setattr(time, "monotonic", lambda later=later: now + later)
        feed.status = {"words": "", "lost": lost}
        judged.append(health.document(seat, None)["words"])
    assert judged == ["live", "live", "3 frames lost in the last 10 s", "5 frames lost in the last 10 s", "live"]
