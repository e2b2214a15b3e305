"""Damaged and foreign files, full disks: what is good stays found, and nothing half written appears."""

import json
import logging
import os
import time

import h5py
import numpy as np
import pytest

from beamstream.errors import CalibrationError, DiskFull, NoReference, SinkError
from beamstream.frames import Geometry
from beamstream.references import ReferenceStore, publish

GEOMETRY = Geometry((3, 5), "<u2")
HOUR = 3600.0


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _edit(change):
    def edit(path):
        with h5py.File(path, "r+") as file:
            change(file["entry/data"])

    return edit


def _replace(key, **options):
    def change(group):
        del group[key]
        group.create_dataset(key, **options)

    return _edit(change)


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": _cut,
    "text": lambda path: path.write_text("no HDF5"),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a link to a pipe": lambda path: (path.unlink(), os.mkfifo(f"{path}-pipe"), path.symlink_to(f"{path}-pipe")),
    "no group": _edit(lambda group: group.parent.pop("data")),
    "no mean": _edit(lambda group: group.pop("mean")),
    "no attribute": _edit(lambda group: group.attrs.pop("taken")),
    "unknown kind": _edit(lambda group: group.attrs.modify("kind", "bias")),
    "array for a kind": _edit(lambda group: group.attrs.create("kind", [1, 2])),
    "text for a number": _edit(lambda group: group.attrs.create("number", "many")),
    "no JSON": _edit(lambda group: group.attrs.modify("geometry", "{")),
    "other JSON": _edit(lambda group: group.attrs.modify("geometry", "[1]")),
    "unknown pixels": _edit(
        lambda group: group.attrs.modify("geometry", json.dumps({**GEOMETRY.to_dict(), "dtype": "u9"}))
    ),
    "other shape": _replace("mean", data=np.zeros((1, 5, 3))),
    "other type": _replace("std", data=np.zeros((1, 3, 5), "f4")),
    "promised only": _replace("mean", shape=(1, 3, 5), dtype="f8", chunks=(1, 3, 5)),
    "compressed": _replace("mean", data=np.ones((1, 3, 5)), chunks=(1, 3, 5), shuffle=True),
    "in another file": _replace("mean", shape=(1, 3, 5), dtype="f8", external=[("/etc/hostname", 0, 120)]),
    "huge": _edit(
        lambda group: group.attrs.modify("geometry", json.dumps({**GEOMETRY.to_dict(), "shape": [10**9, 10**9]}))
    ),
    "a group for an array": _edit(lambda group: (group.pop("std"), group.create_group("std"))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_passed_over_with_one_warning_and_refused_when_asked_for(reference, store, caplog, damage):
    good = store.keep(reference(taken=time.time() - HOUR))
    bad = store.keep(reference())
    DAMAGES[damage](bad.path)
    for look in (lambda: store.list()[0], lambda: store.find("flat", "cam", GEOMETRY)):
        caplog.clear()
        assert look().path == good.path
        (record,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert str(bad.path) in record.getMessage()
    with pytest.raises(CalibrationError, match=bad.path.name):
        store.load(bad.path)


def test_a_file_that_goes_away_while_it_is_looked_for_makes_the_next_one_the_newest(reference, store, caplog):
    class SlowStore(ReferenceStore):
        def list(self, *args):
            found = super().list(*args)
            found[0].path.unlink()
            return found

    good = store.keep(reference(taken=time.time() - HOUR))
    gone = store.keep(reference())
    assert SlowStore(store.directory).find("flat", "cam", GEOMETRY).path == good.path
    assert [gone.path.name in record.getMessage() for record in caplog.records] == [True]
    with pytest.raises(NoReference, match="there is none in"):
        SlowStore(store.directory).find("flat", "cam", GEOMETRY)


def test_a_full_disk_leaves_nothing_and_later_there_is_room(reference, store, small_files):
    large = reference(geometry=Geometry((64, 64), "<u2"))
    with small_files(20_000), pytest.raises(DiskFull, match="cam: to keep a flat in"):
        store.keep(large)
    assert list((store.directory / "cam").iterdir()) == []
    kept = store.keep(large)
    assert [about.path for about in store.list()] == [kept.path]


def test_a_directory_that_cannot_be_made_says_so(reference, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cam: to keep a flat in"):
        ReferenceStore(tmp_path / "file").keep(reference())


def test_a_file_appears_over_no_other(tmp_path):
    path = tmp_path / "taken"
    path.write_text("precious")
    with pytest.raises(FileExistsError), publish.published(path) as file:
        file.write(b"new")
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_where_there_are_no_hard_links_a_file_appears_all_the_same(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(publish.os, "link", no_links)  # as FAT says it
    test_a_file_appears_over_no_other(tmp_path)
    with publish.published(tmp_path / "new") as file:
        file.write(b"new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "taken"]


def test_of_what_killed_writers_left_only_our_own_is_taken_away(reference, store):
    place = store.keep(reference()).path.parent
    names = ours, theirs, link = [place / f".{name}.h5.part" for name in ("ours", "theirs", "link")]
    for path in (ours, theirs):
        path.write_text("half")
        os.utime(path, (1e9, 1e9))
    link.symlink_to(ours)
    os.utime(link, (1e9, 1e9), follow_symlinks=False)
    os.chown(theirs, 65534, 65534)
    store.keep(reference())
    assert [os.path.lexists(path) for path in names] == [False, True, True]
