"""After a power cut everything up to the last sync is there, and `recover` closes the run."""

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for power_cut

import power_cut
from power_cut import File

from beamstream.archive.documents import Tail
from beamstream.archive.recovery import recover
from beamstream.frames import Geometry
from beamstream.sinks.contract import made_frame

SECONDS = 1.7  # one sync by the clock, and then some that is not synced
CUTS = 6


class Recorded:
    """What a process wrote, and what it knew about it."""

    def __init__(self, directory: Path, shape: tuple[int, ...]) -> None:
        self.geometry = Geometry(shape, "<u2")
        self.path, self.journal = directory / "cam.h5", directory / "journal"
        self.files: dict[Path, File] = power_cut.traced(directory, shape, SECONDS)
        self.safe, self.kept, self.announced = json.loads(bytes(self.files[directory / "counts.json"].seen))

    def rows(self) -> int:
        """Count the rows of the file, the first `safe` of which must be right."""
        with h5py.File(self.path, "r", swmr=True) as file:
            group: Any = file["entry/data"]
            for number in range(self.safe):
                frame = made_frame(self.geometry, number)
                assert np.array_equal(group["data"][number], frame.image), f"row {number} of {self.safe}"
                assert group["unique_id"][number] == frame.unique_id
            return min(len(group[key]) for key in ("data", "unique_id", "timestamp", "received"))

    def documents(self) -> list[str]:
        """Read the journal, whole lines only; return what kinds of documents it has."""
        (path,) = self.journal.glob("*.jsonl")
        return [document.name for document in Tail(path).read(1 << 30)]


@pytest.fixture(scope="module", params=[(64, 64), (16, 16)], ids=["placed", "chunks"])
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return Recorded(tmp_path_factory.mktemp("cut"), request.param)


def test_all_rows_up_to_the_last_sync_are_right_and_recover_closes_the_run(recorded: Recorded) -> None:
    power_cut.cut(recorded.files)
    assert 0 < recorded.safe < recorded.kept
    assert recorded.rows() == recorded.safe
    names = recorded.documents()
    assert names[:2] == ["start", "descriptor"]
    assert names.count("stream_datum") == 4 * recorded.announced // 80
    recover(recorded.journal)
    assert recorded.documents()[-1] == "stop"
    assert recorded.rows() == recorded.safe


def test_whichever_later_pages_reached_the_disk_the_synced_rows_are_right(recorded: Recorded) -> None:
    for seed in range(CUTS):
        power_cut.cut(recorded.files, random.Random(seed))
        assert recorded.safe <= recorded.rows() <= recorded.kept
        recover(recorded.journal)
        assert recorded.documents()[-1] == "stop"
        with h5py.File(recorded.path) as file:  # as everybody opens it
            assert len(file["entry/data/unique_id"]) >= recorded.safe  # type: ignore[arg-type]
        shutil.rmtree(recorded.journal)
        recorded.journal.mkdir()
