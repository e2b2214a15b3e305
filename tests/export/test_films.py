"""Recorded runs as films."""

import av
import numpy as np
import pytest
from recorded_runs import shown

from beamstream.callbacks.recorder import Recorder
from beamstream.errors import SinkError
from beamstream.export import export_run
from beamstream.film import FilmNotes
from beamstream.frames import ColorMode, Geometry
from beamstream.sinks.formats import FILMS, FORMATS


def exported(runs, uid, directory, **options):
    """Export a run; return the file, its pictures as FFmpeg gives them, and their times."""
    (file,) = export_run(runs.documents(uid), Recorder(directory, **options)).files
    with av.open(str(file.path)) as film:
        pictures = list(film.decode(video=0))
        said = {key.lower(): value for key, value in film.metadata.items()}
        return file, pictures, FilmNotes.from_text(said["comment"])


@pytest.mark.parametrize("format", FILMS)
def test_a_window_makes_8_bits_of_a_run(runs, tmp_path, format):
    uid = runs.record(12)
    top = int(shown(12).max())
    file, pictures, notes = exported(runs, uid, tmp_path, format=format, window=(0, top))
    assert file.path.suffix == FORMATS[format].suffix == f".{format}"
    wanted = np.rint(shown(12) * (255 / top))
    found = np.stack([picture.to_ndarray(format="gray") for picture in pictures])
    assert np.abs(found - wanted).mean() < (3 if format == "mp4" else 1e-9)
    assert [picture.time for picture in pictures] == list(range(12))
    assert notes is not None
    assert (notes.window, notes.start_ns, notes.about["run"]) == ((0, top), 10**18, uid)
    assert file.about["window"] == [0, top]


def test_16_bits_do_not_become_an_mp4_by_accident(runs, tmp_path):
    uid = runs.record(3)
    with pytest.raises(SinkError, match=r"takes 8 bit without a sign; say which values .* window"):
        exported(runs, uid, tmp_path, format="mp4")
    assert list(tmp_path.glob("*.mp4*")) == []


def test_a_film_of_a_region_at_another_rate(runs, tmp_path):
    uid = runs.record(20)
    _, pictures, notes = exported(runs, uid, tmp_path, format="mkv", fps=4, stride=2, region=(3, 5, 31, 33))
    assert [picture.time for picture in pictures] == [i / 4 for i in range(10)]
    assert np.array_equal(pictures[9].to_ndarray(), shown(20)[18, 3:34, 5:38])
    assert notes is not None
    assert notes.shape == (31, 33)


def test_colours_are_in_the_film(runs, tmp_path):
    geometry = Geometry((30, 3, 40), "|u1", ColorMode.RGB2)
    uid = runs.record(3, geometry=geometry)
    _, pictures, _ = exported(runs, uid, tmp_path, format="mkv")
    found = np.stack([picture.to_ndarray(format="rgb24") for picture in pictures])
    assert np.array_equal(np.moveaxis(found, 3, 2), shown(3, geometry))


def test_window_and_rate_are_of_films_only(tmp_path):
    for options in ({"window": (0, 1)}, {"fps": 3.0}):
        with pytest.raises(ValueError, match="they go with mkv and mp4"):
            Recorder(tmp_path, format="zarr", **options)
