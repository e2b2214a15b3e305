"""Attributes of frames out of the archive: over HTTP, for databroker, for Zarr clients, and from any tiled server."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import zarr
from archive_session import recorded_run
from databroker import Broker
from obstore.store import HTTPStore
from zarr.core.sync import cleanup_resources
from zarr.storage import ObjectStore

from beamstream.archive.catalog import wait_for_run
from beamstream.frames import Frame, Geometry
from beamstream.sinks.contract import made_frames
from beamstream.sinks.hdf5 import Hdf5Sink

GEOMETRY = Geometry((24, 32), "<u2")
SENT = [{"Temperature": 20 + n / 2, "Stage": f"pös {n}", "Shots": n, "Open": n % 2 == 0} for n in range(30)]


def frames() -> list[Frame]:
    return [replace(frame, attributes=own) for frame, own in zip(made_frames(GEOMETRY, 0, 30), SENT, strict=True)]


@pytest.fixture(scope="module")
def run(archive) -> str:
    path = archive.layout.recordings / "attributes.h5"
    sink = Hdf5Sink(path, GEOMETRY, name="cam", frame_attributes=SENT[0])
    uid = recorded_run(archive.layout.journal, sink, frames())
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


def test_columns_are_served_as_json_and_to_databroker(archive, run, connected):
    about = f'"$A/array/full/{run}/primary/cam_attr_Temperature?format=application/json"'
    assert json.loads(archive.curl("-g", '-H "Authorization: Apikey $K"', about)) == [
        own["Temperature"] for own in SENT
    ]
    header = Broker(connected(archive.layout.directory))[run]
    assert np.asarray(list(header.data("cam_attr_Shots"))).reshape(-1).tolist() == [own["Shots"] for own in SENT]
    stages = np.asarray(list(header.data("cam_attr_Stage"))).reshape(-1)
    assert column(stages, "Stage") == [own["Stage"] for own in SENT]


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_clients_read_numbers_and_texts(archive, run, version):
    options = {"default_headers": {"Authorization": f"Apikey {archive.key}"}, "allow_http": True}
    store = HTTPStore.from_url(f"{archive.url}/zarr/v{version}/", client_options=options)
    try:
        for key in ("Temperature", "Stage", "Open"):
            path = f"{run}/primary/cam_attr_{key}"
            array = zarr.open(ObjectStore(store, read_only=True), path=path, mode="r", zarr_format=version)
            assert column(array[:], key) == [own[key] for own in SENT]
    finally:
        cleanup_resources()


STRANGER = """
import json, sys
from bluesky_tiled_plugins import TiledWriter
from tiled.catalog import in_memory
from tiled.client import Context, from_context
from tiled.server.app import build_app
directory, journal, uid, keys = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
catalog = in_memory(writable_storage=[directory + "/data"], readable_storage=[directory])
with Context.from_app(build_app(catalog)) as context:
    writer = TiledWriter(from_context(context))
    for line in open(journal):
        document = json.loads(line)
        writer(document["name"], document["doc"])
    table = from_context(context)[uid]["primary"].read()
    print(json.dumps([table[key].values.tolist() for key in keys], default=bytes.decode))
"""


def test_any_tiled_server_reads_them_by_the_documents_alone(tmp_path):
    sink = Hdf5Sink(tmp_path / "run.h5", GEOMETRY, name="cam", frame_attributes=SENT[0])
    uid = recorded_run(tmp_path / "journal", sink, frames())
    arguments = [str(tmp_path), str(tmp_path / "journal" / f"{uid}.jsonl"), uid]
    command = [sys.executable, "-c", STRANGER, *arguments, "cam_image", *(f"cam_attr_{key}" for key in SENT[0])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    images, *columns = json.loads(done.stdout.splitlines()[-1])
    assert np.array_equal(images, [frame.image for frame in frames()])
    assert columns == [[own[key] for own in SENT] for key in SENT[0]]
