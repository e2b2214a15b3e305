"""The callbacks that the configuration switches on, in the chain."""

from pathlib import Path
from typing import Any

from beamstream.callbacks.average import ReferenceAverage
from beamstream.callbacks.chain import Chain
from beamstream.config import Config
from beamstream.config.callbacks import FlatFieldConfig, LivePlotConfig, PipelineConfig, RecorderConfig
from beamstream.references import ReferenceStore


def reference_store(config: Config) -> ReferenceStore:
    """Return where darks and flats are kept: beside the recordings, where the archive may read."""
    return ReferenceStore(config.recording.directory / "references")


def add_callbacks(chain: Chain, config: Config, *, watched: bool) -> None:
    """Put the configured callbacks into a chain, those first that others depend on.

    Parameters
    ----------
    chain : Chain
    config : Config
    watched : bool
        Whether somebody looks: only then tables are printed and plots drawn.
    """
    asked = config.callbacks
    chain.add(ReferenceAverage(reference_store(config)))
    if asked.flat_field is not None:
        chain.add(flat_field(asked.flat_field, config))
    if asked.pipeline is not None:
        chain.add(_processed(asked.pipeline))
    if asked.live_stats is not None:
        from beamstream.callbacks.live_stats import LiveStats

        chain.add(LiveStats(**dict(asked.live_stats)))
    if asked.recorder is not None:
        chain.add(_recorder(asked.recorder, config))
    if not watched:
        return
    if asked.live_image is not None:
        from beamstream.callbacks.live import LiveImage

        chain.add(LiveImage(**_plot(asked.live_image, config)))
    if asked.live_waterfall is not None:
        from beamstream.callbacks.live import LiveWaterfall

        chain.add(LiveWaterfall(**_plot(asked.live_waterfall, config)))
    if asked.tables:
        from beamstream.callbacks.curves import Curves

        chain.add(Curves(config.archive.directory / "plots"))


def flat_field(asked: FlatFieldConfig, config: Config) -> Any:
    """Return the flat field that a section of the configuration describes."""
    from beamstream.callbacks.flatfield import FlatField

    return FlatField(
        None if asked.flat == "none" else asked.flat,
        None if asked.dark == "none" else asked.dark,
        references=reference_store(config),
        output=asked.output,
        dead_value=asked.dead_value,
        max_age=None if asked.max_age_hours is None else asked.max_age_hours * 3600,
        required=asked.required,
        detectors=asked.detectors,
    )


def _processed(asked: PipelineConfig) -> Any:
    from beamstream.callbacks.derive import Derive
    from beamstream.pipeline import Pipeline

    def load() -> Pipeline:
        return Pipeline.load(asked.file, reload=False)  # what a stream's descriptor says holds to its end

    load()  # what is wrong in it is said now, and not when the first frame comes
    options = {"stream": asked.stream, "required": asked.required, "detectors": asked.detectors}
    return Derive("processed", load, **options)


def _recorder(asked: RecorderConfig, config: Config) -> Any:
    from beamstream.callbacks.recorder import Recorder

    directory = asked.directory or config.recording.directory / "exports"
    options: dict[str, Any] = dict(asked) | {"directory": directory}
    return Recorder(**options, publish=_served(directory, config))


def _served(directory: Path, config: Config) -> bool:
    """Return whether the archive may read there."""
    return any(directory.is_relative_to(d) for d in (config.recording.directory, config.archive.directory))


def _plot(asked: LivePlotConfig, config: Config) -> dict[str, Any]:
    options = dict(asked)
    if options.pop("corrected"):
        options["flat_field"] = flat_field(config.callbacks.flat_field or FlatFieldConfig(), config)
    if options["directory"] is None:
        options["directory"] = None if _display() else config.archive.directory / "plots"
    return options


def _display() -> bool:
    import os

    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
