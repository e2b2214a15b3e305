"""Metadata and readings come back from the archive as they went in, whoever asks."""

import json
import math
import time
from typing import Any

import numpy as np
import pytest
from event_model import compose_run
from tiled.queries import Eq

from beamstream.archive.catalog import wait_for_run
from beamstream.archive.layout import Layout
from beamstream.archive.readings import Readings
from beamstream.archive.recovery import recover
from beamstream.callbacks.journal import Journal
from beamstream.errors import ArchiveError
from beamstream.export import read_run
from beamstream.frames import Geometry
from beamstream.sinks.contract import made_frames
from beamstream.sinks.documents import SinkDocuments
from beamstream.sinks.hdf5 import Hdf5Sink

GEOMETRY = Geometry((24, 32), "<u2")

GIVEN = {
    "least": -(2**63),
    "nanoseconds": 1796011291178780123,
    "beyond_floats": 2**53 + 1,
    "largest": 2**64 - 1,
    "nested": {"ids": [2**60 + 1, {"deep": [2**63 + 5]}], "nothing": {}, "none": [None, [], {}]},
    "negative_zero": -0.0,
    "whole": 3.0,
    "large": 1e300,
    "flags": [True, 1, False, 0],
    "numpy": {"i8": np.int64(2**60 + 1), "u8": np.array([2**64 - 1], "u8"), "f4": np.float32(0.1), "b": np.bool_(True)},
    "tuple": (1, (2.5, "x")),
    "text": "käse ☃ 😀 \x1b[31m\u2028",
    "long": "x" * 200_000,
    'key "$x" ☃': {"$y": 1, " z ": 2},
}


def plain(value: Any) -> Any:
    """Return metadata as JSON has it: lists, and Python's numbers."""
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def run_of(archive: Any, events: list[Any] = [], key: dict[str, Any] | None = None, **more: Any) -> str:  # noqa: B006
    """Journal a run with a reading `x` and its descriptor's configuration `c`; return its uid when it is filed."""
    write, run = Journal(archive.layout.journal), compose_run(metadata={"plan_name": "md", **more.pop("md", {})})
    write("start", run.start_doc)
    configuration = {name: more.get(name, 0) for name in ("c",)}
    about = {"source": "test", "dtype": "number", "shape": []}
    stream = run.compose_descriptor(
        name="primary",
        data_keys={"x": {**about, **(key or {})}},  # type: ignore[arg-type]
        configuration={
            "d": {"data": configuration, "timestamps": dict.fromkeys(configuration, 0.0), "data_keys": {"c": about}}
        },  # type: ignore[arg-type]
        object_keys={"d": ["x"]},
        validate=False,
    )
    write("descriptor", stream.descriptor_doc)
    for value in events:
        write("event", stream.compose_event(data={"x": value}, timestamps={"x": time.time()}, validate=False))
    write("stop", {**run.compose_stop(), **more.get("stop", {})})
    write.close()
    wait_for_run(archive.client, run.start_doc["uid"])
    return run.start_doc["uid"]


def same(given: Any, found: Any) -> bool:
    """Return whether values are the same, types and signs of zeros included."""
    return repr(plain(given)) == repr(plain(found))


def test_metadata_of_a_run_comes_back_through_client_json_documents_and_search(archive: Any) -> None:
    uid = run_of(archive, [1], md=GIVEN, stop={"note": GIVEN}, c=GIVEN["nested"])
    node = archive.client[uid]
    by_json = json.loads(archive.curl(f'-H "Authorization: Apikey $K" $A/metadata/{uid}'))["data"]["attributes"][
        "metadata"
    ]
    documents = dict(node.documents())
    for start in (node.metadata["start"], by_json["start"], documents["start"]):
        assert same({key: start[key] for key in GIVEN}, GIVEN)
    for stop in (node.metadata["stop"], by_json["stop"], documents["stop"]):
        assert same(stop["note"], GIVEN)
    assert same(node["primary"].metadata["configuration"]["d"]["data"]["c"], GIVEN["nested"])
    for key in ("nanoseconds", "beyond_floats", "least"):
        assert list(archive.client.search(Eq(f"start.{key}", GIVEN[key]))) == [uid]
        assert not list(archive.client.search(Eq(f"start.{key}", GIVEN[key] + 1)))


def test_what_json_has_no_number_for_is_text_in_configuration_and_stop(archive: Any) -> None:
    values = [math.nan, [math.inf], {"a": -math.inf}]
    uid = run_of(archive, [1], c=values, stop={"note": values})
    node = archive.client[uid]
    for found in (node["primary"].metadata["configuration"]["d"]["data"]["c"], node.metadata["stop"]["note"]):
        assert found == ["NaN", ["Infinity"], {"a": "-Infinity"}]


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ([math.nan, math.inf, -0.0], {}),
        ([2**60 + 1, -(2**63), 2**63 - 1], {"dtype": "integer"}),
        ([2**64 - 1, 0, 2**63], {"dtype": "integer", "dtype_numpy": "<u8"}),
        (["Open", "käse ☃", ""], {"dtype": "string"}),
        ([True, False, True], {"dtype": "boolean"}),
        ([[math.nan, 0.1234567890123], [1.0, -0.0]], {"dtype": "array", "shape": [2], "dtype_numpy": "<f8"}),
        ([[2**60 + 1, 1], [2, 3]], {"dtype": "array", "shape": [2], "dtype_numpy": "<i8"}),
        ([[2**64 - 1, 1], [2, 3]], {"dtype": "array", "shape": [2], "dtype_numpy": "<u8"}),
        ([["a", "☃"], ["c", ""]], {"dtype": "array", "shape": [2], "dtype_numpy": "<U1"}),
    ],
    ids=["floats", "integers", "unsigned", "text", "switches", "arrays", "integer arrays", "unsigned arrays", "texts"],
)
def test_readings_come_back_as_they_were(archive: Any, values: list[Any], key: dict[str, Any]) -> None:
    uid = run_of(archive, values, key)
    node = archive.client[uid]
    assert same(node["primary"].read()["x"].values, values)
    assert same(node["primary"]["x"].read(), values)
    documents = [doc for name, doc in node.documents() if name in ("event", "event_page")]
    found = [
        item
        for doc in documents
        for item in (doc["data"]["x"] if "seq_num" in doc and isinstance(doc["seq_num"], list) else [doc["data"]["x"]])
    ]
    assert same(found, values)
    if key.get("dtype_numpy") != "<U1":  # these are an array of their own
        table = archive.curl(
            f'-H "Authorization: Apikey $K" "$A/table/full/{uid}/primary/internal?format=application/json"'
        )
        assert json.loads(table)["x"] == json.loads(
            json.dumps(values).replace("NaN", "null").replace("Infinity", "null")
        )


@pytest.mark.parametrize(
    ("values", "words"),
    [([{"a": 1}], "a reading is a number, text, or an array"), ([2**63, 1], 'the dtype_numpy "<u8"')],
)
def test_a_reading_that_no_table_holds_is_refused_by_name(values: list[Any], words: str) -> None:
    with pytest.raises(ArchiveError, match="the reading x is") as refused:
        Readings()("event", {"descriptor": "d", "data": {"x": values[0]}})
    assert words in str(refused.value)


def test_the_key_that_journals_write_nan_with_is_refused(tmp_path: Any) -> None:
    run = compose_run(metadata={"md": {"$float": "NaN"}})
    with pytest.raises(ArchiveError, match=r"has the key '\$float'"):
        Journal(tmp_path)("start", run.start_doc)


def test_recover_closes_a_run_whose_configuration_has_no_number(tmp_path: Any) -> None:
    layout = Layout(tmp_path / "data")
    layout.prepare()
    write, run = Journal(layout.journal), compose_run()
    write("start", run.start_doc)
    sink = Hdf5Sink(layout.recordings / "cam.h5", GEOMETRY)
    documents = SinkDocuments(sink, "cam", start=run.start_doc)
    about = {"source": "test", "dtype": "number", "shape": []}
    keys = documents.data_keys("made up")
    stream = run.compose_descriptor(
        name="primary",
        data_keys={**keys, "x": about},  # type: ignore[arg-type]
        configuration={"cam": {"data": {"gain": math.nan}, "timestamps": {"gain": 0.0}, "data_keys": {"gain": about}}},  # type: ignore[arg-type]
        object_keys={"cam": list(keys)},
    )
    write("descriptor", stream.descriptor_doc)
    with sink:
        sink.write(made_frames(GEOMETRY, 0, 7))
        for name, doc in documents.up_to(3, stream.descriptor_doc):
            write(name, doc)
        write("event", stream.compose_event(data={"x": math.nan}, timestamps={"x": 0.0}, validate=False))
    write.close()
    (recovered,) = recover(layout.journal)
    assert (recovered.outcome, recovered.frames_added["cam_image"]) == ("closed", 4)
    descriptors = [doc for name, doc in read_run(layout.journal, run.start_doc["uid"]) if name == "descriptor"]
    gains = [doc["configuration"]["cam"]["data"]["gain"] for doc in descriptors if "cam" in doc["configuration"]]
    assert len(gains) == 2
    assert all(map(math.isnan, gains))
