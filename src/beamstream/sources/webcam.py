"""Frames from a camera that only the operating system knows, through OpenCV."""

import threading
import time
from itertools import count
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import NotAnImage, NotConnected, SourceError
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sources.base import Listener, tell_failure
from beamstream.sources.grey import Grey, checked_rule, to_grey


class WebcamSource:
    """Follow one camera; a `beamstream.sources.base.Source`.

    Frames are numbered from 0 as they are taken from the driver, and carry the time at which that happened: such
    cameras have neither a clock nor a count. What the driver drops while nobody asks is not known to anybody.

    Parameters
    ----------
    camera : int or str
        The number of the camera, or a path or URL that OpenCV opens.
    name : str
        Who speaks in errors; the detector's name.
    grey : {"error", "keep", "luma", "mean", "red", "green", "blue"}
        What becomes of colours: they are refused, kept (RGB1), or made grey.
    size : tuple of int, optional
        Rows and columns to ask the camera for; None: as it is.
    fps : float, optional
        Frames per second to ask for; None: as it is.

    Raises
    ------
    ValueError
        An option cannot be.
    """

    def __init__(
        self,
        camera: int | str,
        *,
        name: str = "",
        grey: Grey = "error",
        size: tuple[int, int] | None = None,
        fps: float | None = None,
    ) -> None:
        self.camera = camera
        self.name = name or f"webcam {camera}"
        if fps is not None and not 0 < fps < float("inf"):
            raise ValueError(f"{self.name}: fps {fps:g} given; use frames per second, above 0")
        if size is not None and min(size) < 1:
            raise ValueError(f"{self.name}: size {size} given; use rows and columns, both above 0")
        self.grey: Grey = checked_rule(self.name, grey)
        self._size, self._fps = size, fps
        self._answered = False
        self._geometry: Geometry | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.period: float | None = None
        """Seconds from one frame to the next, as the driver says; None if it does not."""

    @property
    def uri(self) -> str:
        """What documents call it."""
        return f"webcam://{self.camera}"

    @property
    def connected(self) -> bool:
        """Whether the camera answered when it was asked last."""
        return self._answered

    def connect(self, timeout: float) -> Geometry:
        """Take a frame to see what it is like, and let go of the camera. May be called while it is started.

        Raises
        ------
        NotConnected
            There is no such camera, or it gave no frame.
        NotAnImage
            Its frames have colours, and nobody said what becomes of them.
        SourceError
            It has no such size, or OpenCV is not installed.
        """
        if self._thread is not None and self._geometry is not None:
            return self._geometry
        self._answered = False
        cv2 = _opencv(self.name)
        capture = self._opened(cv2)
        try:
            ok, raw = capture.read()
            rate = capture.get(cv2.CAP_PROP_FPS)
        finally:
            capture.release()
        if not ok:
            raise NotConnected(f"{self.name}: {self.uri} is open, but gave no frame; is another program using it?")
        self._answered = True
        self.period = 1 / rate if 0 < rate < 1e6 else None
        self._geometry = Geometry.of(*self._image(raw))
        return self._geometry

    def start(self, listener: Listener, timeout: float) -> None:
        """Begin to deliver to `listener`, in a thread of its own.

        Raises
        ------
        NotConnected
            The camera does not answer.
        """
        self.stop()
        self._stopping.clear()
        arguments = (self._opened(_opencv(self.name)), listener)
        self._thread = threading.Thread(target=self._follow, args=arguments, name=f"{self.name}-webcam", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop delivering, and let go of the camera; a call that is under way ends first. Twice does no harm."""
        self._stopping.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
            self._thread = None

    def close(self) -> None:
        """Stop and give everything back; the source cannot be used again."""
        self.stop()

    def _opened(self, cv2: ModuleType) -> Any:
        capture = cv2.VideoCapture(self.camera)
        if not capture.isOpened():
            raise NotConnected(f"{self.name}: there is no {self.uri}, or another program has it; see /dev/video*")
        if self._size is not None:
            rows, columns = self._size
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, rows)
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, columns)
            is_now = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
            if is_now != (rows, columns):
                capture.release()
                gives = f"{is_now[0]} × {is_now[1]}"
                raise SourceError(f"{self.name}: {rows} × {columns} asked for, the camera gives {gives}; ask for that")
        if self._fps is not None:
            capture.set(cv2.CAP_PROP_FPS, self._fps)
        return capture

    def _image(self, raw: NDArray[Any]) -> tuple[NDArray[Any], ColorMode]:
        """Return what is to be delivered of a frame of OpenCV's, whose colours are blue, green, red."""
        if raw.ndim == 2 or raw.shape[2] == 1:
            return _read_only(raw.reshape(raw.shape[:2])), ColorMode.MONO
        if self.grey == "error":
            raise NotAnImage(
                f"{self.name}: the frames of {self.uri} have colours; say what becomes of them: "
                'grey = "luma", "mean", "red", "green" or "blue", or grey = "keep" for all three'
            )
        image = to_grey(np.ascontiguousarray(raw[..., 2::-1]), self.grey)
        return _read_only(image), ColorMode.RGB1 if self.grey == "keep" else ColorMode.MONO

    # the source's thread

    def _follow(self, capture: Any, listener: Listener) -> None:
        try:
            for number in count():
                ok, raw = capture.read()
                now = time.time()
                if self._stopping.is_set():
                    return
                if not ok:
                    self._answered = False
                    raise NotConnected(f"{self.name}: {self.uri} gave {number} frames and no more; is it plugged in?")
                image, mode = self._image(raw)
                listener.frame(Frame(image, Geometry.of(image, mode), number, now, now, self.uri), 0)
        except Exception as e:
            tell_failure(listener, e, self.name)
        finally:
            capture.release()


def _read_only(image: NDArray[Any]) -> NDArray[Any]:
    image.flags.writeable = False
    return image


def _opencv(who: str) -> ModuleType:
    try:
        import cv2
    except ImportError as e:
        raise SourceError(
            f"{who}: webcams want OpenCV, which is not installed ({e}); pip install 'beamstream[webcam]'"
        ) from None
    cv2.utils.logging.setLogLevel(0)  # it would print; what matters comes as an error
    return cv2
