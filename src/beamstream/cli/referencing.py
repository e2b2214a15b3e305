"""The ways to a dark or a flat: a run of its own, the run in progress, a file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from beamstream.cli.console import complain

if TYPE_CHECKING:
    from beamstream.cli.acquisition import Acquisition
    from beamstream.config import Config
    from beamstream.references import Kind, Reference, ReferenceHeader, ReferenceStore


@dataclass(frozen=True, slots=True)
class How:
    """How frames are taken.

    Parameters
    ----------
    num : int
        Frames.
    settings : dict
        What configured signals are set to meanwhile, by name.
    motor : str, optional
        What moves the sample out of the beam.
    position : float, optional
        Where to.
    """

    num: int
    settings: dict[str, str]
    motor: str | None = None
    position: float | None = None

    def devices(self, one: "Config", config: "Config") -> "Config":
        """Return the configuration of one detector with what else is needed of the whole one beside it."""
        wanted = dict.fromkeys(self.settings, "signal") | ({} if self.motor is None else {self.motor: "motor"})
        return one.model_copy(
            update={"devices": {**one.devices, **{n: _configured(config, n, kind) for n, kind in wanted.items()}}}
        )


def pairs(texts: list[str]) -> dict[str, str]:
    """Return ``NAME=VALUE`` as a dictionary."""
    settings: dict[str, str] = {}
    for text in texts:
        name, found, value = text.partition("=")
        if not (found and name and value):
            raise typer.BadParameter(f"{text!r} given; write NAME=VALUE, like shutter=Closed", param_hint="--set")
        settings[name] = value
    return settings


def _configured(config: "Config", name: str, kind: str) -> Any:
    from beamstream.errors import ConfigurationError

    device = config.devices.get(name)
    if device is None or device.kind != kind:
        known = ", ".join(n for n, d in config.devices.items() if d.kind == kind) or "none"
        raise ConfigurationError(f"{kind} {name} asked for, which is not configured; configured are {known}")
    return device


def take(
    config: "Config",
    store: "ReferenceStore",
    kind: "Kind",
    detector: str,
    how: How,
) -> "ReferenceHeader":
    """Take frames with a plan, and return what the engine made of them.

    Raises
    ------
    typer.Exit
        The run was interrupted, or made none; then it is said why.
    BeamstreamError
        There was no run at all.
    """
    from beamstream.cli.acquisition import Acquisition

    with Acquisition(config) as acquisition:
        status, error = _run(acquisition, _plan(acquisition, kind, detector, how))
        made = [h for h in store.list(kind, detector) if acquisition.uids and h.run == acquisition.uids[-1]]
    if acquisition.interrupted:
        raise typer.Exit(128 + acquisition.interrupted)
    if status != "success" or not made:
        complain(error or f"{detector}: the run made no {kind}")
        raise typer.Exit(1)
    return made[0]


def _plan(acquisition: "Acquisition", kind: str, detector: str, how: How) -> Any:
    from plans import references

    devices = acquisition.devices
    for name in (*how.settings, *([] if how.motor is None else [how.motor])):
        _wait_for(name, devices[name])
    for name, value in how.settings.items():
        _check_word(name, value, devices[name])
    before, after = _hooks({devices[name]: value for name, value in how.settings.items()})
    if kind == "dark":
        return references.darks([devices[detector]], how.num, before=before, after=after)
    moved = {} if how.motor is None else {"motor": devices[how.motor], "out": how.position}
    return references.flats([devices[detector]], how.num, before=before, after=after, **moved)


def _wait_for(name: str, device: Any) -> None:
    from beamstream.errors import NotConnected

    try:
        device.wait_for_connection(timeout=10)
    except TimeoutError as error:
        pv = getattr(device, "prefix", "") or device.pvname
        raise NotConnected(f"{name}: {pv} did not answer within 10 s; is its IOC running?") from error


def _check_word(name: str, value: str, signal: Any) -> None:
    from beamstream.errors import ConfigurationError

    words = signal.enum_strs
    if words and value not in words:
        raise ConfigurationError(
            f"{name}: {value} asked for, {signal.pvname} knows {', '.join(words)}; use one of them"
        )


def _hooks(settings: dict[Any, str]) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return what sets signals, and what sets them back."""
    import bluesky.plan_stubs as bps

    found: dict[Any, Any] = {}

    def before() -> Any:
        for signal, value in settings.items():
            found[signal] = yield from bps.rd(signal)
            yield from bps.mv(signal, value)

    def after() -> Any:
        for signal, value in found.items():
            yield from bps.mv(signal, value)
        yield from bps.null()

    return before, after


def _run(acquisition: "Acquisition", plan: Any) -> tuple[str, str]:
    before = len(acquisition.uids)
    try:
        return acquisition.run(plan), ""
    except Exception as error:
        if len(acquisition.uids) == before:
            raise  # there is no run to tell about
        return "fail", str(error)


def capture(
    config: "Config",
    store: "ReferenceStore",
    kind: "Kind",
    detector: str,
    num: int,
    timeout: float | None,
    exposure: float | None,
) -> "Reference":
    """Average the next frames of the run in progress, into the store and the archive."""
    from beamstream.errors import RingError
    from beamstream.references.capture import capture as captured

    try:
        reference = captured(detector, kind, num, timeout=timeout or 10.0, exposure=exposure)
    except RingError as error:
        raise RingError(f"{error} (without --capture the frames are taken by a run of their own)") from error
    return _keep(config, store, reference)


def import_(
    config: "Config", store: "ReferenceStore", kind: "Kind", detector: str, file: Path, exposure: float | None
) -> "Reference":
    """Take it from a .npy file, into the store and the archive."""
    from beamstream.references import import_npy

    return _keep(config, store, import_npy(file, kind, detector, exposure=exposure))


def export(store: "ReferenceStore", kind: "Kind", detector: str, file: Path) -> "Reference":
    """Write the newest to a .npy file, and return it."""
    from beamstream.errors import NoReference
    from beamstream.references import export_npy

    there = store.list(kind, detector)
    if not there:
        raise NoReference(
            f"{detector}: a {kind} to be exported, there is none in {store.directory}; take one: "
            f"`beamstream {kind}s {detector}`"
        )
    newest = store.load(there[0].path)
    export_npy(newest, file)
    return newest


def _keep(config: "Config", store: "ReferenceStore", reference: "Reference") -> "Reference":
    from beamstream.archive.layout import Layout
    from beamstream.callbacks.journal import Journal
    from beamstream.callbacks.reference_run import keep_as_run
    from beamstream.instrument.engine import ScanIds

    layout = Layout(config.archive.directory)
    layout.prepare(config.archive.group)
    journal = Journal(layout.journal)
    try:
        return keep_as_run(reference, store, journal, scan_id=ScanIds(layout.directory / "scan_id")({}))
    finally:
        journal.close()
