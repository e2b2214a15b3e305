"""What beamstream.toml may say about callbacks: a section that is there switches its callback on."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

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
    required : bool
    detectors : list of str, optional
    """

    directory: Directory | None = None
    format: Literal["tiff", "bigtiff", "ome-tiff", "hdf5", "dxchange", "zarr", "npy", "npz", "csv"] = "tiff"
    prefix: FileName = "frame"
    stream: str = "raw"
    region: Region | None = None
    stride: Whole = Field(default=1, ge=1)
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
