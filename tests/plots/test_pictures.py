"""Pictures: what is drawn over a copy is what would be drawn anew, and the pixels are the right ones."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from beamstream.frames import Geometry
from beamstream.plots import look
from beamstream.plots.image import ImagePicture
from beamstream.plots.picture import Caption, Picture, Shot
from beamstream.plots.screens import Files, choose
from beamstream.plots.waterfall import WaterfallPicture
from beamstream.sim.pattern import Pattern

PATTERN = Pattern(Geometry((120, 160), "<u2"))


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(look.STYLE):  # pyright: ignore[reportArgumentType]
        yield


@pytest.fixture
def files(tmp_path) -> Files:
    return Files(tmp_path / "pictures")


def seen(picture: Picture) -> NDArray[np.uint8]:
    canvas: Any = picture.figure.canvas
    return np.asarray(canvas.buffer_rgba()).copy()


def show(picture: Picture, number: int, image: NDArray[Any] | None = None) -> bool:
    """Draw a frame; return whether everything had to be drawn anew."""
    image = PATTERN.image(number) if image is None else image
    picture.add(Shot(image, number, 1000.0 + number))
    picture.caption(Caption("cam", "run 1", f"frame {number}", "$5 \\alpha$", "note"))
    stale = picture.stale
    picture.render()
    return stale


@pytest.mark.parametrize("kind", [ImagePicture, WaterfallPicture])
def test_frames_drawn_over_a_copy_look_as_if_all_were_drawn(files, kind):
    picture = kind(files.figure("x"))
    anew = [show(picture, n) for n in (1, 20, 33, 41)]
    assert anew[0]
    assert not all(anew)
    quick = seen(picture)
    picture.stale = True
    picture.render()
    assert np.array_equal(quick, seen(picture))
    show(picture, 77)
    assert not np.array_equal(quick, seen(picture))


def test_each_pixel_has_the_colour_of_its_value(files):
    picture = ImagePicture(files.figure("x"), cmap="gray", percentile=(0, 100))
    image = np.zeros((40, 40))
    image[:20, :10], image[20:, 30:] = 1.0, 0.5
    show(picture, 1, image)
    axes = picture.figure.axes[0]
    pixels = seen(picture)

    def at(row: float, col: float) -> int:
        x, y = axes.transData.transform((col, row))
        return int(pixels[round(pixels.shape[0] - y), round(x), 0])

    assert [at(9.5, 4.5), at(9.5, 34.5), at(29.5, 4.5)] == [255, 0, 0]
    assert at(29.5, 34.5) == pytest.approx(128, abs=1)


@pytest.mark.parametrize("shape", [(10, 2000), (2000, 1), (300, 300, 3), (2500, 1200)])
@pytest.mark.parametrize("kind", [ImagePicture, WaterfallPicture])
def test_images_of_all_shapes_can_be_drawn_one_after_the_other(files, kind, shape):
    picture = kind(files.figure("x"))
    show(picture, 1)
    before = seen(picture)
    assert show(picture, 2, np.random.default_rng(1).integers(0, 255, shape, np.uint8))
    assert before.shape != seen(picture).shape or not np.array_equal(before, seen(picture))
    assert not show(picture, 2, np.random.default_rng(1).integers(0, 255, shape, np.uint8))


@pytest.mark.parametrize("value", [0.0, np.nan, -1e30])
@pytest.mark.parametrize("kind", [ImagePicture, WaterfallPicture])
def test_images_without_a_range_can_be_drawn(files, kind, value):
    picture = kind(files.figure("x"))
    show(picture, 1, np.full((30, 40), value, np.float32))
    show(picture, 2)


def test_a_waterfall_has_the_newest_on_top_forgets_the_oldest_and_begins_anew(files):
    picture = WaterfallPicture(files.figure("x"), profiles=3, average="columns")
    for n in range(1, 6):
        show(picture, n, np.outer([n, 10 * n], np.ones(4)))
    (pixels,) = picture.figure.axes[0].images
    assert np.asarray(pixels.get_array()).tolist() == [[5, 50], [4, 40], [3, 30]]
    picture.clear()
    show(picture, 6, np.outer([6, 60], np.ones(4)))
    array: Any = pixels.get_array()
    assert np.ma.filled(array, np.nan)[0].tolist() == [6, 60]
    assert np.isnan(np.ma.filled(array, np.nan)[1:]).all()


def test_a_window_that_is_resized_is_arranged_anew(files):
    picture = ImagePicture(files.figure("x"))
    show(picture, 1)
    picture.figure.set_size_inches(12, 6)
    show(picture, 2)
    picture.stale = True
    picture.render()
    box = picture.figure.axes[0].get_window_extent()
    assert box.width / box.height == pytest.approx(160 / 120, rel=1e-3)


def test_a_file_appears_whole_and_nothing_else_is_left(files, tmp_path):
    picture = ImagePicture(files.figure("x"))
    show(picture, 1)
    files.show(picture.figure, "cam")
    path = files.keep(picture.figure, "00001_12345678_cam")
    assert sorted(p.name for p in path.parent.iterdir()) == ["00001_12345678_cam.png", "cam_live.png"]
    with Image.open(path) as saved:
        assert np.array_equal(np.asarray(saved), seen(picture)[..., :3])


def test_a_directory_that_cannot_be_written_is_said_and_nothing_is_left(tmp_path):
    (tmp_path / "taken").write_text("")
    files = Files(tmp_path / "taken")
    picture = ImagePicture(files.figure("x"))
    show(picture, 1)
    with pytest.raises(OSError, match="taken"):
        files.keep(picture.figure, "x")


def test_files_are_chosen_where_a_directory_is_given_or_no_display(tmp_path, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":77")
    assert str(tmp_path) in choose(str(tmp_path), "other").name
    monkeypatch.setenv("DISPLAY", "")
    monkeypatch.setenv("WAYLAND_DISPLAY", "")
    assert "fallback" in choose(None, str(tmp_path / "fallback")).name


def test_a_display_that_does_not_answer_is_as_good_as_none(tmp_path, monkeypatch):
    monkeypatch.setenv("DISPLAY", "127.0.0.1:77")
    assert "fallback" in choose(None, str(tmp_path / "fallback")).name


def test_colours_that_do_not_exist_are_named(files):
    with pytest.raises(ValueError, match="cmap 'viridiss' asked for"):
        ImagePicture(files.figure("x"), cmap="viridiss")
