"""`beamstream session`: IPython with the profile."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from beamstream.children import python_module
from beamstream.cli.checkout import checkout
from beamstream.errors import ConfigurationError
from beamstream.trust import check_profile


def session(
    arguments: Annotated[list[str] | None, typer.Argument(help="Go to IPython, after `--`.")] = None,
    profile: Annotated[Path | None, typer.Option(metavar="DIR", help="Another profile directory.")] = None,
) -> None:
    """Start an IPython session with the devices, plans and RunEngine of the profile.

    It is `ipython --profile-dir=profile`, found from wherever you are. Examples:

    `beamstream session`

    `beamstream session --profile ~/my_profile -- -i warmup.py`
    """
    directory = profile_directory(profile)
    command = python_module("IPython", "--ignore-cwd", f"--profile-dir={directory}", *(arguments or []))
    sys.stdout.flush()
    os.execv(command[0], command)


def profile_directory(asked: Path | None) -> Path:
    """Return the profile directory that counts here.

    Raises
    ------
    ConfigurationError
        It has no ``startup``, others may have written it, or this is no checkout and none was named.
    """
    if asked is None:
        root = checkout()
        if root is None:
            raise ConfigurationError("session: no profile asked for, this is no checkout; name one with --profile DIR")
        asked = root / "profile"
    if not (asked / "startup").is_dir():
        raise ConfigurationError(f"session: {asked} has no directory startup; name a profile with --profile DIR")
    check_profile(asked)
    return asked.absolute()
