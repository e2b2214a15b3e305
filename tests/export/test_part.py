"""What an export takes away beside its target, and what it leaves alone."""

import os

from beamstream.export.part import Part

NOBODY = 65534


def test_of_what_killed_exports_left_only_our_own_is_taken_away(tmp_path):
    ours, theirs, link = [tmp_path / f".run.part-{name}" for name in ("ours", "theirs", "link")]
    for path in (ours, theirs):
        path.mkdir()
        (path / "run").write_text("half")
    os.chown(theirs, NOBODY, NOBODY)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").write_text("whole")
    link.symlink_to(precious)
    with Part(tmp_path / "run") as part:
        part.path.write_text("new")
        part.publish()
    assert (tmp_path / "run").read_text() == "new"
    assert not ours.exists()
    assert (theirs / "run").exists()
    assert link.is_symlink()
    assert (precious / "data").read_text() == "whole"
