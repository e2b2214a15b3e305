"""Live plots, drawn by matplotlib in a process of their own: ``python -m beamstream.plots``."""
