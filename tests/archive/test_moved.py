"""An archive that was moved or copied opens where it is and reads its own files; moved recordings are found."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import archive_session
import h5py
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from tiled.client.container import Container

from beamstream.archive.catalog import connect, wait_for_run
from beamstream.archive.layout import Layout
from beamstream.archive.moved import moved
from beamstream.archive.process import running_server
from beamstream.archive.recovery import recover
from beamstream.archive.relocation import relocate
from beamstream.callbacks.recorder import Recorder
from beamstream.errors import ArchiveError
from beamstream.export import export_run, read_run
from beamstream.file_uri import path_of, uri_of
from beamstream.frames import Geometry
from beamstream.places import FILE, Places
from beamstream.sinks.contract import made_frames
from beamstream.sinks.hdf5 import Hdf5Sink

GEOMETRY = Geometry((24, 32), "<u2")
FRAMES = made_frames(GEOMETRY, 0, 7)
IMAGES = np.array([frame.image for frame in FRAMES])


def recorded(layout: Layout, where: Path, name: str = "cam.h5") -> str:
    """Record frames into a directory and journal their run; return its uid."""
    where.mkdir(parents=True, exist_ok=True)
    return archive_session.recorded_run(layout.journal, Hdf5Sink(where / name, GEOMETRY), FRAMES)


def filed(layout: Layout, *uids: str, recordings: tuple[Path, ...] = ()) -> None:
    """Serve an archive until runs are in its catalogue."""
    with running_server(layout.directory, recordings=recordings):
        client = connect(layout.directory)
        for uid in uids:
            wait_for_run(client, uid)
        client.context.close()


def served_images(layout: Layout, uid: str, recordings: tuple[Path, ...] = ()) -> NDArray[Any]:
    """Serve an archive and read the frames of a run over HTTP."""
    with running_server(layout.directory, recordings=recordings):
        client = connect(layout.directory)
        wait_for_run(client, uid)
        images = client[uid]["primary"]["cam_image"].read()
        client.context.close()
    return np.asarray(images)


def exported_images(layout: Layout, uid: str, to: Path) -> NDArray[Any]:
    """Export a run to NPY, without a server."""
    result = export_run(read_run(layout.journal, uid), Recorder(to, format="npy"))
    return np.load(result.files[0].path)


def blacken(path: Path) -> None:
    """Make every pixel of a recorded file 0."""
    with h5py.File(path, "r+") as file:
        file["entry/data/data"][:] = 0


@pytest.mark.parametrize("of_an_earlier_version", [False, True])
def test_an_archive_that_was_moved_opens_there_and_exports_there(tmp_path: Path, of_an_earlier_version: bool) -> None:
    before, after = Layout(tmp_path / "before" / "data"), Layout(tmp_path / "after" / "data #2")
    before.prepare()
    uid, events = recorded(before, before.recordings), archive_session.journaled(before.journal, 5)
    with running_server(before.directory):
        client = connect(before.directory)
        wait_for_run(client, uid)
        wait_for_run(client, events)
        client.write_array(np.arange(6), key="a b+c")  # a file that tiled names a+b%2Bc
        client.context.close()
    waiting = recorded(before, before.recordings, "later.h5")
    if of_an_earlier_version:
        (before.directory / FILE).unlink()
    after.directory.parent.mkdir()
    before.directory.rename(after.directory)
    assert np.array_equal(exported_images(after, uid, tmp_path / "exports"), IMAGES)
    with running_server(after.directory):
        client = connect(after.directory)
        for run in (uid, waiting):
            wait_for_run(client, run)
            assert np.array_equal(client[run]["primary"]["cam_image"].read(), IMAGES)
        assert len(client[events]["primary"].read()["time"]) == 5
        assert np.array_equal(Container.__getitem__(client, "a b+c").read(), np.arange(6))
        (asset,) = client[uid]["primary"].base["cam_image"].data_sources()[0].assets
        assert path_of(asset.data_uri) == after.recordings / "cam.h5"
        client.context.close()
    assert not before.directory.exists()


def test_a_copy_beside_the_original_reads_its_own_files_and_asks_its_own_server(tmp_path: Path) -> None:
    original, copy = Layout(tmp_path / "original"), Layout(tmp_path / "copy")
    original.prepare()
    uid = recorded(original, original.recordings)
    filed(original, uid)
    with running_server(original.directory):
        shutil.copytree(original.directory, copy.directory)
        with pytest.raises(ArchiveError, match="nobody serves"):
            connect(copy.directory)
        blacken(original.recordings / "cam.h5")
        assert np.array_equal(exported_images(copy, uid, tmp_path / "exports"), IMAGES)
        assert np.array_equal(served_images(copy, uid), IMAGES)
    assert not served_images(original, uid).any()


def test_an_interrupted_run_of_a_moved_archive_is_recovered_with_every_frame(tmp_path: Path) -> None:
    before, after = Layout(tmp_path / "before"), Layout(tmp_path / "after")
    before.prepare()
    uid = recorded(before, before.recordings)
    journal = before.journal / f"{uid}.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b'"name": "stream_datum"' not in line and line != lines[-1]))
    before.directory.rename(after.directory)
    (recovered,) = recover(after.journal)
    assert recovered.frames_added["cam_image"] == len(FRAMES)
    assert (recovered.files, recovered.notes) == ((after.recordings / "cam.h5",), ())


def test_recordings_elsewhere_are_found_where_they_were_moved_to(tmp_path: Path) -> None:
    layout, source, target = Layout(tmp_path / "data"), tmp_path / "ssd", tmp_path / "big disk"
    layout.prepare()
    uid, left = recorded(layout, source), recorded(layout, source, "left.h5")
    filed(layout, uid, left, recordings=(source,))
    target.mkdir()
    (source / "cam.h5").rename(target / "cam.h5")
    catalogue = layout.catalog.read_bytes()
    tried = moved(layout, source, target, dry_run=True)
    assert (tried.found, tried.left, tried.missing, tried.dry_run) == (1, 1, (), True)
    assert layout.catalog.read_bytes() == catalogue
    assert not Places.of(layout.directory).moves
    done = moved(layout, source, target)
    assert (done.found, done.left, done.missing) == (1, 1, ())
    assert moved(layout, source, target).found == 0
    for run in (uid, left):
        assert np.array_equal(exported_images(layout, run, tmp_path / run), IMAGES)
    assert np.array_equal(served_images(layout, uid, (target,)), IMAGES)
    (source / "left.h5").unlink()
    assert moved(layout, source, target).missing == (uri_of(source / "left.h5"),)


def test_what_lies_outside_of_the_served_directories_is_not_served_wherever_it_was_moved(tmp_path: Path) -> None:
    layout, source, target = Layout(tmp_path / "data"), tmp_path / "ssd", tmp_path / "disk"
    layout.prepare()
    uid = recorded(layout, source)
    filed(layout, uid, recordings=(source,))
    source.rename(target)
    moved(layout, source, target)
    with running_server(layout.directory) as address:
        headers = {"Authorization": f"Apikey {layout.key.read_text().strip()}"}
        where = f"{address.url}/api/v1/array/full/{uid}/primary/cam_image"
        assert httpx.get(where, headers=headers, timeout=30).status_code == 403


def test_a_move_that_was_killed_before_the_catalogue_was_changed_is_finished_by_the_server(tmp_path: Path) -> None:
    layout, source, target = Layout(tmp_path / "data"), tmp_path / "ssd", tmp_path / "disk"
    layout.prepare()
    uid = recorded(layout, source)
    filed(layout, uid, recordings=(source,))
    source.rename(target)
    places = Places.of(layout.directory)
    Places(places.directory, places.former, [(source, target)]).write()
    assert np.array_equal(served_images(layout, uid, (target,)), IMAGES)


def test_an_archive_that_is_served_or_is_none_has_nothing_moved(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    layout.prepare()
    with running_server(layout.directory), pytest.raises(ArchiveError, match="is served already by process"):
        moved(layout, tmp_path / "a", tmp_path)
    with pytest.raises(ArchiveError, match="there is no such directory"):
        moved(layout, tmp_path / "a", tmp_path / "none")
    with pytest.raises(ArchiveError, match="to itself"):
        moved(layout, tmp_path, tmp_path)
    with pytest.raises(ArchiveError, match="control character"):
        moved(layout, tmp_path / "a\nb", tmp_path)
    with pytest.raises(ArchiveError, match="it is no archive"):
        moved(Layout(tmp_path / "else"), tmp_path / "a", tmp_path)


def test_a_catalogue_that_names_a_file_at_both_places_names_it_once_afterwards(tmp_path: Path) -> None:
    layout, source, target = Layout(tmp_path / "data"), tmp_path / "ssd", tmp_path / "disk"
    layout.prepare()
    one = recorded(layout, source)
    shutil.copytree(source, target)
    filed(layout, one, recordings=(source,))
    journal = layout.journal / "filed" / f"{one}.jsonl"
    two = "11111111-1111-4111-8111-111111111111"
    text = journal.read_text().replace(one, two).replace(uri_of(source), uri_of(target))
    (layout.journal / f"{two}.jsonl").write_text(text)
    filed(layout, two, recordings=(target,))
    relocated = relocate(layout.catalog, Places(layout.directory, (), [(source, target)]))
    assert relocated.found == 1
    for uid in (one, two):
        assert np.array_equal(served_images(layout, uid, (target,)), IMAGES)


def test_an_upload_of_a_moved_archive_reads_the_file_where_it_is(tmp_path: Path) -> None:
    from beamstream.rheed.job import Job, JobDirectory

    before, after = Layout(tmp_path / "before"), Layout(tmp_path / "after")
    before.prepare()
    path, key = before.recordings / "rheed.h5", before.ingest_key
    job = Job("rheed", "1a2b3c4d", "rheed", str(path), "http://x", "A", key_file=str(key))
    made = JobDirectory.create(before.directory / "uploads" / "1a2b3c4d-rheed", job)
    before.directory.rename(after.directory)
    found = JobDirectory(after.directory / "uploads" / made.path.name)
    assert (found.job.path, found.job.key_file) == (str(after.recordings / "rheed.h5"), str(after.ingest_key))
    assert found.ingest_address == str(after.ingest_address)


@pytest.mark.parametrize("name", ["x", os.fsdecode(b"latin-\xe9?"), "a b#%41"])
def test_places_are_written_down_whatever_their_names_are(tmp_path: Path, name: str) -> None:
    here = tmp_path / name
    here.mkdir()
    Places(here, [tmp_path / "old" / name], [(Path("recordings"), tmp_path / name / "big")]).write()
    found = Places.of(here)
    assert (found.former, found.is_written) == ([tmp_path / "old" / name], True)
    assert found.path(tmp_path / "old" / name / "data" / "x") == here / "data" / "x"
    assert found.path(tmp_path / "other") == tmp_path / "other"


def test_the_command_reports_what_it_did(tmp_path: Path) -> None:
    layout, source, target = Layout(tmp_path / "data"), tmp_path / "ssd", tmp_path / "disk"
    layout.prepare()
    recorded(layout, source)
    source.rename(target)
    command = [
        sys.executable,
        "-c",
        "import sys; from beamstream.cli import main; sys.exit(main())",
        "archive",
        "moved",
    ]
    command += [str(source), str(target), "--archive", str(layout.directory), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["waiting"], said["found"], said["missing"], said["dry_run"]) == (1, 0, [], False)
