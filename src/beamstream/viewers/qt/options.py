"""Options: what the desktop viewer is started with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """Say what the desktop viewer shows, and where it keeps things.

    Parameters
    ----------
    source : str
        A PV, a URI as `beamstream.watching.streams.spec_of_uri` takes it, or the name of a ring; ``""``: the last one.
    about : Mapping
        The section of the device in the configuration, where `source` is one; empty otherwise.
    max_fps : float
        Most frames drawn per second; 0: as many as come.
    display_bin : int
        One drawn pixel is the mean of so many by so many; 0: what the window can show.
    pipeline : str
        Path of a pipeline file, ``""`` for none.
    no_plugins : bool
        Start without it.
    log_level : str
    log_file : str
        ``""``: stderr.
    recordings : Path
        Recordings and single frames are kept below it.
    references : Path
        The store of darks and flats.
    """

    source: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    max_fps: float = 0.0
    display_bin: int = 0
    pipeline: str = ""
    no_plugins: bool = False
    log_level: str = "INFO"
    log_file: str = ""
    recordings: Path = field(default_factory=Path.cwd)
    references: Path = field(default_factory=lambda: Path.cwd() / "references")

    def __post_init__(self) -> None:
        if not self.max_fps >= 0:
            raise ValueError(f"viewer: --max-fps {self.max_fps} asked for; give frames a second, 0 for no limit")
        if self.display_bin < 0:
            raise ValueError(f"viewer: --display-bin {self.display_bin} asked for; give 1 or more, 0 for automatic")
