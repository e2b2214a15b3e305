"""Recorded runs, written once more in the format that other programs read."""

from beamstream.export.finding import find_journal, read_run
from beamstream.export.run import ExportedFile, ExportResult, count_frames, export_run

__all__ = ["ExportResult", "ExportedFile", "count_frames", "export_run", "find_journal", "read_run"]
