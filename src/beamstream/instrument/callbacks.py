"""The callbacks that the configuration switches on, in the chain."""

from pathlib import Path
from typing import Any

from beamstream.callbacks.average import ReferenceAverage
from beamstream.callbacks.chain import Chain
from beamstream.config import Config
from beamstream.config.callbacks import (
    Callbacks,
    FlatFieldConfig,
    GrowthRateConfig,
    IntensityConfig,
    LiveGrowthConfig,
    LivePlotConfig,
    PipelineConfig,
    RecorderConfig,
    UploadConfig,
    ViewerConfig,
)
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
    if asked.intensity is not None or asked.live_growth is not None:
        chain.add(_intensity(asked))
    if asked.growth_rate is not None:
        chain.add(_growth_rate(asked.growth_rate, asked.intensity))
    if asked.strip is not None:
        from beamstream.callbacks.strip import Strip

        chain.add(Strip(**dict(asked.strip)))
    if asked.recorder is not None:
        chain.add(_recorder(asked.recorder, config))
    _add_uploaders(chain, config)
    chain.add(_viewer(asked.viewer))
    if not watched:
        return
    if asked.live_image is not None:
        from beamstream.callbacks.live import LiveImage

        chain.add(LiveImage(**_plot(asked.live_image, config)))
    if asked.live_waterfall is not None:
        from beamstream.callbacks.live import LiveWaterfall

        chain.add(LiveWaterfall(**_plot(asked.live_waterfall, config)))
    if asked.live_growth is not None:
        chain.add(_live_growth(asked.live_growth, config))
    if asked.tables:
        from beamstream.callbacks.curves import Curves

        chain.add(Curves(config.archive.directory / "plots"))


def _add_uploaders(chain: Chain, config: Config) -> None:
    """Add what uploads, and take up what earlier sessions left, where nobody works on it."""
    asked, archive = config.callbacks, config.archive.directory
    if asked.rheed_uploader is None and asked.readings_uploader is None and not (archive / "uploads").is_dir():
        return  # most sessions: nothing of it is even imported
    from beamstream.callbacks.readings import ReadingsUploader
    from beamstream.callbacks.uploader import RheedUploader
    from beamstream.rheed.keeper import Keeper

    keeper = Keeper()
    if asked.rheed_uploader is not None:
        chain.add(RheedUploader(archive, keeper=keeper, **upload_options(asked.rheed_uploader, config)))
    if asked.readings_uploader is not None:
        chain.add(ReadingsUploader(archive, keeper=keeper, **upload_options(asked.readings_uploader, config)))
    keeper.resume(archive / "uploads")


def upload_options(asked: UploadConfig, config: Config) -> dict[str, Any]:
    """Return what a section says about uploads, with the archive's own ingest where it names no service."""
    options, ingest = dict(asked), config.ingest
    if not asked.endpoint:
        options["key_file"] = asked.key_file or ingest.key_file
        options["ingest"] = ingest.url.replace("http:", "https:") if config.archive.tls_cert else ingest.url
    return options


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


def _intensity(asked: Callbacks) -> Any:
    """Return what keeps intensities; the plot of a growth needs it even where nobody asked for it."""
    from beamstream.callbacks.intensity import Intensity

    rates, options = asked.growth_rate, dict(asked.intensity or IntensityConfig())
    if not options["regions"] and rates is not None:
        options["regions"] = rates.regions
    return Intensity(**options)


def _growth_rate(asked: GrowthRateConfig, intensity: IntensityConfig | None) -> Any:
    from beamstream.callbacks.growth_rate import GrowthRate

    options = _band(dict(asked))
    if not options["regions"] and intensity is not None:
        options["regions"] = intensity.regions
    return GrowthRate(**options)


def _live_growth(asked: LiveGrowthConfig, config: Config) -> Any:
    from beamstream.callbacks.live_growth import LiveGrowth

    return LiveGrowth(**_placed(_band(dict(asked)), config))


def _viewer(asked: ViewerConfig | None) -> Any:
    """Return what shows runs in napari; without a section, those whose plans declare it."""
    from beamstream.callbacks.viewer import Viewer

    options = dict(asked or ViewerConfig(runs="declared"))
    del options["kind"]  # there is one
    return Viewer(**options)


def _band(options: dict[str, Any]) -> dict[str, Any]:
    return options | {"band": (options.pop("slowest"), options.pop("fastest"))}


def _recorder(asked: RecorderConfig, config: Config) -> Any:
    from beamstream.callbacks.recorder import Recorder

    directory = asked.directory or config.recording.directory / "exports"
    options: dict[str, Any] = dict(asked) | {"directory": directory, "references": reference_store(config)}
    return Recorder(**options, publish=_served(directory, config))


def _served(directory: Path, config: Config) -> bool:
    """Return whether the archive may read there."""
    return any(directory.is_relative_to(d) for d in (config.recording.directory, config.archive.directory))


def _plot(asked: LivePlotConfig, config: Config) -> dict[str, Any]:
    options = dict(asked)
    if options.pop("corrected"):
        options["flat_field"] = flat_field(config.callbacks.flat_field or FlatFieldConfig(), config)
    return _placed(options, config)


def _placed(options: dict[str, Any], config: Config) -> dict[str, Any]:
    """Return the options of a plot, with a directory for its files where there is no display."""
    if options["directory"] is None and not _display():
        options["directory"] = config.archive.directory / "plots"
    return options


def _display() -> bool:
    import os

    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
