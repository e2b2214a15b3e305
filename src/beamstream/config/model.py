"""The whole of beamstream.toml."""

from pathlib import Path

from pydantic import Field, ValidationInfo, model_validator

from beamstream.config.callbacks import Callbacks
from beamstream.config.devices import DeviceConfig
from beamstream.config.section import Section
from beamstream.config.services import Archive, Epics, Ingest, Live, Recording
from beamstream.config.values import DeviceName


class Config(Section):
    """Everything that beamstream.toml says, checked; paths are absolute."""

    archive: Archive = Field(default_factory=Archive)
    ingest: Ingest = Field(default_factory=Ingest)
    live: Live = Field(default_factory=Live)
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
    "ingest": Ingest,
    "live": Live,
    "recording": Recording,
    "epics": Epics,
    "callbacks": Callbacks,
}
