"""Keep what is looked at: every frame of a stream from now on, written by a process of its own.

``python -m beamstream.watching.tape`` is that process; see `beamstream.watching.tape_program`.
"""

from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from beamstream.errors import ConfigurationError
from beamstream.private import make_directories
from beamstream.sinks.file_names import safe_name
from beamstream.sinks.formats import FORMATS
from beamstream.watching.child import Child
from beamstream.watching.streams import StreamSpec

_FINISH = 15.0  # s that the disk has for the frames that wait for it
ENDED = ("done", "failed")
"""States that a recording does not leave."""


@dataclass(frozen=True, slots=True)
class TapeSettings:
    """Say where a recording goes, checked: what comes from a page leads nowhere else.

    Parameters
    ----------
    root : str
        Directory that it stays below.
    directory : str
        Below `root`, made if missing; an absolute path has to lie in it; ``""``: the root itself.
    prefix : str
        Begins the names of files: ``prefix_000001.tiff``, ``prefix.h5``.
    format : str
        A name of `beamstream.sinks.formats.FORMATS`.

    Raises
    ------
    ConfigurationError
        A name cannot be, or leads out of the root, or there is no such format.
    """

    root: str
    directory: str = ""
    prefix: str = "frame"
    format: str = "tiff"

    def __post_init__(self) -> None:
        if not self.root:
            raise ConfigurationError("recording: asked for, but there is no directory for it; configure one")
        if self.format not in FORMATS:
            raise ConfigurationError(f"recording: format {self.format!r} asked for; use one of {', '.join(FORMATS)}")
        try:
            safe_name(self.prefix, "recording: prefix")
            for part in self.parts:
                safe_name(part, "recording: directory")
        except ValueError as error:
            raise ConfigurationError(str(error)) from None

    @property
    def parts(self) -> tuple[str, ...]:
        """The directories below the root, one in the other."""
        below = PurePosixPath(self.directory.strip())
        if not below.is_absolute():
            return below.parts
        try:
            return below.relative_to(PurePosixPath(self.root)).parts
        except ValueError:
            raise ConfigurationError(
                f"recording: the directory {self.directory} asked for, which is not below {self.root}; "
                "write one that begins there"
            ) from None

    def place(self) -> Path:
        """Return the directory, made if it was missing.

        Raises
        ------
        ConfigurationError
            A link leads out of the root.
        OSError
            It cannot be made.
        """
        root = Path(self.root).resolve()
        place = root.joinpath(*self.parts)
        if not place.resolve().is_relative_to(root):
            raise ConfigurationError(f"recording: {place} is a link that leads out of {root}; choose another directory")
        make_directories(place)
        return place


class Tape:
    """Write every frame of a stream that comes from now on; nothing is ever overwritten.

    What is recorded is raw. The process finds the stream by itself, as `Follow` does, and goes on when viewers leave
    or a session takes the stream over, which does not notice. To be used from one thread; nothing waits, but `close`.

    Parameters
    ----------
    spec : StreamSpec
    settings : TapeSettings
    """

    def __init__(self, spec: StreamSpec, settings: TapeSettings) -> None:
        self.spec, self.settings = spec, settings
        self._child: Child | None = None
        self._base = {
            "directory": settings.directory,
            "prefix": settings.prefix,
            "format": settings.format,
            "received": 0,
            "written": 0,
            "lost": 0,
            "path": "",
        }

    def start(self) -> None:
        """Begin, in the background. Nothing happens if it has begun.

        Raises
        ------
        OSError
            There is no room for another process.
        """
        if self._child is None:
            first = {"spec": self.spec.to_dict(), "settings": asdict(self.settings)}
            self._child = Child("beamstream.watching.tape", first)

    @property
    def pid(self) -> int | None:
        """The process that writes; None before `start`."""
        return self._child.pid if self._child else None

    @property
    def status(self) -> dict[str, Any]:
        """Return ``state`` (waiting, recording, done, failed), ``written``, ``lost``, ``path``, ``words`` and more.

        ``lost`` are frames that the detector counted and the recording has not; ``received`` those that it saw.
        """
        said = self._child.look() if self._child is not None else {}
        state = {"state": "waiting", "words": f"{self.spec.name}: waiting for a frame"}
        status = self._base | state | said
        if self._child is not None and not self._child.alive and status["state"] not in ENDED:
            words = f"{self.spec.name}: the process that records ended and said: {self._child.last_words()}"
            return status | {"state": "failed", "words": words}
        return status

    @property
    def running(self) -> bool:
        """Whether it still writes, or waits for frames."""
        return self._child is not None and self.status["state"] not in ENDED

    def stop(self) -> None:
        """Ask it to finish the file, without waiting; `status` says when that is done."""
        if self._child is not None:
            self._child.say({"do": "stop"})

    def close(self) -> None:
        """Finish the file and end the process, by force after 15 s. Calling it again does no harm."""
        if self._child is not None:
            self._child.close(_FINISH)


if __name__ == "__main__":
    import sys

    from beamstream.watching.tape_program import main

    sys.exit(main())
