"""Put the coded pictures of a Matroska film into an MP4, as they are."""

from fractions import Fraction
from pathlib import Path

from beamstream.errors import SinkError
from beamstream.film import pyav

_TICKS = 1_000_000  # a second
_NAMES = {"comment": "comment", "creation_time": "creation_time", "title": "title", "date_recorded": "date"}
"""What Matroska's tags are called in an MP4."""


def rewrap(film: Path, target: Path, *, who: str) -> None:
    """Write the pictures of `film` into a new MP4, its table of contents first.

    Raises
    ------
    OSError
        The disk refuses.
    SinkError
        The film cannot be read.
    """
    av = pyav(who, SinkError)
    options = {"movflags": "+faststart", "video_track_timescale": str(_TICKS)}
    try:
        with av.open(str(film)) as source, av.open(str(target), "w", format="mp4", options=options) as made:
            (stream,) = source.streams.video
            copy = made.add_stream_from_template(stream)
            copy.time_base = Fraction(1, _TICKS)
            made.metadata.update(_metadata(source))
            for packet in source.demux(stream):
                if packet.dts is not None:  # the last one is empty
                    packet.stream = copy
                    made.mux(packet)
    except av.error.FFmpegError as e:
        if isinstance(e, OSError):
            raise
        raise SinkError(f"{who}: {film} cannot be made an MP4: {e}; play it as it is") from None


def _metadata(source: object) -> dict[str, str]:
    kept = {}
    for key, value in source.metadata.items():  # pyright: ignore[reportAttributeAccessIssue]
        name = _NAMES.get(key.lower())
        if name is not None:
            kept[name] = value
    return kept
