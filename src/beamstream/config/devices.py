"""What beamstream.toml may say of devices: one frozen model a kind."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from beamstream.config.section import Section
from beamstream.config.values import PV, Directory, Endpoint, OnLoss, PixelSize, Prefix, Seconds, Setting, Whole
from beamstream.ops.spectra import Band
from beamstream.sources.grey import Grey
from beamstream.sources.video_pixels import Limited


class ImageConfig(Section):
    """Describe the pixels of whatever makes images.

    Parameters
    ----------
    pixel_size : tuple of float, optional
        Of rows and columns; in the file also one number for both. None: not known.
    pixel_units : str
        What it is in.
    """

    pixel_size: PixelSize | None = None
    pixel_units: str = Field(default="um", min_length=1, max_length=20)


class PvaDetectorConfig(ImageConfig):
    """Describe a camera that sends NTNDArray images; its pixels as every image has them.

    Parameters
    ----------
    pv : str
        The image, ``PREFIX:Pva1:Image``.
    control : str, optional
        Prefix of its areaDetector records, ending in a colon; None for a camera that runs by itself.
    timeout : float
        Longest silence, s: of a connection, or of frames beyond two frame times.
    on_loss : {"mark", "fail"}, optional
        None: as `Recording.on_loss` says.
    """

    kind: Literal["pva_detector"]
    pv: PV
    control: Prefix | None = None
    timeout: Seconds = 10.0
    on_loss: OnLoss | None = None


class RheedConfig(PvaDetectorConfig):
    """Describe a RHEED camera: beside the keys of ``pva_detector`` how gun and sample stand.

    Each of them a number, or the name of the record that holds it; what is left out is not known.

    Parameters
    ----------
    rotations_per_min : float or str
        Of the sample.
    azimuth, direction : float or str, str
        Of the beam against the sample: deg; in words, ``[110]``.
    gun_energy, filament_current, emission_current : float or str
        keV, A, uA.
    incidence_angle, screen_distance : float or str
        deg between beam and surface; mm from sample to screen.
    """

    kind: Literal["rheed"]  # pyright: ignore[reportIncompatibleVariableOverride]
    rotations_per_min: Setting = 0.0
    azimuth: Setting = None
    direction: str | None = None
    gun_energy: Setting = None
    filament_current: Setting = None
    emission_current: Setting = None
    incidence_angle: Setting = None
    screen_distance: Setting = None

    @property
    def settings(self) -> dict[str, float | str]:
        """What is known about gun and sample, by name."""
        said = {name: getattr(self, name) for name in RheedConfig.__annotations__ if name != "kind"}
        return {name: value for name, value in said.items() if value is not None}


class SpectrometerConfig(Section):
    """Describe a publisher of averaged spectra over ZeroMQ.

    Parameters
    ----------
    address : str
        Where it publishes, ``tcp://127.0.0.1:9798``.
    polarization : {"all", "I", "V"} or int
        What to record of each spectrum.
    channel_averaging : int
        Record the mean of so many neighbouring channels.
    first_mhz, step_mhz : float
        Where the publisher's channels lie: channel i at first + i × step. OVRO-LWA's by default.
    timeout : float
        Longest silence, s, beyond twice the time between two spectra.
    on_loss : {"mark", "fail"}, optional
        None: as `Recording.on_loss` says.
    """

    kind: Literal["zmq_spectrometer"]
    address: Endpoint
    polarization: Literal["all", "I", "V"] | Whole = "all"
    channel_averaging: Whole = Field(default=1, ge=1)
    first_mhz: float = Field(default=Band().first, strict=True, allow_inf_nan=False)
    step_mhz: float = Field(default=Band().step, strict=True, allow_inf_nan=False)
    timeout: Seconds = 10.0
    on_loss: OnLoss | None = None

    @property
    def band(self) -> Band:
        """Where the channels lie."""
        return Band(self.first_mhz, self.step_mhz)


class VideoConfig(ImageConfig):
    """Describe a film; its pixels as every image has them.

    Parameters
    ----------
    path : Path
        Of the film; anything that FFmpeg reads.
    speed : float
        1: at its own pace; 0: as fast as it is recorded.
    grey : {"error", "keep", "luma", "mean", "red", "green", "blue"}
        What becomes of colours.
    limited : {"error", "keep", "expand"}
        What becomes of grey values whose black is 16 and whose white is 235.
    start : datetime, optional
        When its first picture was taken, with a time zone; None: as the film says, or the time of the file.
    fps : float, optional
        Pictures per second, in place of the times in the film.
    timeout : float
        Longest silence, s.
    on_loss : {"mark", "fail"}, optional
        None: as `Recording.on_loss` says.
    """

    kind: Literal["video"]
    path: Directory
    speed: float = Field(default=1.0, strict=True, ge=0, allow_inf_nan=False)
    grey: Grey = "error"
    limited: Limited = "error"
    start: AwareDatetime | None = None
    fps: Seconds | None = None
    timeout: Seconds = 10.0
    on_loss: OnLoss | None = None


class WebcamConfig(ImageConfig):
    """Describe a camera that only the operating system knows; its pixels as every image has them.

    Parameters
    ----------
    camera : int or str
        Its number, or a path or URL that OpenCV opens.
    grey : {"error", "keep", "luma", "mean", "red", "green", "blue"}
        What becomes of colours.
    size : tuple of int, optional
        Rows and columns to ask it for; None: as it is.
    fps : float, optional
        Frames per second to ask it for.
    timeout : float
        Longest silence, s, beyond two frame times.
    on_loss : {"mark", "fail"}, optional
        None: as `Recording.on_loss` says.
    """

    kind: Literal["webcam"]
    camera: Annotated[int, Field(strict=True, ge=0)] | Annotated[str, Field(strict=True, min_length=1)] = 0
    grey: Grey = "error"
    size: tuple[Annotated[Whole, Field(ge=1)], Annotated[Whole, Field(ge=1)]] | None = None
    fps: Seconds | None = None
    timeout: Seconds = 10.0
    on_loss: OnLoss | None = None


class MotorConfig(Section):
    """Describe an EPICS motor record; `pv` is the record's name."""

    kind: Literal["motor"]
    pv: PV


class SignalConfig(Section):
    """Describe one record that plans set and read, such as a shutter; an enumeration goes by its words."""

    kind: Literal["signal"]
    pv: PV


class NumberConfig(Section):
    """Describe a number that plans set and read, such as a temperature.

    Parameters
    ----------
    pv : str
        The record that is set.
    readback : str, optional
        The record that is read; the same by default.
    units : str, optional
        Where the records say none.
    """

    kind: Literal["number"]
    pv: PV
    readback: PV | None = None
    units: str | None = None


KINDS: dict[str, type[Section]] = {
    "pva_detector": PvaDetectorConfig,
    "rheed": RheedConfig,
    "zmq_spectrometer": SpectrometerConfig,
    "video": VideoConfig,
    "webcam": WebcamConfig,
    "motor": MotorConfig,
    "signal": SignalConfig,
    "number": NumberConfig,
}
DetectorConfig = PvaDetectorConfig | RheedConfig | SpectrometerConfig | VideoConfig | WebcamConfig
"""What records."""
DeviceConfig = Annotated[DetectorConfig | MotorConfig | SignalConfig | NumberConfig, Field(discriminator="kind")]
