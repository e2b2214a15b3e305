"""Configuration, RunEngine, archive."""

from pathlib import Path

from beamstream.instrument.startup import start

instrument = start(Path(__file__).resolve().parents[1])
config = instrument.config
RE = instrument.engine
