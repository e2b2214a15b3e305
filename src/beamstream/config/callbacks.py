"""What beamstream.toml may say about callbacks: a section that is there switches its callback on."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from beamstream.config.section import Section
from beamstream.config.values import Directory, FileName, Seconds, Switch, Whole, from_the_file

Names = tuple[str, ...]
Region = tuple[
    Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]
]


def _word_or_path(value: str, info: ValidationInfo) -> str:
    if value in ("latest", "none"):
        return value
    if Path(value).suffix not in (".npy", ".h5"):
        raise ValueError('not a reference; write "latest", "none" or the path of a .npy or .h5 file')
    return str(from_the_file(Path(value), info))


Which = Annotated[str, AfterValidator(_word_or_path)]
PerSecond = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _part_of_a_key(name: str) -> str:
    if not name.isidentifier():
        raise ValueError("a region's name is part of a data key; use letters, digits and _, like spot")
    return name


RegionName = Annotated[str, AfterValidator(_part_of_a_key)]


class FlatFieldConfig(Section):
    """Correct every frame into a stream of its own; see `beamstream.callbacks.flatfield.FlatField`.

    Parameters
    ----------
    flat, dark : str
        ``"latest"``, ``"none"``, or a file.
    output : {"float32", "raw"}
    dead_value : float
    max_age_hours : float, optional
        Oldest reference that ``"latest"`` may find.
    required : bool
        Whether a missing reference ends the run before its first frame.
    detectors : list of str, optional
        Whose frames; all by default.
    """

    flat: Which = "latest"
    dark: Which = "none"
    output: Literal["float32", "raw"] = "float32"
    dead_value: float = Field(default=0.0, allow_inf_nan=False)
    max_age_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    required: Switch = True
    detectors: Names | None = None


class PipelineConfig(Section):
    """Apply a file of plug-ins to every frame, into the stream ``<stream>_processed``.

    Parameters
    ----------
    file : Path
        See ``beamstream pipeline check``.
    stream : str
        ``"raw"`` or ``"corrected"``.
    required : bool
        Whether its failure as a whole fails the run.
    detectors : list of str, optional
    """

    file: Directory
    stream: Literal["raw", "corrected"] = "raw"
    required: Switch = False
    detectors: Names | None = None


class RecorderConfig(Section):
    """Record frames a second time in another format; see `beamstream.callbacks.recorder.Recorder`.

    Parameters
    ----------
    directory : Path, optional
        ``exports`` in the directory of the recordings by default; elsewhere the archive does not serve the files.
    format : str
    prefix : str
    stream : str
        ``"raw"``, ``"corrected"`` or ``"processed"``.
    region : list of int, optional
        First row, first column, rows, columns.
    stride : int
        Every how manieth frame.
    window : list of float, optional
        Of films: values that become black and white.
    fps : float, optional
        Of films: frames per second, in place of their times.
    required : bool
    detectors : list of str, optional
    """

    directory: Directory | None = None
    format: Literal["tiff", "bigtiff", "ome-tiff", "hdf5", "dxchange", "zarr", "npy", "npz", "csv", "mkv", "mp4"] = (
        "tiff"
    )
    prefix: FileName = "frame"
    stream: str = "raw"
    region: Region | None = None
    stride: Whole = Field(default=1, ge=1)
    window: tuple[float, float] | None = None
    fps: Seconds | None = None
    required: Switch = True
    detectors: Names | None = None


class LiveStatsConfig(Section):
    """Tell numbers about the newest frame; see `beamstream.callbacks.live_stats.LiveStats`.

    Parameters
    ----------
    stream : str
    regions : dict
        By name: first row, first column, rows, columns.
    detectors : list of str, optional
    """

    stream: str = "raw"
    regions: dict[str, Region] = Field(default_factory=dict)
    detectors: Names | None = None


class LivePlotConfig(Section):
    """Draw the newest frame; see `beamstream.callbacks.live`.

    Parameters
    ----------
    stream : str
    period : float, optional
        Between two drawings, s.
    directory : Path, optional
        Where PNG files go; a window where there is a display, by default.
    corrected : bool
        Whether what is shown is flat-fielded on the fly, as ``[callbacks.flat_field]`` says or with the latest
        flat.
    detectors : list of str, optional
    """

    stream: str = "raw"
    period: Seconds | None = None
    directory: Directory | None = None
    corrected: Switch = False
    detectors: Names | None = None


class UploadConfig(Section):
    """Say where uploads go, and as what; see `beamstream.rheed.options.UploadOptions`.

    Parameters
    ----------
    endpoint : str, optional
        ``http://host:port``, ``"atomscale"``, or by default the ingest of the archive.
    key_file : Path, optional
        With mode 600; otherwise the environment variable ``BEAMSTREAM_UPLOAD_KEY`` holds the key.
    stream_name : str
        With ``{sample}``, ``{scan_id}``, ``{detector}`` or other metadata of the run.
    physical_sample : str, optional
        The run's ``sample`` by default.
    project_id : str, optional
    tags : list of str
    verbosity : int
        Of the client's own log, 0 to 4.
    insecure_http : bool
        Whether to upload to ``http://`` beyond this machine, where everybody on the way can read frames and key.
    """

    endpoint: str = ""
    key_file: Directory | None = None
    stream_name: str = "{sample} {scan_id}"
    physical_sample: str | None = None
    project_id: str | None = None
    tags: Names = ()
    verbosity: Whole = Field(default=0, ge=0, le=4)
    insecure_http: Switch = False

    @model_validator(mode="after")
    def _can_be(self) -> "UploadConfig":
        from beamstream.rheed.options import UploadOptions

        UploadOptions(**{name: getattr(self, name) for name in UploadOptions.__slots__ if hasattr(self, name)})
        return self


class RheedUploaderConfig(UploadConfig):
    """Upload frames while they are recorded; see `beamstream.callbacks.uploader.RheedUploader`.

    Parameters
    ----------
    rotations_per_min : float, optional
        By default what the detector's configuration says, otherwise 0.
    azimuth : str, optional
        Of a sample that stands still.
    fps : float, optional
        By default what the detector's configuration says, otherwise measured.
    chunk_seconds : float
        2 or more.
    rule : str
        How pixels become 8 bit: ``"as-is"``, ``"shift:4"``, ``"window:0:4095"``.
    stream : str
        ``"raw"``, or what is derived, like ``"corrected"``.
    detectors : list of str, optional
    """

    rotations_per_min: Annotated[float, Field(strict=True)] | None = None
    azimuth: str | None = None
    fps: Seconds | None = None
    chunk_seconds: Annotated[float, Field(strict=True)] = 2.0
    rule: str = "as-is"
    stream: str = "raw"
    detectors: Names | None = None


class ReadingsUploaderConfig(UploadConfig):
    """Upload numbers that are read as time series; see `beamstream.callbacks.readings.ReadingsUploader`.

    Parameters
    ----------
    data_keys : list of str
        Which: names or patterns, like ``"heater_*"``.
    """

    data_keys: Annotated[Names, Field(min_length=1)]


class IntensityConfig(Section):
    """Keep the intensity of regions of every frame; see `beamstream.callbacks.intensity.Intensity`.

    Parameters
    ----------
    regions : dict
        By name: first row, first column, rows, columns; the whole image, called ``image``, by default.
    stream : str
    required : bool
    detectors : list of str, optional
    """

    regions: dict[RegionName, Region] = Field(default_factory=dict)
    stream: str = "raw"
    required: Switch = False
    detectors: Names | None = None


class GrowthRateConfig(Section):
    """Tell the growth rate about once a second; see `beamstream.callbacks.growth_rate.GrowthRate`.

    Parameters
    ----------
    regions : dict
        Those of ``[callbacks.intensity]`` by default.
    window, period : float
        How much of the past a rate is made of, and the time between two, s.
    slowest, fastest : float, optional
        Rates to look for, 1/s.
    rotations_per_min : float, optional
        What the detector's configuration says, by default.
    stream : str
    detectors : list of str, optional
    """

    regions: dict[RegionName, Region] = Field(default_factory=dict)
    window: Seconds = 20.0
    period: Seconds = 1.0
    slowest: PerSecond | None = None
    fastest: PerSecond | None = None
    rotations_per_min: float | None = Field(default=None, allow_inf_nan=False)
    stream: str = "raw"
    detectors: Names | None = None


class StripConfig(Section):
    """Keep a line profile of every frame, or of those at some azimuths; see `beamstream.callbacks.strip.Strip`.

    Parameters
    ----------
    region : list of int, optional
        First row, first column, rows, columns of the band.
    average : {"rows", "columns"}
    angles : list of float
        Degrees.
    tolerance : float
        Degrees.
    rotations_per_min, azimuth : float, optional
        What the detector's configuration says, by default.
    stream : str
    required : bool
    detectors : list of str, optional
    """

    region: Region | None = None
    average: Literal["rows", "columns"] = "rows"
    angles: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = ()
    tolerance: float = Field(default=2.0, gt=0, le=180)
    rotations_per_min: float | None = Field(default=None, allow_inf_nan=False)
    azimuth: float | None = Field(default=None, allow_inf_nan=False)
    stream: str = "raw"
    required: Switch = False
    detectors: Names | None = None


class LiveGrowthConfig(Section):
    """Draw intensities, spectrum, rates and strips; see `beamstream.callbacks.live_growth.LiveGrowth`.

    Parameters
    ----------
    window, history : float
        How much of the past a rate is made of, and how much is shown, s.
    slowest, fastest : float, optional
        Rates to look for, 1/s.
    period : float, optional
        Between two drawings, s.
    directory : Path, optional
        Where PNG files go; a window where there is a display, by default.
    detectors : list of str, optional
    """

    window: Seconds = 20.0
    history: Seconds = 120.0
    slowest: PerSecond | None = None
    fastest: PerSecond | None = None
    period: Seconds | None = None
    directory: Directory | None = None
    detectors: Names | None = None


class ViewerConfig(Section):
    """Show runs in a viewer; see `beamstream.callbacks.viewer.Viewer`.

    Parameters
    ----------
    kind : {"napari"}
    runs : {"all", "declared"}
        ``"declared"``: those whose plans ask for it; so it is without this section.
    only : {"", "recorded"}
        ``"recorded"``: only what is archived.
    streams : list of str
        What is derived and shown beside the raw images.
    start : bool
        Whether a viewer is started where none runs.
    detectors : list of str, optional
    """

    kind: Literal["napari"] = "napari"
    runs: Literal["all", "declared"] = "all"
    only: Literal["", "recorded"] = ""
    streams: Names = ()
    start: Switch = True
    detectors: Names | None = None


class Callbacks(Section):
    """Say what happens to frames and documents beside recording.

    Parameters
    ----------
    tables : bool
        Whether a session prints tables of scans and draws their curves (bluesky's BestEffortCallback).
    """

    tables: Switch = True
    flat_field: FlatFieldConfig | None = None
    pipeline: PipelineConfig | None = None
    recorder: RecorderConfig | None = None
    live_stats: LiveStatsConfig | None = None
    live_image: LivePlotConfig | None = None
    live_waterfall: LivePlotConfig | None = None
    intensity: IntensityConfig | None = None
    growth_rate: GrowthRateConfig | None = None
    strip: StripConfig | None = None
    live_growth: LiveGrowthConfig | None = None
    viewer: ViewerConfig | None = None
    rheed_uploader: RheedUploaderConfig | None = None
    readings_uploader: ReadingsUploaderConfig | None = None
