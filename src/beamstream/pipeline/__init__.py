"""Image processing as a chain of plug-ins: in Python, or in the JSON files that Pystream reads."""

from beamstream.pipeline.chain import Pipeline
from beamstream.pipeline.processor import ProcessorStatistics

__all__ = ["Pipeline", "ProcessorStatistics"]
