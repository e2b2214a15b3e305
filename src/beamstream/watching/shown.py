"""Sources as they are to be looked at: with their colours, at their own pace, one polarization."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from beamstream.ops.spectra import Selection
from beamstream.sources.base import Source
from beamstream.watching.streams import StreamSpec

_WAITING = 64 * 2**20  # bytes of spectra, while Python is busy
_QUEUE = 50  # updates of PVAccess


def source_of(spec: StreamSpec, *, present: bool = False) -> Source:
    """Return the source of a stream; nothing is connected yet.

    Parameters
    ----------
    spec : StreamSpec
    present : bool
        Whether the frame that a camera has already is delivered, too.

    Raises
    ------
    ConfigurationError, ValueError
        Something in `about` cannot be.
    """
    about, name = spec.about, spec.name
    match spec.kind:
        case "pva_detector" | "rheed":
            from beamstream.sources.pva import PvaSource

            return PvaSource(about["pv"], name=name, queue_size=_QUEUE, present=present)
        case "zmq_spectrometer":
            from beamstream.sources.spectra import SpectraSource

            treat = Shown(about.get("polarization", "all"), about.get("channel_averaging", 1))
            return SpectraSource(about["address"], name=name, treat=treat, memory=_WAITING)
        case "video":
            from beamstream.sources.video import VideoSource

            limited = about.get("limited", "error")
            return VideoSource(
                about["path"],
                name=name,
                speed=about.get("speed") or 1.0,
                grey=_grey(about),
                limited="keep" if limited == "error" else limited,
                fps=about.get("fps"),
            )
        case "webcam":
            from beamstream.sources.webcam import WebcamSource

            size = about.get("size")
            return WebcamSource(
                about.get("camera", 0), name=name, grey=_grey(about), size=size and tuple(size), fps=about.get("fps")
            )
    raise ValueError(f"{name}: a stream of kind {spec.kind!r} asked for, which has no source")


class Shown:
    """Choose what is shown of a spectrum: what its device records, intensity if that is everything.

    Parameters
    ----------
    polarization : {"all", "I", "V"} or int
    average : int
        Channels that become one.
    """

    def __init__(self, polarization: Any, average: int) -> None:
        self._asked: Any = "I" if polarization == "all" else polarization
        self._average = average
        self._select = Selection(self._asked, average)

    def check(self, shape: tuple[int, ...]) -> None:
        """Say what cannot be done with spectra of a shape; without a second polarization the first is shown."""
        alone = shape[-1] < 2 and self._asked == "I"
        self._select = Selection(0 if alone else self._asked, self._average)
        self._select.check(shape)

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        return self._select(values)


def _grey(about: Mapping[str, Any]) -> Any:
    """Return what becomes of colours: for the eye they are kept unless somebody chose."""
    grey = about.get("grey", "error")
    return "keep" if grey == "error" else grey
