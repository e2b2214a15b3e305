"""The versions of beamstream and of what it stands on."""

import platform
from importlib.metadata import PackageNotFoundError, version

from beamstream import __version__
from beamstream.cli.console import out, print_json

STACK = (
    "bluesky",
    "ophyd",
    "event-model",
    "tiled",
    "bluesky-tiled-plugins",
    "databroker",
    "pvapy",
    "caproto",
    "numpy",
    "h5py",
    "hdf5plugin",
    "blosc2",
    "imagecodecs",
    "pydantic",
    "pyzmq",
    "bluesky-queueserver",
)


def show(as_json: bool) -> None:
    """Print our version, or everybody's as JSON; a package that is not installed is null."""
    if not as_json:
        out().print(f"beamstream {__version__}")
        return
    installed = {name: installed_version(name) for name in STACK}
    print_json({"beamstream": __version__, "python": platform.python_version()} | installed)


def installed_version(name: str) -> str | None:
    """Return the version of a distribution, None when it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
