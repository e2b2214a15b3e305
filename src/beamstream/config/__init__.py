"""Configuration: one beamstream.toml, one frozen tree of models, errors that name file, line and key."""

from beamstream.config.complaints import KEY_VARIABLE
from beamstream.config.devices import (
    KINDS,
    DetectorConfig,
    DeviceConfig,
    MotorConfig,
    NumberConfig,
    PvaDetectorConfig,
    RheedConfig,
    SignalConfig,
    SpectrometerConfig,
    VideoConfig,
    WebcamConfig,
)
from beamstream.config.environment import apply_environment
from beamstream.config.model import Config
from beamstream.config.reading import FILE_NAME, VARIABLE, find, load
from beamstream.config.services import Archive, Epics, Ingest, Live, Recording
from beamstream.config.values import RESERVED, OnLoss

__all__ = [
    "FILE_NAME",
    "KEY_VARIABLE",
    "KINDS",
    "RESERVED",
    "VARIABLE",
    "Archive",
    "Config",
    "DetectorConfig",
    "DeviceConfig",
    "Epics",
    "Ingest",
    "Live",
    "MotorConfig",
    "NumberConfig",
    "OnLoss",
    "PvaDetectorConfig",
    "Recording",
    "RheedConfig",
    "SignalConfig",
    "SpectrometerConfig",
    "VideoConfig",
    "WebcamConfig",
    "apply_environment",
    "find",
    "load",
]
