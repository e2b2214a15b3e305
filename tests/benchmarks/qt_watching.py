"""Watch a PV in a window and say how that went: ``python qt_watching.py KIND PV SECONDS DIRECTORY``, a line of JSON.

KIND is ``viewer`` (ours), ``flat`` (ours, with a flat field), or ``plain``: a monitor and pyqtgraph's own ImageItem,
the way it is mostly done.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

PATIENCE = 60.0  # s for the first frames
SIZE = (1280, 820)


def measured(app: QApplication, drawn: Callable[[], int], seconds: float) -> dict[str, Any]:
    """Run the window; return frames drawn, and s of CPU of this process and of its children."""
    me = psutil.Process()
    deadline = time.monotonic() + PATIENCE
    while drawn() < 30:
        app.processEvents()
        time.sleep(0.001)
        assert time.monotonic() < deadline, "no frames"
    taps = [child for child in me.children(recursive=True) if "beamstream.watching.tap" in child.cmdline()]

    def cpu() -> list[float]:
        return [sum(p.cpu_times()[:2]) for p in (me, *taps)]

    before, first, began = cpu(), drawn(), time.monotonic()
    loop = QEventLoop()
    QTimer.singleShot(int(1000 * seconds), loop.quit)
    loop.exec()
    span = time.monotonic() - began
    spent = [after - then for after, then in zip(cpu(), before, strict=True)]
    return {"shown": (drawn() - first) / span, "viewer": spent[0] / span, "taps": sum(spent[1:]) / span}


def viewer(app: QApplication, pv: str, seconds: float, place: Path, flat: bool) -> dict[str, Any]:
    """Measure ours."""
    from beamstream.viewers.qt.options import Options
    from beamstream.viewers.qt.window import Window

    window = Window(Options(source=pv, recordings=place, references=place))
    window.resize(*SIZE)
    window.show()
    window.side.correction.boxes["flat"].setChecked(flat)
    try:
        said = measured(app, lambda: window.canvas.picture.drawn, seconds)
        shown = window.canvas.picture.shown
        assert shown is not None
        return said | {"corrected": shown.note.startswith("corrected"), "came": window._status["rate"]}
    finally:
        window.close()


def plain(app: QApplication, pv: str, seconds: float) -> dict[str, Any]:
    """Measure a monitor with an ImageItem."""
    import pvaccess
    import pyqtgraph as pg

    newest: list[Any] = [None]
    drawn = [0]

    class Item(pg.ImageItem):
        def paint(self, *arguments: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            super().paint(*arguments)
            drawn[0] += 1

    view: Any = pg.GraphicsLayoutWidget()
    box = view.addViewBox(lockAspect=True, invertY=True)
    item = Item(axisOrder="row-major")
    box.addItem(item)
    view.resize(958, 749)
    view.show()
    channel = pvaccess.Channel(pv)  # pyright: ignore[reportAttributeAccessIssue]

    def heard(update: Any) -> None:
        value, dims = update["value"][0], update["dimension"]
        (array,) = value.values()
        newest[0] = array.reshape([d["size"] for d in dims][::-1])

    def draw() -> None:
        image, newest[0] = newest[0], None
        if image is not None:
            item.setImage(image, levels=(0, 255 if image.dtype.itemsize == 1 else 4095))

    channel.subscribe("plain", heard)
    channel.startMonitor("record[queueSize=50]field()")
    timer = QTimer()
    timer.timeout.connect(draw)
    timer.start(2)
    try:
        return measured(app, lambda: drawn[0], seconds)
    finally:
        channel.stopMonitor()
        view.close()


def main() -> None:
    """Measure, and say it."""
    kind, pv, seconds, place = sys.argv[1], sys.argv[2], float(sys.argv[3]), Path(sys.argv[4])
    app = QApplication([])
    said = plain(app, pv, seconds) if kind == "plain" else viewer(app, pv, seconds, place, kind == "flat")
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
