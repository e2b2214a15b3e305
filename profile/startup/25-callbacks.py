"""What happens to frames beside recording: beamstream.toml switches it on, or `callbacks.add(…)` in a session."""

from beamstream.callbacks.derive import Derive
from beamstream.callbacks.flatfield import FlatField
from beamstream.callbacks.growth_rate import GrowthRate
from beamstream.callbacks.intensity import Intensity
from beamstream.callbacks.live import LiveImage, LiveWaterfall
from beamstream.callbacks.live_growth import LiveGrowth
from beamstream.callbacks.live_stats import LiveStats
from beamstream.callbacks.readings import ReadingsUploader
from beamstream.callbacks.recorder import Recorder
from beamstream.callbacks.strip import Strip
from beamstream.callbacks.uploader import RheedUploader
from beamstream.instrument.callbacks import reference_store
from beamstream.pipeline import Pipeline

callbacks = instrument.chain
references = reference_store(config)
