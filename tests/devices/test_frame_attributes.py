"""What a camera puts on its frames is recorded with them: in documents, in the file, and back again."""

import threading
import time
from collections.abc import Iterator

import event_model
import h5py
import pytest
from pva_camera import PvaCamera

from beamstream.recorded import RecordedFrames
from devices.pva_detector import PvaDetector
from plans.record import record

FIRST = {"ColorMode": 0, "Temperature": 20.5, "Stage": "home", "Shots": 7, "Open": True}


@pytest.fixture
def camera() -> Iterator[PvaCamera]:
    with PvaCamera("DEV:T:Image") as camera:
        yield camera


@pytest.fixture
def cam(camera, tmp_path) -> Iterator[PvaDetector]:
    camera.post([(1, time.time())], FIRST)
    cam = PvaDetector(camera.pv, name="cam", directory=tmp_path, timeout=10.0, ring_memory=2**22)
    yield cam
    cam.destroy()


class Posting:
    """Post frames, each with its own attributes, as soon as a detector takes them."""

    def __init__(self, camera, cam, frames) -> None:
        self._thread = threading.Thread(target=self._post, args=(camera, cam, frames))

    def _post(self, camera, cam, frames) -> None:
        deadline = time.monotonic() + 30
        while cam.flight is None and time.monotonic() < deadline:
            time.sleep(0.005)
        camera.post([(2, time.time())], FIRST)  # begun before it was known that it is wanted
        for number, (attributes, dimension) in enumerate(frames, 3):
            camera.post([(number, time.time())], attributes, dimension)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def flown(engine, camera, cam, frames):
    """Record a flight of frames with these attributes and dimensions; return those of the recorded frames."""
    with Posting(camera, cam, frames):
        engine(record([cam], num=len(frames)))
    assert cam.ledger.account.lost == 0
    with RecordedFrames(cam.path) as recorded:
        return [dict(frame.attributes) for batch in recorded.read(0, len(recorded)) for frame in batch]


def test_numbers_and_short_texts_are_columns_that_documents_describe(engine, docs, camera, cam):
    sent = [
        {**FIRST, "Temperature": 20 + n / 2, "Stage": f"pos {n}", "Shots": n, "Open": n % 2 == 0} for n in range(20)
    ]
    found = flown(engine, camera, cam, [(own, None) for own in sent])
    assert found == sent
    (descriptor,) = [d for d in docs.of("descriptor") if d["name"] == "primary"]
    event_model.schema_validators[event_model.DocumentNames.descriptor].validate(descriptor)
    keys = {key: about for key, about in descriptor["data_keys"].items() if "attr" in key}
    assert {key: (about["dtype"], about["dtype_numpy"], about["attribute"]) for key, about in keys.items()} == {
        "cam_attr_Temperature": ("number", "<f8", "Temperature"),
        "cam_attr_Stage": ("string", "|S32", "Stage"),
        "cam_attr_Shots": ("number", "<i8", "Shots"),
        "cam_attr_Open": ("boolean", "|b1", "Open"),
    }
    assert all(about["shape"] == [] and about["external"] == "STREAM:" for about in keys.values())
    assert all(about["source"] == "pva://DEV:T:Image" for about in keys.values())
    resources = {d["data_key"]: d for d in docs.of("stream_resource")}
    with h5py.File(cam.path) as file:
        values = file[resources["cam_attr_Temperature"]["parameters"]["dataset"]][:]
    assert values.tolist() == [own["Temperature"] for own in sent]
    rows = [d["indices"] for d in docs.of("stream_datum") if d["stream_resource"] == resources["cam_attr_Stage"]["uid"]]
    assert (rows[0]["start"], rows[-1]["stop"]) == (0, 20)


def test_what_changes_in_mid_run_is_kept_and_logged_once(engine, camera, cam, caplog):
    sent = [dict(FIRST) for _ in range(12)]
    for n, own in enumerate(sent):
        if n >= 4:
            own["Pressure"] = 1e-6 * n
        if n >= 6:
            del own["Shots"]
        if n >= 8:
            own["Temperature"] = "no sensor"
    assert flown(engine, camera, cam, [(own, None) for own in sent]) == sent
    logged = [record.args[1] for record in caplog.records if "in mid-run" in record.message]
    assert sorted(logged) == ["Pressure", "Shots", "Temperature"]


def test_a_camera_without_attributes_records_none(engine, camera, tmp_path):
    camera.post([(1, time.time())])
    cam = PvaDetector(camera.pv, name="cam", directory=tmp_path, timeout=10.0, ring_memory=2**22)
    try:
        with Posting(camera, cam, [({}, None)] * 5):
            engine(record([cam], num=5))
        with RecordedFrames(cam.path) as recorded:
            assert [frame.attributes for batch in recorded.read(0, 5) for frame in batch] == [{}] * 5
    finally:
        cam.destroy()


def test_names_of_attributes_are_never_those_of_the_detectors_own_readings(engine, docs, camera, cam):
    hostile = {"lost": 5, "image": 1, "unique_id": "x", "a/b.c": 2.5, "": 3, "..": 4}
    camera.post([(1, time.time())], hostile)
    assert flown(engine, camera, cam, [(hostile, None)] * 3) == [hostile] * 3
    (descriptor,) = [d for d in docs.of("descriptor") if d["name"] == "primary"]
    event_model.schema_validators[event_model.DocumentNames.descriptor].validate(descriptor)
    named = {about["attribute"]: key for key, about in descriptor["data_keys"].items() if "attribute" in about}
    assert named == {
        "lost": "cam_attr_lost",
        "image": "cam_attr_image_2",
        "unique_id": "cam_attr_unique_id_2",
        "a/b.c": "cam_attr_a_b_c",
        "": "cam_attr__",
        "..": "cam_attr___",
    }
    assert docs.ledger["cam_ledger_lost"] == 0


def test_the_part_of_the_sensor_is_in_the_data_key_in_the_file_and_follows_each_frame(engine, docs, camera, cam):
    one, other = [(10, 2048, 2, True), (20, 1024, 1, False)], [(12, 2048, 2, True), (20, 1024, 1, False)]
    part = {"offset": [20, 10], "binning": [1, 2], "reverse": [False, True], "full_size": [1024, 2048]}
    camera.post([(1, time.time())], FIRST, one)
    found = flown(engine, camera, cam, [(FIRST, one)] * 4 + [(FIRST, other)] * 4 + [(FIRST, None)] * 2)
    assert [own.get("dimension", {}).get("offset") for own in found] == [[20, 10]] * 4 + [[20, 12]] * 4 + [None] * 2
    assert found[0] == {**FIRST, "dimension": part}
    (descriptor,) = [d for d in docs.of("descriptor") if d["name"] == "primary"]
    assert descriptor["data_keys"]["cam_image"]["dimension"] == part
    with h5py.File(cam.path) as file:
        attributes = file["entry/data/data"].attrs
        assert {key: attributes[key].tolist() for key in part} == part


def test_the_time_of_a_clock_that_dates_nothing_is_a_column_of_every_frame(engine, camera, tmp_path):
    since_power_on = 4711.0
    camera.post([(1, since_power_on)], FIRST)
    cam = PvaDetector(camera.pv, name="cam", directory=tmp_path, timeout=10.0, ring_memory=2**22)
    camera.run(period=0.02, delay=0.0, clock=since_power_on - time.time())
    engine(record([cam], num=5))
    with h5py.File(cam.path) as file:
        stamped = file["entry/instrument/NDAttributes/camera_timestamp"][:]
        dated = file["entry/data/timestamp"][:]
    cam.destroy()
    assert len(stamped) == 5
    assert (abs(stamped - since_power_on) < 3600).all()
    assert (abs(dated - time.time()) < 3600).all()
