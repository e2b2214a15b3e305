"""Whether the callbacks that are switched on can do their work: references, plug-ins."""

from collections.abc import Iterator
from pathlib import Path

from beamstream.cli.checks.finding import Finding, fail, ok, warn
from beamstream.config import Config, DetectorConfig
from beamstream.config.callbacks import FlatFieldConfig
from beamstream.errors import PipelineError
from beamstream.references import Kind, ReferenceStore

_DAY = 86400.0  # s


def callbacks(config: Config) -> Iterator[Finding]:
    """Look at what callbacks need before a run begins; nothing where none is switched on."""
    asked = config.callbacks
    if asked.flat_field is not None:
        yield from _flat_field(asked.flat_field, config)
    if asked.pipeline is not None:
        from beamstream.pipeline import Pipeline

        try:
            count = len(Pipeline.load(asked.pipeline.file).statistics())
            yield ok("pipeline", f"{asked.pipeline.file} has {count} processors")
        except PipelineError as error:
            yield fail("pipeline", str(error), f"beamstream pipeline check {asked.pipeline.file}")


def _flat_field(asked: FlatFieldConfig, config: Config) -> Iterator[Finding]:
    store = ReferenceStore(config.recording.directory / "references")
    detectors = asked.detectors or [n for n, d in config.devices.items() if isinstance(d, DetectorConfig)]
    kinds: tuple[tuple[Kind, str], ...] = (("flat", asked.flat), ("dark", asked.dark))
    for kind, which in kinds:
        if which == "latest":
            for detector in detectors:
                yield _latest(store, kind, detector, asked)
        elif which != "none" and not Path(which).is_file():
            yield fail("flat field", f"there is no {kind} {which}", "correct the path in [callbacks.flat_field]")


def _latest(store: ReferenceStore, kind: Kind, detector: str, asked: FlatFieldConfig) -> Finding:
    there = store.list(kind, detector)
    if not there:
        worst = fail if asked.required else warn
        return worst("flat field", f"there is no {kind} of {detector}", f"RE({kind}s({detector}, 20))")
    days = there[0].age / _DAY
    if asked.max_age_hours is not None and there[0].age > asked.max_age_hours * 3600:
        return warn("flat field", f"the newest is {days:.1f} days old: {there[0].name}", f"RE({kind}s({detector}, 20))")
    return ok("flat field", f"{there[0].name}, {days:.1f} days old")
