"""The `beamstream` command."""

from beamstream.cli.app import main

__all__ = ["main"]
