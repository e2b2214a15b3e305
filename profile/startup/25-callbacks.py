"""What happens to frames beside recording: beamstream.toml switches it on, or `callbacks.add(…)` in a session."""

from beamstream.callbacks.derive import Derive
from beamstream.callbacks.flatfield import FlatField
from beamstream.callbacks.live import LiveImage, LiveWaterfall
from beamstream.callbacks.live_stats import LiveStats
from beamstream.callbacks.recorder import Recorder
from beamstream.instrument.callbacks import reference_store
from beamstream.pipeline import Pipeline

callbacks = instrument.chain
references = reference_store(config)
