"""The devices that the configuration describes, and which of them answer."""

import threading
import time
from collections.abc import Mapping
from typing import Any

from ophyd import Device, EpicsMotor, EpicsSignal

from beamstream.config import (
    Config,
    DetectorConfig,
    DeviceConfig,
    MotorConfig,
    NumberConfig,
    PvaDetectorConfig,
    Recording,
    RheedConfig,
    SignalConfig,
    SpectrometerConfig,
    VideoConfig,
    WebcamConfig,
)
from beamstream.errors import BeamstreamError
from devices.number import EpicsNumber
from devices.pva_detector import PvaDetector
from devices.rheed import RheedDetector
from devices.spectrometer import ZmqSpectrometer
from devices.video import VideoDetector, WebcamDetector

_SETTLE = 0.02  # s
_PUT_TIMEOUT = 10.0  # s; without one a shutter that is stuck could not even be closed again


def make_devices(config: Config) -> dict[str, Device | EpicsSignal]:
    """Return the devices by name, in the file's order; connecting goes on in the background.

    A PV that does not answer costs no time here: its device says so when it is used.
    Apply the configuration's [epics] section before this module is imported (`config.apply_environment`).
    """
    return {name: _make(name, device, config.recording) for name, device in config.devices.items()}


def wait_for_devices(devices: Mapping[str, Any], timeout: float) -> dict[str, bool]:
    """Ask all devices at once whether they answer, at most `timeout` seconds for all together; return which do."""
    asking = [threading.Thread(target=_ask, args=(d, timeout), daemon=True) for d in devices.values()]
    for thread in asking:
        thread.start()
    deadline = time.monotonic() + timeout
    for thread in asking:
        thread.join(max(0.0, deadline - time.monotonic()))
    return {name: bool(device.connected) for name, device in devices.items()}


def _ask(device: Any, timeout: float) -> None:
    source = getattr(device, "_source", None)  # pvaccess does not connect before it is asked for something
    try:
        if source is not None:
            source.connect(timeout)
        device.wait_for_connection(timeout=timeout)
    except (BeamstreamError, TimeoutError):
        pass  # `connected` says so


def _make(name: str, device: DeviceConfig, recording: Recording) -> Device | EpicsSignal:
    match device:
        case RheedConfig():
            return RheedDetector(device.pv, name=name, settings=device.settings, **_camera(device, recording))
        case PvaDetectorConfig():
            return PvaDetector(device.pv, name=name, **_camera(device, recording))
        case SpectrometerConfig():
            return ZmqSpectrometer(
                device.address,
                name=name,
                polarization=device.polarization,
                channel_averaging=device.channel_averaging,
                band=device.band,
                **_recorded(device, recording),
            )
        case VideoConfig():
            return VideoDetector(
                device.path,
                name=name,
                speed=device.speed,
                grey=device.grey,
                limited=device.limited,
                start=device.start,
                fps=device.fps,
                **_images(device, recording),
            )
        case WebcamConfig():
            webcam = {"grey": device.grey, "size": device.size, "fps": device.fps}
            return WebcamDetector(device.camera, name=name, **webcam, **_images(device, recording))
        case MotorConfig():
            # ophyd may miss the end of a move that begins in the instant another one ends
            return EpicsMotor(device.pv, name=name, settle_time=_SETTLE)
        case SignalConfig():
            return EpicsSignal(device.pv, name=name, string=True, write_timeout=_PUT_TIMEOUT)
        case NumberConfig():
            return EpicsNumber(device.pv, readback=device.readback, units=device.units, name=name)


def _camera(device: PvaDetectorConfig, recording: Recording) -> dict[str, Any]:
    """Return what every camera is told."""
    return {"control": device.control, "queue_size": recording.queue_size, **_images(device, recording)}


def _images(device: PvaDetectorConfig | VideoConfig | WebcamConfig, recording: Recording) -> dict[str, Any]:
    """Return what everything that makes images is told."""
    return {"pixel_size": device.pixel_size, "pixel_units": device.pixel_units, **_recorded(device, recording)}


def _recorded(device: DetectorConfig, recording: Recording) -> dict[str, Any]:
    """Return what every detector is told about keeping its frames."""
    return {
        "directory": recording.directory,
        "on_loss": device.on_loss or recording.on_loss,
        "timeout": device.timeout,
        "ring_memory": recording.ring_memory,
    }
