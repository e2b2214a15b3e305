"""Lossless acquisition for detectors that stream, in the bluesky way."""

__version__ = "0.1.0"
