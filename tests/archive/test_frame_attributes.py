"""Attributes of frames out of the archive: over HTTP, for databroker, for Zarr clients, and from any tiled server."""

import json
from dataclasses import replace

import numpy as np
import pytest
from archive_session import recorded_run

from beamstream.archive.catalog import broker, wait_for_run
from beamstream.frames import Geometry
from beamstream.sinks.contract import made_frames
from beamstream.sinks.hdf5 import Hdf5Sink

GEOMETRY = Geometry((24, 32), "<u2")
SENT = [{"Temperature": 20 + n / 2, "Stage": f"pös {n}", "Shots": n, "Open": n % 2 == 0} for n in range(30)]


def recorded(archive) -> str:
    frames = made_frames(GEOMETRY, 0, 30)
    frames = [replace(frame, attributes=own) for frame, own in zip(frames, SENT, strict=True)]
    path = archive.layout.recordings / "attributes.h5"
    sink = Hdf5Sink(path, GEOMETRY, name="cam", frame_attributes=SENT[0])
    return recorded_run(archive.layout.journal, sink, frames)


@pytest.fixture(scope="module")
def run(archive) -> str:
    uid = recorded(archive)
    wait_for_run(archive.client, uid)
    return uid


def column(values, key):
    kind = {"Stage": lambda text: text.decode()}.get(key, lambda value: value)
    return [kind(value) for value in np.asarray(values).tolist()]


@pytest.mark.parametrize("key", SENT[0])
def test_a_column_is_an_array_of_the_archive(archive, run, key):
    stream = archive.client[run]["primary"]
    assert column(stream[f"cam_attr_{key}"].read(), key) == [own[key] for own in SENT]
    assert column(stream[f"cam_attr_{key}"][7:9], key) == [own[key] for own in SENT[7:9]]


def test_columns_are_served_as_json_and_to_databroker(archive, run):
    about = f'"$A/array/full/{run}/primary/cam_attr_Temperature?format=application/json"'
    assert json.loads(archive.curl("-g", '-H "Authorization: Apikey $K"', about)) == [
        own["Temperature"] for own in SENT
    ]
    header = broker(archive.layout.directory)[run]
    assert np.asarray(list(header.data("cam_attr_Shots"))).reshape(-1).tolist() == [own["Shots"] for own in SENT]
    stages = np.asarray(list(header.data("cam_attr_Stage"))).reshape(-1)
    assert column(stages, "Stage") == [own["Stage"] for own in SENT]
