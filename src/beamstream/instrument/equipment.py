"""The devices that the configuration describes, and which of them answer."""

import time
from collections.abc import Mapping
from typing import Any

from ophyd import Device, EpicsMotor

from beamstream.config import Config, MotorConfig, PvaDetectorConfig, Recording
from devices.pva_detector import PvaDetector

_POLL = 0.01  # s


def make_devices(config: Config) -> dict[str, Device]:
    """Return the devices by name, in the file's order; connecting goes on in the background.

    A PV that does not answer costs no time here: its device says so when it is used.
    Apply the configuration's [epics] section before this module is imported (`config.apply_environment`).
    """
    return {name: _make(name, device, config.recording) for name, device in config.devices.items()}


def wait_for_devices(devices: Mapping[str, Any], timeout: float) -> dict[str, bool]:
    """Wait until all devices are connected, at most `timeout` seconds for all together; return which are."""
    deadline = time.monotonic() + timeout
    while True:
        connected = {name: bool(device.connected) for name, device in devices.items()}
        if all(connected.values()) or time.monotonic() > deadline:
            return connected
        time.sleep(_POLL)


def _make(name: str, device: PvaDetectorConfig | MotorConfig, recording: Recording) -> Device:
    match device:
        case PvaDetectorConfig():
            return PvaDetector(
                device.pv,
                name=name,
                control=device.control,
                directory=recording.directory,
                on_loss=device.on_loss or recording.on_loss,
                timeout=device.timeout,
                ring_memory=recording.ring_memory,
                queue_size=recording.queue_size,
            )
        case MotorConfig():
            return EpicsMotor(device.pv, name=name)
