"""Images made of images while a run is recorded: complete, in order, in the same run."""

import os
from typing import Any

import av
import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import h5py
import numpy as np
import pytest
from bluesky.plans import count

from beamstream.callbacks.derive import Derive
from beamstream.errors import ProcessorFailed, RingError
from beamstream.file_uri import path_of
from beamstream.frames import ColorMode
from beamstream.ops.reduce import Bin
from beamstream.recorded import RecordedFrames
from beamstream.ring import Ring
from beamstream.segment import PREFIX, SHM
from devices.video import VideoDetector
from plans.record import record


class Inverted:
    """Count down from the largest value, and remember which frames it saw."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def apply(self, image: Any, meta: Any) -> Any:
        self.seen.append(meta["uid"])
        return np.iinfo(image.dtype).max - image

    def describe(self) -> dict[str, Any]:
        return {"formula": "max - I"}


class Choosy:
    """Fail at every third frame."""

    def apply(self, image: Any, meta: Any) -> Any:
        if meta["uid"] % 3 == 0:
            raise ProcessorFailed(f"choosy: frame {meta['uid']} is not to its taste")
        return image.astype(np.float32)


class Broken:
    def apply(self, image: Any, meta: Any) -> Any:
        raise ZeroDivisionError("no such luck")


def test_every_frame_of_a_flight_is_derived_in_order_and_bit_exact(engine, chain, docs, cam):
    chain.add(Derive("inverted", Inverted))
    engine(record([cam], num=200, flush_period=0.1))
    assert docs.told("cam_inverted_image") == 200
    assert np.array_equal(docs.images("cam_inverted_image"), 65535 - docs.images("cam_image"))
    assert docs.stop["num_events"] == {"primary": 200, "ledger": 1, "primary_inverted": 200, "callbacks": 1}
    assert (docs.account["inverted_frames"], docs.account["inverted_undone"]) == (200, 0)
    assert docs.stop["exit_status"] == "success"


def test_derived_frames_carry_the_attributes_of_those_that_they_are_made_of(engine, chain, docs, cam):
    chain.add(Derive("inverted", Inverted))
    engine(record([cam], num=20))
    resource = next(doc for doc in docs.of("stream_resource") if doc["data_key"] == "cam_inverted_image")
    with RecordedFrames(path_of(resource["uri"])) as derived, RecordedFrames(cam.path) as raw:
        found = [[f.attributes for batch in frames.read(0, 20) for f in batch] for frames in (derived, raw)]
    assert found[0] == found[1]
    assert found[0][7]["Model"] == "SimCamera"


def test_recorded_and_derived_rows_know_their_ring_and_documents_do_not_mention_it(engine, chain, docs, cam):
    chain.add(Derive("inverted", Inverted))
    engine(record([cam], num=20))
    tokens = set()
    for path in (cam.path, cam.path.with_name(f"{cam.path.stem}_inverted.h5")):
        with h5py.File(path) as file:
            assert np.diff(file["entry/data/ring_index"]).tolist() == [1] * 19
            tokens.add(file["entry/data"].attrs["ring"])
    assert len(tokens) == 2
    assert cam.ring.token in tokens
    for stream in ("primary", "primary_inverted"):
        assert not [key for key in docs.descriptor(stream)["data_keys"] if "ring" in key]


def test_a_run_goes_on_past_pipes_and_files_of_others_that_have_the_name_of_its_ring(engine, chain, docs, cam):
    chain.add(Derive("inverted", Inverted))
    names = [f"{PREFIX}{ring}.{number}-0-{cam.ring.token}" for ring in ("cam", "cam_inverted") for number in (1, 2)]
    paths = [SHM / name for name in names]
    for path in paths[::2]:
        os.mkfifo(path, 0o600)
    for path in paths[1::2]:
        path.write_bytes(b"BEAMRING" + bytes(4096))
        os.chown(path, 65534, 65534)
    for path in paths:
        os.utime(path, (3e9, 3e9))
    try:
        engine(record([cam], num=100, flush_period=0.1))
    finally:
        for path in paths:
            path.unlink()
    assert docs.stop["exit_status"] == "success"
    assert np.array_equal(docs.images("cam_inverted_image"), 65535 - docs.images("cam_image"))
    assert docs.account["inverted_frames"] == 100


def test_a_film_that_is_recorded_again_in_other_colours_is_derived_in_these(engine, chain, docs, tmp_path):
    film = tmp_path / "film.mkv"
    with av.open(str(film), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for i in range(20):
            rgb = np.zeros((48, 64, 3), "u1")
            rgb[..., 0], rgb[..., 2] = 50 + i, 150 + i
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
        out.mux(stream.encode())
    chain.add(Derive("inverted", Inverted))
    video = VideoDetector(film, name="film", speed=0.0, directory=tmp_path / "recordings", ring_memory=2**22)
    for grey, first in (("red", 50), ("blue", 150)):
        video.grey.put(grey)
        engine(record([video]))
        for name, value in (("", np.arange(20) + first), ("_inverted", 255 - first - np.arange(20))):
            with h5py.File(video.path.with_name(f"{video.path.stem}{name}.h5")) as file:
                assert file["entry/data/data"][:, 0, 0].tolist() == value.tolist()
    video.destroy()


def test_the_descriptor_says_what_was_done_and_to_what(engine, chain, docs, cam):
    chain.add(Derive("inverted", Inverted))
    engine(record([cam], num=3))
    descriptor = docs.descriptor("primary_inverted")
    assert descriptor["configuration"]["cam_inverted"]["data"] == {
        "derived_from": "cam_image",
        "name": "Inverted",
        "formula": "max - I",
    }
    assert descriptor["data_keys"]["cam_inverted_image"]["dtype_numpy"] == "<u2"
    assert descriptor["data_keys"]["cam_inverted_image"]["shape"] == [48, 64]


def test_a_pixel_is_as_large_as_the_one_it_was_made_of_unless_the_shape_is_another(engine, chain, docs, cam):
    chain.add(Derive("inverted", Inverted))
    chain.add(Derive("less", lambda: Bin(2)))
    engine(record([cam], num=3))
    inverted, less = (docs.descriptor(f"primary_{n}")["data_keys"][f"cam_{n}_image"] for n in ("inverted", "less"))
    assert inverted["pixel_size"] == [6.5, 6.5]
    assert (less["shape"], "pixel_size" in less) == ([24, 32], False)


def test_what_is_made_of_two_streams_is_in_one_and_that_is_said(engine, chain, docs, cam, caplog):
    @bpp.stage_decorator([cam])
    @bpp.run_decorator()
    def with_a_dark():
        yield from bps.trigger_and_read([cam], name="dark")
        yield from bps.repeat(lambda: bps.trigger_and_read([cam]), num=2)

    chain.add(Derive("inverted", Inverted))
    engine(with_a_dark())
    assert docs.stop["num_events"] == {"dark": 1, "primary": 2, "ledger": 1, "dark_inverted": 3, "callbacks": 1}
    assert [r.getMessage() for r in caplog.records if "one file" in r.getMessage()] == [
        "inverted: cam has frames of the streams dark and primary in one file; what is made of them stands with "
        "the first"
    ]


def test_steps_are_derived_as_flights_are(engine, chain, docs, cam):
    chain.add(Derive("inverted", Inverted))
    engine(count([cam], 4))
    assert np.array_equal(docs.images("cam_inverted_image"), 65535 - docs.images("cam_image"))


def test_documents_of_a_run_all_come_before_its_stop(engine, chain, docs, cam):
    chain.add(Derive("inverted", Inverted))
    engine(record([cam], num=20))
    engine(record([cam], num=20))
    assert [name for name, _ in docs].count("stop") == 2
    for start, stop in zip(docs.of("start"), docs.of("stop"), strict=True):
        (end,) = [i for i, (_, doc) in enumerate(docs) if doc is stop]
        mine = {d["uid"] for d in docs.of("descriptor") if d["run_start"] == start["uid"]}
        assert all(i < end for i, (_, doc) in enumerate(docs) if doc.get("descriptor") in mine)


def test_frames_that_an_op_fails_at_are_left_out_and_counted(engine, chain, docs, cam, caplog):
    chain.add(Derive("picked", Choosy))
    engine(record([cam], num=60))
    raw = docs.images("cam_image")
    assert len(raw) == 60
    assert (docs.account["picked_frames"], docs.account["picked_failed"]) == (40, 20)
    assert docs.told("cam_picked_image") == 40
    assert docs.images("cam_picked_image").dtype == np.float32
    assert docs.stop["exit_status"] == "success"
    assert "not to its taste" in caplog.text


def test_an_optional_op_that_breaks_costs_the_run_nothing(engine, chain, docs, cam, caplog):
    chain.add(Derive("broken", Broken))
    engine(record([cam], num=20))
    assert docs.told("cam_image") == 20
    assert docs.stop["exit_status"] == "success"
    assert docs.account["broken_undone"] == 20
    assert "no such luck" in docs.account["broken_error"]
    assert "the run goes on without it" in caplog.text


def test_a_required_op_that_breaks_fails_the_run_and_the_raw_frames_are_there(engine, chain, docs, cam):
    chain.add(Derive("broken", Broken, required=True))
    with pytest.raises(Exception, match="no such luck"):
        engine(record([cam], num=20))
    assert docs.stop["exit_status"] == "fail"
    assert "no such luck" in docs.stop["reason"]
    assert docs.told("cam_image") >= 1


def test_several_detectors_are_derived_each_for_itself(engine, chain, docs, cam, make):
    colour = make("CHAIN:C", name="colour")
    chain.add(Derive("inverted", Inverted))
    engine(record([cam, colour], num=30))
    for name, most in (("cam", 65535), ("colour", 255)):
        assert np.array_equal(docs.images(f"{name}_inverted_image"), most - docs.images(f"{name}_image"))
    descriptor = docs.descriptor("colour_inverted")
    assert descriptor["data_keys"]["colour_inverted_image"]["color_mode"] == ColorMode.RGB2


def test_what_is_derived_can_be_worked_on_in_turn(engine, chain, docs, cam):
    chain.add(Derive("inverted", Inverted))
    chain.add(Derive("again", Inverted, stream="inverted"))
    engine(record([cam], num=60, flush_period=0.1))
    assert np.array_equal(docs.images("cam_inverted_again_image"), docs.images("cam_image"))
    assert docs.stop["num_events"]["primary_inverted_again"] == 60
    about = docs.descriptor("primary_inverted_again")["configuration"]["cam_inverted_again"]["data"]
    assert about["derived_from"] == "cam_inverted_image"


def test_only_chosen_detectors_are_worked_on(engine, chain, docs, cam, make):
    chain.add(Derive("inverted", Inverted, detectors=["cam"]))
    engine(record([cam, make("CHAIN:C", name="colour")], num=5))
    assert [d["name"] for d in docs.of("descriptor")].count("cam_inverted") == 1
    assert "colour_inverted" not in {d["name"] for d in docs.of("descriptor")}


def test_where_shared_memory_is_short_derived_frames_are_in_the_file_only(
    engine, chain, docs, cam, caplog, monkeypatch
):
    prepare = Ring.prepare

    def short(ring, geometry):
        if ring.name == "cam_inverted":
            raise RingError("ring cam_inverted: no space left on device")
        prepare(ring, geometry)

    monkeypatch.setattr(Ring, "prepare", short)
    chain.add(Derive("inverted", Inverted))
    engine(record([cam], num=20))
    assert np.array_equal(docs.images("cam_inverted_image"), 65535 - docs.images("cam_image"))
    assert "they are read from the file" in caplog.text
