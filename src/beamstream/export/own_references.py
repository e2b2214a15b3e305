"""Darks and flats that a run took itself, in streams of their own beside the one of its frames."""

from collections.abc import Iterable, Iterator

from beamstream.callbacks.flatfield import exposure_of
from beamstream.export.recorded_files import ExportSource
from beamstream.frames import Frame
from beamstream.references import Average, Kind, Reference


def own_references(sources: Iterable[ExportSource], run: str) -> dict[str, dict[Kind, Reference]]:
    """Return the means of the darks and flats of each detector, of their frames that decode."""
    averages: dict[tuple[str, Kind], tuple[ExportSource, Average]] = {}
    taken: dict[tuple[str, Kind], float] = {}
    for source in sources:
        for kind, rows in source.own_references:
            key = source.name, kind
            _, average = averages.setdefault(key, (source, Average(source.frames.geometry)))
            for batch in source.frames.read_decodable(rows.start, rows.stop, lambda *_: None):
                for frame in batch:
                    average.add(frame.image)
                    taken[key] = max(frame.received, 0.0)
    found: dict[str, dict[Kind, Reference]] = {}
    for (name, kind), (source, average) in averages.items():
        if average.number:
            mean, std = average.result()
            exposure, geometry = exposure_of(source.descriptor, source.data_key), average.geometry
            found.setdefault(name, {})[kind] = Reference(
                kind, mean, std, average.number, name, geometry, exposure, taken[name, kind], run=run
            )
    return found


def projections(source: ExportSource, frames: list[Frame]) -> Iterator[tuple[int, list[Frame]]]:
    """Yield the frames from row `source.done` on that are neither dark nor flat, and the row of the first of them.

    Those that follow each other come at once.
    """
    if not source.own_references:
        yield source.done, frames
        return
    first, following = source.done, list[Frame]()
    for row, frame in enumerate(frames, source.done):
        if any(row in rows for _, rows in source.own_references):
            if following:
                yield first, following
            following = []
        else:
            first = first if following else row
            following.append(frame)
    if following:
        yield first, following
