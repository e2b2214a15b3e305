"""The spectra of a ring in a browser: a server in a process of its own, and the page that it serves."""

from beamstream.live.process import LiveServer

__all__ = ["LiveServer"]
