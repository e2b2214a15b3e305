"""Devices: do they answer, with frames, how fast, and are any missing?"""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from beamstream.cli.checks.finding import Finding, fail, ok, warn
from beamstream.config import (
    Config,
    DetectorConfig,
    MotorConfig,
    PvaDetectorConfig,
    SpectrometerConfig,
    VideoConfig,
    WebcamConfig,
)
from beamstream.errors import BeamstreamError, CodecError, NotConnected, SourceError
from beamstream.frames import ARRIVAL, CAMERA_TIMESTAMP, Frame
from beamstream.sources.base import Source

_LOOK = 1.5  # s that frames are counted
_DAY = 86400.0  # s
_PATIENCE = 3.0  # s for a PV to answer


@dataclass(slots=True)
class _Count:
    """Count frames; a `beamstream.sources.base.Listener`."""

    frames: int = 0
    nbytes: int = 0
    lost: int = 0
    repeated_updates: int = 0
    bad: int = 0
    unnumbered: int = 0
    error: Exception | None = None
    clock_off: float = 0.0  # s that it is behind ours
    first: float = 0.0
    last: float = 0.0

    def frame(self, frame: Frame, missing: int | None) -> None:
        self.last = time.monotonic()
        self.first = self.first or self.last
        self.frames += 1
        self.nbytes += frame.payload.nbytes
        self.lost += missing or 0
        self.unnumbered += missing is None
        if CAMERA_TIMESTAMP in frame.attributes and frame.clock == ARRIVAL:
            self.clock_off = frame.received - frame.stamped

    def repeated(self) -> None:
        self.repeated_updates += 1

    def malformed(self, error: BeamstreamError) -> None:
        self.failed(error)

    def connection(self, up: bool) -> None: ...

    def failed(self, error: Exception) -> None:
        self.bad += 1
        self.error = error

    @property
    def rate(self) -> float:
        """Frames/s."""
        return (self.frames - 1) / (self.last - self.first) if self.frames > 1 else 0.0

    @property
    def data_rate(self) -> float:
        """Bytes/s."""
        return self.rate * self.nbytes / self.frames if self.frames else 0.0


def devices(config: Config, rates: dict[str, float]) -> Iterator[Finding]:
    """Look at each device of the configuration, without starting or changing it.

    Parameters
    ----------
    config : Config
    rates : dict
        Filled with bytes/s by detector, for who looks at the disk next.
    """
    if not config.devices:
        yield warn("devices", "the configuration describes none", "describe them in beamstream.toml, [devices.NAME]")
    for name, device in config.devices.items():
        if isinstance(device, DetectorConfig):
            yield from _detector(name, device, rates)
        else:
            yield _records(name, device.pv, {"": "motor record" if isinstance(device, MotorConfig) else "record"})


def _source(name: str, device: DetectorConfig) -> Source:
    if isinstance(device, SpectrometerConfig):
        from beamstream.sources.spectra import SpectraSource

        return SpectraSource(device.address, name=name)
    if isinstance(device, VideoConfig):
        from beamstream.sources.video import VideoSource

        return VideoSource(device.path, name=name, grey=device.grey, limited=device.limited, fps=device.fps)
    if isinstance(device, WebcamConfig):
        from beamstream.sources.webcam import WebcamSource

        return WebcamSource(device.camera, name=name, grey=device.grey, size=device.size, fps=device.fps)
    from beamstream.sources.pva import PvaSource

    return PvaSource(device.pv, name=name)


def _detector(name: str, device: DetectorConfig, rates: dict[str, float]) -> Iterator[Finding]:
    source = _source(name, device)
    place = source.uri.partition("://")[2]
    try:
        geometry = source.connect(min(device.timeout, _PATIENCE))
        if geometry is None:
            yield warn(name, f"{place} answers, and has no frame yet", "acquire one frame with it")
            return
        yield ok(name, f"{place} sends {geometry}")
        count = _Count()
        source.start(count, _PATIENCE)
        threading.Event().wait(_LOOK)
    except (SourceError, CodecError) as error:
        text, _, advice = str(error).partition("; ")
        if isinstance(device, PvaDetectorConfig) and isinstance(error, NotConnected):
            advice += f"; EPICS_PVA_ADDR_LIST is {os.environ.get('EPICS_PVA_ADDR_LIST', 'not set')}"
        yield fail(name, text, advice)
        return
    finally:
        source.close()
    rates[name] = count.data_rate
    control = device.control if isinstance(device, PvaDetectorConfig) else None
    yield _seen(name, control, count)
    yield from _oddities(name, count)
    if control:
        yield _records(name, control, {"Acquire": "control", "DetectorState_RBV": "", "ImageMode": ""})


def _seen(name: str, control: str | None, count: _Count) -> Finding:
    if count.error is not None:
        text, _, advice = str(count.error).partition("; ")
        return fail(name, f"{count.frames} frames in {_LOOK} s, {count.bad} malformed: {text}", advice)
    if count.lost:
        return warn(
            name,
            f"{count.frames} frames in {_LOOK} s, {count.lost} lost",
            "look at the network and at the load of this machine; raise [recording] queue_size",
        )
    if count.frames > 1:
        lost = "" if count.unnumbered else f", none lost in {_LOOK} s"
        return ok(name, f"{count.rate:.1f} frames/s, {count.data_rate / 1e6:.1f} MB/s{lost}")
    if control:
        return ok(name, f"no new frame in {_LOOK} s: it waits for {control}Acquire")
    return warn(name, f"{count.frames} new frames in {_LOOK} s", "is the detector acquiring? nothing here starts it")


def _oddities(name: str, count: _Count) -> Iterator[Finding]:
    """Name what is recorded all the same, and not as it could be."""
    if count.unnumbered:
        yield warn(
            name,
            f"the numbers of {count.unnumbered} of {count.frames} frames do not go on: losses cannot be counted",
            "have the server count uniqueId up by one a frame; runs of it are never whole",
        )
    if count.clock_off:
        days = abs(count.clock_off) / _DAY
        yield warn(
            name,
            f"its clock is {days:.0f} days {'behind' if count.clock_off > 0 else 'ahead of'} ours: frames are dated by "
            "their arrival",
            "set the camera's clock, or the time stamp that its driver takes",
        )


def _records(name: str, prefix: str, records: dict[str, str]) -> Finding:
    """Ask Channel Access records, all at once."""
    from ophyd import EpicsSignalRO

    signals = {pv: EpicsSignalRO(f"{prefix}{pv}", name=f"{name}_{pv}") for pv in records}
    deadline = time.monotonic() + _PATIENCE
    missing = []
    for pv, signal in signals.items():
        try:
            signal.wait_for_connection(timeout=max(0.1, deadline - time.monotonic()))
        except TimeoutError:
            missing.append(f"{prefix}{pv}")
    for signal in signals.values():
        signal.destroy()
    what = next(iter(records.values()))
    if missing:
        advice = f"is its IOC up? EPICS_CA_ADDR_LIST is {os.environ.get('EPICS_CA_ADDR_LIST', 'not set')}"
        return fail(name, f"{what} {', '.join(missing)} does not answer over Channel Access", advice)
    return ok(name, f"{what} {prefix} answers over Channel Access")
