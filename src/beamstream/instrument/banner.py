"""What a session says when it is ready."""

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from beamstream.archive.layout import Layout
from beamstream.config import (
    Config,
    DetectorConfig,
    DeviceConfig,
    PvaDetectorConfig,
    SpectrometerConfig,
    VideoConfig,
    WebcamConfig,
)
from beamstream.instrument.page import find_page
from beamstream.terminal import Terminal


def show(
    config: Config,
    connected: Mapping[str, bool],
    *,
    url: str | None,
    expected_url: str | None,
    seconds: float,
    console: Console | None = None,
) -> None:
    """Print which devices answer, where the archive and the live page are, and how to begin.

    Parameters
    ----------
    config : Config
    connected : dict
        By device name.
    url : str or None
        Where the archive is served now.
    expected_url : str or None
        Where it is about to be served; None when nobody knows yet.
    seconds : float
        From the start of the process until now.
    """
    console = console or Terminal(soft_wrap=True)
    for line in (
        *_devices(config, connected),
        _archive(config, url, expected_url),
        *_page(config),
        Text("config   ").append(str(config.file or "none, the defaults"), "cyan"),
        *_begin(config),
        Text(f"ready in {seconds:.1f} s", "dim"),
    ):
        console.print(line)


def _devices(config: Config, connected: Mapping[str, bool]) -> list[Text]:
    if not config.devices:
        return [Text("devices  none; describe them in beamstream.toml")]
    width = max(len(name) for name in config.devices)
    lines = []
    for number, (name, device) in enumerate(config.devices.items()):
        answers = connected.get(name, False)
        line = Text("devices  " if number == 0 else "         ")
        line.append(f"{name:{width}}  ", "bold")
        line.append("connected    " if answers else "NOT CONNECTED", "green" if answers else "bold red")
        line.append(f"  {_place(device)}")
        if isinstance(device, PvaDetectorConfig) and device.control:
            line.append(f", control {device.control}")
        lines.append(line)
    if not all(connected.get(name) for name in config.devices):
        lines.append(Text("         those that start later connect by themselves; for a simulation: ", "dim"))
        lines[-1].append("beamstream sim beamline", "cyan")
    return lines


def _place(device: DeviceConfig) -> str:
    match device:
        case SpectrometerConfig():
            return device.address
        case VideoConfig():
            return str(device.path)
        case WebcamConfig():
            return f"webcam {device.camera}"
        case _:
            return device.pv


def _archive(config: Config, url: str | None, expected_url: str | None) -> Text:
    line = Text("archive  ")
    if url is not None:
        line.append(url, "cyan")
    elif config.archive.start == "process":
        line.append("starting")
        line.append(f" at {expected_url}" if expected_url else " on a free port")
    else:
        line.append("not served", "bold red").append("; start `beamstream serve`. The journal keeps every run")
    line.append(f", in {config.archive.directory}, key in {Layout(config.archive.directory).key}")
    return line


def _page(config: Config) -> list[Text]:
    detectors = _detectors(config)
    if not detectors:
        return []
    address = find_page(Layout(config.archive.directory))
    line = Text("page     ")
    if address is not None:
        line.append(address.url, "cyan").append(", ")
    return [line.append(f"watch({detectors[0]})", "bold cyan").append(" shows it live")]


def _detectors(config: Config) -> list[str]:
    return [name for name, device in config.devices.items() if isinstance(device, DetectorConfig)]


def _begin(config: Config) -> list[Text]:
    detectors = _detectors(config)
    if not detectors:
        return []
    line = Text("begin    ").append(f"RE(record([{detectors[0]}], num=100))", "bold cyan")
    line.append(", then ").append("cat[-1]", "bold cyan")
    return [line]
