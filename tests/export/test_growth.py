"""Growth rates of recorded runs, from what was kept and from their frames, as a command and as functions."""

import sys
from pathlib import Path

import numpy as np
import pytest
from damaged_frames import compressed

sys.path.insert(0, str(Path(__file__).parents[1] / "callbacks"))  # for growing
from growing import EPOCH, SPOT, frames_of, oscillating, play
from typer.testing import CliRunner

from beamstream.callbacks.chain import Chain
from beamstream.callbacks.intensity import Intensity
from beamstream.callbacks.journal import Journal
from beamstream.cli.app import app
from beamstream.errors import ArchiveError
from beamstream.export import read_run
from beamstream.export.growth import kept_curves, measured_curve
from beamstream.ops.growth_rate import growth_rate

FILM = frames_of(oscillating(0.5), np.arange(0, 30, 1 / 20))
REGION = ",".join(map(str, SPOT))


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """An archive with two runs: one whose intensities were kept, then one without."""
    directory = tmp_path_factory.mktemp("archive")
    journal = Journal(directory / "journal")
    kept = Chain(journal, [Intensity({"spot": SPOT, "corner": (0, 0, 4, 4)})])
    play(kept, directory, FILM, settings={"rotations_per_min": 1.0})
    play(Chain(journal), directory, FILM[20:220])  # later
    journal.close()
    return directory


@pytest.fixture
def command(archive, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BEAMSTREAM_CONFIG", "")

    def command(*arguments):
        return CliRunner().invoke(app, ["growth-rate", *arguments, "--archive", str(archive)])

    return command


def test_what_was_kept_is_what_the_frames_give(archive):
    documents = read_run(archive / "journal", "-2")
    spot, corner = kept_curves(documents)
    assert (spot.detector, spot.region, corner.region, spot.rotations_per_min) == ("cam", "spot", "corner", 1.0)
    (measured,) = measured_curve(documents, SPOT)
    np.testing.assert_array_equal(spot.values, measured.values)
    np.testing.assert_array_equal(spot.times, measured.times)
    assert spot.times[0] == EPOCH
    found = growth_rate(spot.times, spot.values)
    assert found is not None
    assert found.rate == pytest.approx(0.5, rel=0.005)


def test_a_run_without_intensities_says_what_to_do(archive):
    documents = read_run(archive / "journal", "-1")
    with pytest.raises(ArchiveError, match="give a region"):
        kept_curves(documents)
    with pytest.raises(ArchiveError, match="recorded no such frames"):
        measured_curve(documents, SPOT, detectors=["other"])
    with pytest.raises(ValueError, match="30 rows and 40 columns"):
        measured_curve(documents, (0, 0, 31, 1))


def test_the_command_prints_rates_with_their_sigmas(command):
    done = command("-2", "--window", "15")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert "cam spot, 600 frames" in lines[1]
    assert [line.split()[0] for line in lines[3:6]] == ["10.0", "20.0", "30.0"]
    rate, sigma = map(float, lines[4].split()[1:])
    assert rate == pytest.approx(0.5, rel=0.01)
    assert 0 < sigma < 0.01
    corner = lines.index(next(line for line in lines if "cam corner" in line))
    assert lines[corner + 2].split()[1:] == ["-", "-"]


def test_the_command_measures_frames_where_nothing_was_kept(command):
    import json

    done = command("-1", "--region", REGION, "--every", "5", "--json")
    assert done.exit_code == 0, done.output
    (curve,) = json.loads(done.output)["curves"]
    assert (curve["detector"], curve["frames"], curve["seconds"]) == ("cam", 200, [5.0, 10.0])
    assert curve["rate"][-1] == pytest.approx(0.5, abs=5 * curve["sigma"][-1])


def test_a_region_outside_is_named(command):
    done = command("-1", "--region", "0,0,31,1")
    assert done.exit_code == 2
    assert "30 rows" in " ".join(done.output.replace("│", " ").split())


def test_frames_that_do_not_decode_are_left_out_of_a_curve_and_counted(tmp_path):
    journal = Journal(tmp_path / "journal")
    frames = [compressed(frame, damaged=frame.unique_id in (0, 70, 99)) for frame in FILM[:100]]
    play(Chain(journal), tmp_path, frames)
    journal.close()
    (curve,) = measured_curve(read_run(tmp_path / "journal", "-1"), SPOT)
    assert (len(curve.times), len(curve.values), curve.undecoded) == (97, 97, 3)
    assert curve.times.tolist() == [frame.timestamp for frame in frames if frame.unique_id not in (0, 70, 99)]
