"""The devices of beamstream.toml, each under its own name; make others below, by hand."""

globals().update(instrument.devices)
