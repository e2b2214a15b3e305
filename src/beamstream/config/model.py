"""What beamstream.toml may say: one frozen model a section, one a kind of device."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, model_validator

from beamstream.config.callbacks import Callbacks
from beamstream.config.section import Section
from beamstream.config.values import (
    PV,
    Addresses,
    DeviceName,
    Directory,
    Endpoint,
    OnLoss,
    Prefix,
    Seconds,
    Switch,
    Whole,
    is_loopback,
)
from beamstream.ops.spectra import Band


class Archive(Section):
    """Say where the archive lives and how it is served.

    Parameters
    ----------
    directory : Path
        Catalogue, event tables, journals. Absolute after loading.
    host : str
        Address that the server listens on.
    port : int
        0: a free port, another one at each start.
    anonymous_read : bool
        Whether readers need no key; on the loopback interface only.
    start : {"process", "no"}
        Whether a session starts the server, as a process of its own, when none runs.
    """

    directory: Directory = Path("data")
    host: str = Field(default="127.0.0.1", min_length=1)  # an empty one would mean every interface
    port: Whole = Field(default=8710, ge=0, le=65535)
    anonymous_read: Switch = False
    start: Literal["process", "no"] = "process"

    @model_validator(mode="after")
    def _beyond_loopback_wants_a_key(self) -> "Archive":
        if self.anonymous_read and not is_loopback(self.host):
            raise ValueError(
                f"anonymous_read = true with host = {self.host!r} would show every run to the network; "
                'set anonymous_read = false, or host = "127.0.0.1"'
            )
        return self


class Recording(Section):
    """Say where frames are kept and what happens when some are missing.

    Parameters
    ----------
    directory : Path
        Recorded files; ``recordings`` in the archive's directory when the file names none.
    on_loss : {"mark", "fail"}
        Missing frames are written into the ledger, or fail the run as well.
    ring_memory_mb : int
        Shared memory for the frames of one detector, MiB.
    queue_size : int
        Updates that PVAccess keeps for us while we are busy.
    """

    directory: Directory = Path("data/recordings")
    on_loss: OnLoss = "mark"
    ring_memory_mb: Whole = Field(default=512, ge=1)
    queue_size: Whole = Field(default=50, ge=2)

    @property
    def ring_memory(self) -> int:
        """Shared memory for the frames of one detector, bytes."""
        return self.ring_memory_mb * 2**20


class Epics(Section):
    """Say how EPICS is spoken; what is None stays as the environment has it.

    Parameters
    ----------
    control_layer : {"caproto", "pyepics"}
        What ophyd speaks Channel Access with.
    ca_addr_list, pva_addr_list : tuple of str, optional
        Where to search; in the file a list, or one string with blanks.
    auto_addr_list : bool, optional
        Whether to search all local networks too, for Channel Access and PVAccess alike.
    """

    control_layer: Literal["caproto", "pyepics"] = "caproto"
    ca_addr_list: Addresses | None = None
    pva_addr_list: Addresses | None = None
    auto_addr_list: Switch | None = None


class PvaDetectorConfig(Section):
    """Describe a camera that sends NTNDArray images.

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


class MotorConfig(Section):
    """Describe an EPICS motor record; `pv` is the record's name."""

    kind: Literal["motor"]
    pv: PV


class SignalConfig(Section):
    """Describe one record that plans set and read, such as a shutter; an enumeration goes by its words."""

    kind: Literal["signal"]
    pv: PV


KINDS: dict[str, type[Section]] = {
    "pva_detector": PvaDetectorConfig,
    "zmq_spectrometer": SpectrometerConfig,
    "motor": MotorConfig,
    "signal": SignalConfig,
}
DetectorConfig = PvaDetectorConfig | SpectrometerConfig
"""What records."""
DeviceConfig = Annotated[DetectorConfig | MotorConfig | SignalConfig, Field(discriminator="kind")]


class Config(Section):
    """Everything that beamstream.toml says, checked; paths are absolute."""

    archive: Archive = Field(default_factory=Archive)
    recording: Recording = Field(default_factory=Recording)
    epics: Epics = Field(default_factory=Epics)
    callbacks: Callbacks = Field(default_factory=Callbacks)
    devices: dict[DeviceName, DeviceConfig] = Field(default_factory=dict)
    _file: Path | None = None

    @property
    def file(self) -> Path | None:
        """Where this was read from; None for the built-in defaults."""
        return self._file

    @model_validator(mode="after")
    def _remember_the_file(self, info: ValidationInfo) -> "Config":
        if info.context:
            self._file = info.context["file"]
        return self

    @model_validator(mode="after")
    def _recordings_lie_in_the_archive(self) -> "Config":
        if "directory" not in self.recording.model_fields_set:
            where = {"directory": self.archive.directory / "recordings"}
            object.__setattr__(self, "recording", self.recording.model_copy(update=where))
        return self


SECTIONS: dict[str, type[Section]] = {
    "archive": Archive,
    "recording": Recording,
    "epics": Epics,
    "callbacks": Callbacks,
}
