"""Where pictures are shown: in windows, or in PNG files."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from beamstream.plots import look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BACKENDS = ("QtAgg", "TkAgg")
_SIZE = (9.6, 8.0)  # in


class Screen(Protocol):
    """Somewhere pictures are shown.

    Attributes
    ----------
    name : str
        For the one who asks what it is.
    period : float
        How often to draw, s, if nobody says.
    slice : float
        How long it may be left alone, s.
    """

    name: str
    period: float
    slice: float

    def figure(self, title: str) -> "Figure":
        """Return a new, empty figure."""
        ...

    def show(self, figure: "Figure", name: str) -> None:
        """Show what was drawn into a figure's canvas."""
        ...

    def keep(self, figure: "Figure", name: str) -> Path | None:
        """Keep what was drawn, if there is a place for it."""
        ...

    def gone(self, figure: "Figure") -> bool:
        """Return whether the user has closed it."""
        ...

    def live(self) -> None:
        """Do what users ask for, such as moving a window; does not wait."""
        ...


class Files:
    """Pictures as PNG files; each appears whole, in place of the one before.

    Parameters
    ----------
    directory : path
        Made if missing.
    """

    period = 1.0
    slice = 0.05

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory).absolute()
        self.name = f"PNG files in {self._directory}"

    def figure(self, title: str) -> "Figure":
        """Return a new, empty figure; its size is for whoever draws."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=_SIZE, dpi=look.DPI)
        FigureCanvasAgg(figure)
        return figure

    def show(self, figure: "Figure", name: str) -> None:
        """Write ``<name>_live.png``."""
        self._write(figure, f"{name}_live.png", 1)

    def keep(self, figure: "Figure", name: str) -> Path:
        """Write ``<name>.png``."""
        return self._write(figure, f"{name}.png", 6)

    def _write(self, figure: "Figure", name: str, compression: int) -> Path:
        from PIL import Image

        canvas: Any = figure.canvas
        width, height = canvas.get_width_height(physical=True)
        picture = Image.frombuffer("RGBA", (width, height), canvas.buffer_rgba(), "raw", "RGBA", 0, 1).convert("RGB")
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / name
        partial = path.with_name(f".{name}.{uuid4().hex}")
        try:
            picture.save(partial, "PNG", compress_level=compression, dpi=(look.DPI, look.DPI))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return path

    def gone(self, figure: "Figure") -> bool:
        """Return False: nobody closes files."""
        return False

    def live(self) -> None:
        """Do nothing."""


class Windows:
    """Pictures in windows of the desktop, by matplotlib's `backend`.

    Raises
    ------
    ImportError, RuntimeError
        The toolkit is not installed, or there is no display.
    """

    period = 0.1
    slice = 0.02

    def __init__(self, backend: str) -> None:
        import matplotlib.pyplot as plt

        plt.switch_backend(backend)
        self._plt = plt
        self.name = f"windows ({backend})"

    def figure(self, title: str) -> "Figure":
        """Open a window."""
        figure = self._plt.figure(num=title, figsize=_SIZE, clear=True)
        figure.canvas.manager.show()  # pyright: ignore[reportOptionalMemberAccess]
        return figure

    def show(self, figure: "Figure", name: str) -> None:
        """Bring what was drawn onto the display."""
        canvas: Any = figure.canvas
        canvas.blit(figure.bbox)

    def keep(self, figure: "Figure", name: str) -> None:
        """Keep nothing: the window stays."""

    def gone(self, figure: "Figure") -> bool:
        """Return whether the user has closed the window."""
        return not self._plt.fignum_exists(figure.number)  # pyright: ignore[reportAttributeAccessIssue]

    def live(self) -> None:
        """Do what users ask for."""
        for number in self._plt.get_fignums():
            canvas: Any = self._plt.figure(number).canvas
            canvas.flush_events()


def choose(directory: str | None, fallback: str) -> Screen:
    """Return windows where there is a display and no directory is given, otherwise files."""
    if directory is None and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        for backend in _BACKENDS:
            try:
                return Windows(backend)
            except (ImportError, RuntimeError):
                continue
    return Files(directory or fallback)
