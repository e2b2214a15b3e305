"""What is acquired, in a browser: servers in processes of their own, and the pages that they serve."""

from beamstream.live.process import LiveServer

__all__ = ["LiveServer"]
