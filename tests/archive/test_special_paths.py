"""Directories whose names a URI has to escape: the files in them are found by documents, callbacks and the archive."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import archive_session
import numpy as np
import pytest
from event_model import compose_run

from beamstream.archive.catalog import connect, wait_for_run
from beamstream.archive.database_path import duckdb_settings
from beamstream.archive.layout import Layout
from beamstream.archive.process import running_server
from beamstream.archive.recovery import recover
from beamstream.callbacks.journal import Journal
from beamstream.callbacks.recorder import Recorder
from beamstream.errors import ArchiveError, SinkError
from beamstream.export import export_run, read_run
from beamstream.frames import Frame, Geometry
from beamstream.sinks.base import Sink
from beamstream.sinks.contract import made_frames
from beamstream.sinks.documents import SinkDocuments
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.sinks.tiff_sequence import TiffSequenceSink
from beamstream.sinks.zarr import ZarrSink

# in a process of its own: bluesky-tiled-plugins 2.0.12 changes what all later clients of a process make of a run
DATABROKER = """
import sys
import numpy as np
from beamstream.archive.database_path import duckdb_settings
from beamstream.archive.catalog import broker
catalog = broker(sys.argv[1])
np.save(sys.argv[3], np.concatenate(list(catalog[sys.argv[2]].data("cam_image"))))
catalog._catalog.context.close()
"""
GEOMETRY = Geometry((24, 32), "<u2")
STRANGE = os.fsdecode(b"-x/:memory:/\"q\" 's'/a&b;c=d|$e*/\xe9t\xc3\xa9/" + b"long" * 60)
NAMES = ["sample #3", "why?", "50%41", "100%", "käse"]
SINKS: dict[str, Callable[[Path], Sink]] = {
    "hdf5": lambda where: Hdf5Sink(where / "cam.h5", GEOMETRY),
    "tiff": lambda where: TiffSequenceSink(where / "tiff", GEOMETRY, prefix="cam"),
    "zarr": lambda where: ZarrSink(where / "zarr", GEOMETRY, frames_per_shard=4),
}


def journaled(journal: Path, sink: Sink, frames: list[Frame], *, complete: bool = True) -> str:
    """Record frames and the documents of their run; without the last datum and the stop if it is not complete."""
    write, run = Journal(journal), compose_run(metadata={"plan_name": "test", "scan_id": 1})
    write("start", run.start_doc)
    documents = SinkDocuments(sink, "cam", start=run.start_doc)
    bundle = run.compose_descriptor(name="primary", data_keys=documents.data_keys("made up"))
    write("descriptor", bundle.descriptor_doc)
    with sink:
        for some in (frames[:4], frames[4:]):
            kept = sink.write(some)
            for name, doc in documents.up_to(kept if complete else 4, bundle.descriptor_doc):
                write(name, doc)
    if complete:
        stop = {"uid": f"stop-{run.start_doc['uid']}", "run_start": run.start_doc["uid"], "time": time.time()}
        write("stop", stop | {"exit_status": "success", "num_events": {"primary": len(frames)}})
    write.close()
    return run.start_doc["uid"]


@pytest.mark.parametrize("kind", SINKS)
def test_the_archive_serves_recordings_of_every_format_from_a_directory_of_any_name(
    archive: Any, tmp_path: Path, kind: str
) -> None:
    where = archive.layout.recordings / tmp_path.name / " ".join(NAMES)
    where.mkdir(parents=True)
    frames = made_frames(GEOMETRY, 0, 7)
    uid = journaled(archive.layout.journal, SINKS[kind](where), frames)
    wait_for_run(archive.client, uid)
    assert np.array_equal(archive.client[uid]["primary"]["cam_image"].read(), [frame.image for frame in frames])


@pytest.mark.parametrize("name", NAMES)
def test_recover_counts_the_frames_of_a_file_in_a_directory_of_any_name(tmp_path: Path, name: str) -> None:
    where = tmp_path / name
    where.mkdir()
    journal = tmp_path / "journal"
    journaled(journal, SINKS["hdf5"](where), made_frames(GEOMETRY, 0, 7), complete=False)
    (recovered,) = recover(journal)
    assert (recovered.frames_added["cam_image"], recovered.notes) == (3, ())


@pytest.mark.parametrize("top", ["run#7 50%41", "what?"])
def test_an_archive_in_a_directory_with_signs_is_served_and_leaves_no_file_elsewhere(tmp_path: Path, top: str) -> None:
    layout = Layout(tmp_path / top / STRANGE / "data")
    layout.prepare()
    frames = made_frames(GEOMETRY, 0, 7)
    uid = journaled(layout.journal, SINKS["hdf5"](layout.recordings), frames)
    events = archive_session.journaled(layout.journal, 5)
    broken = layout.directory / "broken"
    broken.mkdir()
    journaled(layout.journal, SINKS["hdf5"](broken), frames, complete=False)
    (recovered,) = recover(layout.journal)
    assert (recovered.frames_added["cam_image"], recovered.notes) == (3, ())
    exported = export_run(read_run(layout.journal, uid), Recorder(tmp_path / top / STRANGE / "exports", format="npy"))
    assert np.array_equal(np.load(exported.files[0].path), [frame.image for frame in frames])
    with running_server(layout.directory):
        client = connect(layout.directory)
        wait_for_run(client, uid)
        assert np.array_equal(client[uid]["primary"]["cam_image"].read(), [frame.image for frame in frames])
        wait_for_run(client, events)
        assert len(client[events]["primary"].read()["time"]) == 5
        stored = client.write_array(np.arange(6), key="a b+c")  # tiled names its file a+b%2Bc
        assert np.array_equal(stored.read(), np.arange(6))
        read = tmp_path / top / "read.npy"
        subprocess.run([sys.executable, "-c", DATABROKER, layout.directory, uid, read], check=True, timeout=60)
        assert np.array_equal(np.load(read).reshape(-1, *GEOMETRY.shape), [frame.image for frame in frames])
        client.context.close()
    assert [path.name for path in tmp_path.iterdir()] == [top]
    assert not list(Path.cwd().glob("*.db*"))


def test_an_archive_with_an_unread_log_of_its_tables_is_refused_where_that_would_be_passed_over(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "what?")
    layout.prepare()
    layout.tables.with_name("tables.duckdb.wal").touch()
    with pytest.raises(ArchiveError, match=r"tables\.duckdb\.wal .* rename that, serve the archive once"):
        duckdb_settings(layout.tables)


@pytest.mark.parametrize("sign", ["\r", "\n", "\x7f", "\x9b"])
def test_an_archive_in_a_directory_with_a_control_character_is_refused_by_it(tmp_path: Path, sign: str) -> None:
    with pytest.raises(ArchiveError, match="control character") as refused:
        Layout(tmp_path / f"a{sign}b").prepare()
    assert repr(sign) in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", SINKS)
def test_no_recording_is_made_below_a_control_character(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SinkError, match="control character"), SINKS[kind](tmp_path / "two\nlines"):
        pass
    assert list(tmp_path.iterdir()) == []
