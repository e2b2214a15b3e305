"""The window: what was sent is on the screen, and the controls do what they say."""

import json
import time

import numpy as np
import pytest
import tifffile
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from qt_window import Camera, on_screen, settled

from beamstream.errors import ConfigurationError
from beamstream.frames import ColorMode
from beamstream.ops.picture import picture_of
from beamstream.references import ReferenceStore
from beamstream.viewers.qt import remembered, scale_bar
from beamstream.viewers.qt.keys import KEYS
from beamstream.viewers.qt.readings import corner

RAMP = np.arange(256, dtype=np.uint8)


def scene(rows: int = 40, cols: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, cols)).astype(np.uint8)


def by_hand(window, low: float = 0.0, high: float = 255.0) -> None:
    window.side.contrast.set_limits(low, high)


def sampled(window, pixels: np.ndarray, row: int, col: int) -> int:
    """Return the grey on the screen in the middle of a pixel as it is seen."""
    shown = window.canvas.picture.shown
    x, y, w, h = shown.rectangle
    at_row = int((row + 0.5 - y) / h * pixels.shape[0])
    at_col = int((col + 0.5 - x) / w * pixels.shape[1])
    return int(pixels[at_row, at_col, 0])


def place_on_screen(window, row: float, col: float) -> object:
    """Return where the middle of a pixel as it is seen is on the screen."""
    box = window.canvas._box
    return window.canvas.mapFromScene(box.mapViewToScene(QPointF(col + 0.5, row + 0.5)))


def test_the_pixels_on_the_screen_are_those_of_the_frame(window, show):
    by_hand(window)
    window.actions_by_name["overlay"]()
    image = scene()
    show(window, image)
    pixels = on_screen(window)
    for row, col in np.ndindex(image.shape):
        assert sampled(window, pixels, row, col) == image[row, col]
    show(window, 255 - image)
    assert sampled(window, on_screen(window), 3, 4) == 255 - image[3, 4]


@pytest.mark.parametrize(
    ("shape", "words"), [((500,), "curve of 500 values, 0 to 249"), ((5, 40, 60), "plane 2 of 5"), ((40, 60, 3), "")]
)
def test_of_traces_and_stacks_a_curve_or_a_plane_is_on_the_screen_and_said(window, show, shape, words):
    by_hand(window)
    image = (np.arange(np.prod(shape)) % 250).reshape(shape).astype(np.uint8)
    show(window, image)
    shown, expected = window.canvas.picture.shown, picture_of(image).image
    assert shown.shape == expected.shape[:2]
    assert shown.note == words
    assert ([words] if words else []) == [line for line in corner(shown, 1.0, {}, False) if words and words in line]
    if shape == (5, 40, 60):
        window.actions_by_name["overlay"]()
        pixels = on_screen(window)
        assert [sampled(window, pixels, row, 7) for row in range(40)] == expected[:, 7].tolist()


@pytest.mark.parametrize("dtype", ["u2", "f4", "f8", "i8", "u8"])
def test_the_automatic_contrast_is_of_the_field_whatever_single_pixels_are(window, show, dtype):
    window.actions_by_name["overlay"]()
    rows, columns = np.mgrid[:40, :60]
    image = (150 + 50 * np.sin(columns / 9) * np.cos(rows / 7)).astype(dtype)
    image[3, 4], image[5, 6] = 60_000 if dtype == "u2" else 1e9, 0
    if dtype.startswith("f"):
        image[10:14, 10:20], image[20, 20], image[21, 20] = np.nan, np.inf, -np.inf
    show(window, image)
    low, high = window.side.contrast.shown_limits
    assert 100 <= low < 103
    assert 197 < high <= 200
    pixels = on_screen(window)
    assert sampled(window, pixels, 22, 42) > 200  # cos is -1 there, and so is the sine
    assert sampled(window, pixels, 22, 14) < 60


@pytest.mark.parametrize(
    ("most", "length"), [(1, 1), (1.99, 1), (2.0, 2), (4.9, 2), (7, 5), (99, 50), (0.03, 0.02), (640, 500)]
)
def test_a_scale_bar_is_a_round_number_long(most, length):
    assert scale_bar.round_length(most) == pytest.approx(length)


@pytest.mark.parametrize(
    ("length", "units", "words"),
    [
        (2000, "um", "2 mm"),
        (500, "micron", "500 µm"),
        (0.2, "mm", "200 µm"),
        (0.5, "pm", "0.5 pm"),
        (5e-5, "1/A", "5e-05 1/A"),
    ],
)
def test_a_length_is_said_in_the_unit_that_suits_it(length, units, words):
    assert scale_bar.in_words(length, units) == words


def test_a_scale_bar_is_as_long_as_it_says_however_the_frame_is_turned(open_window, show):
    window = open_window(source="camera", about={"pixel_size": [3.0, 2.0], "pixel_units": "mm"})
    show(window, np.zeros((40, 60), np.uint8))
    assert scale_of(window) == pytest.approx(2.0, rel=0.03)
    window.actions_by_name["transpose"]()
    show(window, np.zeros((40, 60), np.uint8))
    assert scale_of(window) == pytest.approx(3.0, rel=0.03)
    window.actions_by_name["overlay"]()
    show(window, np.zeros((40, 60), np.uint8))
    assert white_run(window) == 0


def white_run(window) -> int:
    """Return how many white pixels are side by side at most, at the bottom of the window."""
    image = window.canvas.viewport().grab().toImage().convertToFormat(QImage.Format.Format_Grayscale8)
    pixels = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    pixels = pixels[-30:, : image.width()]  # Qt fills rows up to 4 bytes, with whatever is there
    rows = ("".join("x" if grey > 200 else " " for grey in row) for row in pixels)
    return max(len(run) for row in rows for run in [*row.split(), ""])


def scale_of(window) -> float:
    """Return how wide a pixel of the frame is by the scale bar, if that is as long as it can be."""
    view, (width, _) = window.canvas.view, window.canvas.pixels
    assert view is not None
    length = scale_bar.round_length(0.25 * view[2] * window.canvas.pixel_size.across(window.orientation))
    return length / (white_run(window) * view[2] / width)


def test_a_click_puts_the_crosshair_on_a_pixel_and_reads_its_value(window, show, spin):
    image = scene().astype(np.uint16) * 100
    show(window, image)
    QTest.keyClick(window, Qt.Key.Key_X)
    QTest.mouseClick(window.canvas.viewport(), Qt.MouseButton.LeftButton, pos=place_on_screen(window, 11, 23))
    expected = f"X 23  Y 11  =  {image[11, 23]}"
    spin(lambda: window.readings.cross.text() == expected, what=f"{expected}, it says {window.readings.cross.text()}")
    QTest.keyClick(window, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    spin(lambda: window.readings.cross.text() == f"X 33  Y 11  =  {image[11, 33]}", what="the arrow to move it")


def test_flips_and_turns_show_the_frame_turned_and_the_crosshair_stays_on_its_pixel(window, show, spin):
    by_hand(window)
    image = scene()
    show(window, image)
    window.side.marks["cross"].toggle()
    window.canvas.marks.cross_on(5, 7)
    for key, turned in (
        (Qt.Key.Key_H, image[:, ::-1]),
        (Qt.Key.Key_V, image[::-1, ::-1]),
        (Qt.Key.Key_T, image[::-1, ::-1].T),
    ):
        QTest.keyClick(window, key)
        spin(lambda: settled(window), what="the turn")
        pixels = on_screen(window)
        assert sampled(window, pixels, 20, 30) == turned[20, 30]
        assert window.readings.cross.text() == f"X 7  Y 5  =  {image[5, 7]}"


def test_a_paused_frame_stays_and_can_be_looked_at_closely(window, show, camera, spin):
    by_hand(window)
    image = scene()
    show(window, image)
    QTest.keyClick(window, Qt.Key.Key_Space)
    spin(lambda: window.eye._looking.seen.kept, what="the frame to be kept")
    for _ in range(20):  # more than the ring holds
        camera.put(np.zeros_like(image))
    window.canvas.zoom(4.0)
    spin(lambda: settled(window), what="the zoom")
    shown = window.canvas.picture.shown
    assert shown.frame.unique_id == 1
    x, y, w, h = shown.rectangle
    row, col = int(y + h / 2), int(x + w / 2)
    assert sampled(window, on_screen(window), row, col) == image[row, col]
    QTest.keyClick(window, Qt.Key.Key_Space)
    spin(lambda: window.canvas.picture.shown.frame.unique_id == 21, what="the newest frame")


def test_another_geometry_is_shown_whole(window, show):
    by_hand(window)
    show(window, scene())
    window.side.marks["roi"].toggle()
    image = scene(30, 20).astype(np.float32)
    show(window, image)
    assert window.readings.frame.text().startswith("30 × 20 float32")
    assert sampled(window, on_screen(window), 29, 19) == image[29, 19]
    row, col, rows, cols = window.canvas.marks.roi
    assert row + rows <= 30
    assert col + cols <= 20


def test_a_source_that_comes_again_is_followed(window, show, camera, spin):
    show(window, scene())
    camera.close()
    spin(lambda: "nobody writes" in window._words.text(), what="words about the ring that is gone")
    again = Camera()
    try:
        image = scene(50, 50)
        again.put(image)
        spin(lambda: window.canvas.picture.shown.shape == (50, 50), what="the new frames")
    finally:
        again.close()


def test_colours_are_shown_as_they_came(window, show):
    rgb = np.random.default_rng(2).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    window.actions_by_name["overlay"]()
    show(window, np.ascontiguousarray(np.moveaxis(rgb, 2, 0)), ColorMode.RGB3)
    pixels = on_screen(window)
    scale = pixels.shape[0] / 20
    got = pixels[int(7.5 * scale), int(12.5 * scale)]
    np.testing.assert_array_equal(got, rgb[7, 12])


def test_contrast_modes_change_what_is_black_and_white(window, show, spin):
    image = np.tile(np.arange(60, dtype=np.uint16) * 10 + 1000, (40, 1))
    image[0, 0] = 60000
    show(window, image)
    auto = window.canvas.picture.shown.wish.contrast.mode, window.side.contrast.shown_limits
    assert auto[0] == "auto"
    assert 1500 < auto[1][1] < 60000
    QTest.keyClick(window, Qt.Key.Key_M)
    spin(lambda: window.side.contrast.shown_limits == (1000, 60000), what="least and greatest")
    by_hand(window, 1100, 1300)
    spin(lambda: settled(window), what="limits by hand")
    pixels = on_screen(window)
    assert sampled(window, pixels, 20, 9) == 0
    assert sampled(window, pixels, 20, 20) == 128
    assert sampled(window, pixels, 20, 31) == 255


def test_a_region_is_measured_and_has_a_curve(window, show, spin):
    image = scene().astype(np.uint16)
    show(window, image)
    window.side.marks["roi"].toggle()
    spin(lambda: "mean" in window.side.region.text(), what="statistics")
    row, col, rows, cols = window.canvas.marks.roi
    mean = image[row : row + rows, col : col + cols].mean()
    assert f"mean {mean:.6g}" in window.side.region.text()
    spin(lambda: window.curve.isVisible(), what="the curve")


def test_a_line_shows_the_profile_where_it_is(window, show, spin):
    image = np.tile(np.arange(60, dtype=np.uint16), (40, 1))
    show(window, image)
    window.side.marks["line"].toggle()
    line = window.canvas.marks.line
    assert line is not None

    def profile() -> np.ndarray:
        return np.asarray(window.curve._line.getData()[1])

    spin(lambda: window.curve._line.getData()[1] is not None and profile().size > 2, what="the profile")
    np.testing.assert_array_equal(profile()[[0, -1]], np.rint([line[1], line[3]]))
    window.actions_by_name["horizontal"]()
    assert window.canvas.marks.line == line


def test_a_captured_flat_is_kept_and_corrects_what_is_seen(window, camera, show, spin, options):
    flat = (np.tile(np.linspace(100, 200, 60), (40, 1))).astype(np.uint16)
    show(window, flat)
    window.side.correction.capture.emit("flat", 2)

    def kept() -> bool:
        camera.put(flat)
        return bool(ReferenceStore(options.references).list("flat", "camera"))

    spin(kept, what="the flat")
    window.side.marks["cross"].toggle()
    QTest.keyClick(window, Qt.Key.Key_F)
    spin(lambda: "corrected: flat camera" in window.side.correction.note.text(), what="the correction")
    show(window, flat)
    assert window.canvas.picture.shown.value[0] == pytest.approx(flat.mean(), rel=1e-5)


def test_a_flat_from_a_file_is_used_and_saved_again(window, show, spin, tmp_path):
    image = np.full((40, 60), 300, np.uint16)
    show(window, image)
    np.save(tmp_path / "flat.npy", np.where(np.arange(60) < 30, 1.0, 3.0) * np.ones((40, 1)))
    window.keeping.load_reference(tmp_path / "flat.npy", "flat")
    window.side.marks["cross"].toggle()
    window.canvas.marks.cross_on(0, 0)
    spin(lambda: window.canvas.picture.shown.value == pytest.approx((600.0,)), what="the corrected value")
    window.keeping.save_reference(tmp_path / "again.npy", "flat")
    spin(lambda: (tmp_path / "again.npy").exists() and not window.keeping.chores.busy, what="the saved flat")
    assert np.load(tmp_path / "again.npy")[0, [0, 59]].tolist() == [1.0, 3.0]


def test_without_a_flat_it_says_so_in_words_and_shows_the_frame(window, show, spin):
    show(window, scene())
    QTest.keyClick(window, Qt.Key.Key_D)
    spin(lambda: "there is none in" in window.side.correction.note.text(), what="words")
    assert window.canvas.picture.shown.failed


def test_a_pipeline_is_applied_and_switched(open_window, show, spin, tmp_path):
    (tmp_path / "twice.py").write_text("class Twice:\n    def apply(self, img, meta):\n        return img * 2\n")
    document = {"processors": [{"name": "Twice", "module": "twice", "class": "Twice"}], "processors_dir": "."}
    (tmp_path / "pipeline.json").write_text(json.dumps(document))
    window = open_window(pipeline=str(tmp_path / "pipeline.json"))
    show(window, np.full((8, 8), 21, np.uint16))
    window.side.marks["cross"].toggle()
    spin(lambda: window.canvas.picture.shown.value == (42,), what="the pipeline")
    QTest.keyClick(window, Qt.Key.Key_P)
    spin(lambda: window.canvas.picture.shown.value == (21,), what="the raw value")


def test_every_frame_of_a_recording_is_a_tiff_file_with_its_values(window, camera, show, spin, options):
    image = scene().astype(np.uint16)
    show(window, image)
    recording = window.side.recording
    recording.directory.setText("today")
    recording.prefix.setText("growth")
    recording.button.click()
    spin(lambda: window.keeping.tape is not None and window.keeping.tape.pid, what="the recorder")
    due = [0.0]

    def written() -> bool:
        if time.monotonic() > due[0]:  # slow enough for a ring of eight
            due[0] = time.monotonic() + 0.02
            camera.put(image + camera.number)
        return window.keeping.tape.status["written"] >= 5

    spin(written, what="frames")
    recording.button.click()
    spin(lambda: window.keeping.tape is None, what="the end of the recording")
    files = sorted((options.recordings / "today").glob("growth_*.tiff"))
    assert len(files) >= 5
    assert files[0].name == "growth_000001.tiff"
    values = [int(tifffile.imread(file)[0, 0]) for file in files]
    assert np.diff(values).tolist() == [1] * (len(values) - 1)
    assert f"{len(files)} frames written" in recording._words.text()


def test_a_recording_that_leads_elsewhere_is_refused_in_words(window, show, spin):
    show(window, scene())
    window.side.recording.directory.setText("../elsewhere")
    window.side.recording.button.click()
    assert window.keeping.tape is None
    assert "recording" in window.side.recording._words.text()
    assert not window.side.recording.button.isChecked()


def test_a_single_frame_is_saved_with_its_values_or_as_it_looks(window, show, spin, options):
    by_hand(window)
    image = scene().astype(np.uint16)
    show(window, image)
    window.actions_by_name["horizontal"]()
    spin(lambda: settled(window), what="the flip")
    for kind in ("npy", "tiff", "png"):
        window.side.recording.save.emit(kind)
        spin(lambda kind=kind: list(options.recordings.glob(f"*.{kind}")) and not window.keeping.chores.busy, what=kind)
    (npy,), (tiff,), (png,) = (list(options.recordings.glob(f"*.{kind}")) for kind in ("npy", "tiff", "png"))
    np.testing.assert_array_equal(np.load(npy), image)
    np.testing.assert_array_equal(tifffile.imread(tiff), image)
    picture = QImage(str(png))
    assert (picture.width(), picture.height()) == (60, 40)
    assert picture.pixelColor(0, 3).red() == image[3, 59]


def test_frames_are_not_drawn_faster_than_allowed(open_window, camera, spin):
    window = open_window(max_fps=5.0)
    times: list[float] = []
    window.canvas.painted.connect(lambda: times.append(window.canvas.picture.shown.frame.received))

    def enough() -> bool:
        camera.put(scene())
        return window.canvas.picture.drawn >= 6

    spin(enough, what="six frames")
    stamps = sorted(set(times))[1:]  # the first one may wait until the window is there
    assert (stamps[-1] - stamps[0]) / (len(stamps) - 1) > 0.15


def test_a_wrong_pv_is_waited_for_in_words(window, spin):
    window.entry.setText("NO:SUCH:PV")
    QTest.keyClick(window.entry, Qt.Key.Key_Return)
    spin(lambda: "NO:SUCH:PV" in window._words.text() and "answer" in window._words.text(), what="words")
    assert window.canvas._words == window._words.text()


def test_what_is_no_pv_is_refused_in_words(window):
    window.entry.setText("two words")
    QTest.keyClick(window.entry, Qt.Key.Key_Return)
    assert "is no PV" in window._words.text()
    with pytest.raises(ConfigurationError):
        remembered.spec_of("")


def test_the_last_stream_and_look_are_remembered(open_window, camera, show):
    first = open_window()
    show(first, scene())
    first.actions_by_name["look"]()
    first.side.contrast.palette_box.setCurrentText("viridis")
    first.close()
    second = open_window(source="")
    show(second, scene())
    assert second.entry.text() == "camera"
    assert second.look.name == "light"
    assert second.side.contrast.palette_name == "viridis"


@pytest.mark.parametrize("text", ['{"stream": {"name": 3', "[1, 2]", '{"stream": {"name": 3}, "orientation": "x"}'])
def test_a_damaged_memory_is_forgotten(open_window, text):
    path = remembered.place()
    path.parent.mkdir(parents=True)
    path.write_text(text)
    window = open_window(source="")
    assert "write a PV" in window._words.text()


def test_every_key_has_something_to_do(window):
    assert {name for _, name, _ in KEYS} == window.actions_by_name.keys()
    assert len({key for key, _, _ in KEYS}) == len(KEYS)
