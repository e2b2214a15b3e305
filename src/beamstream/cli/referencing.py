"""The ways to a dark or a flat: a run of its own, the run in progress, a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from beamstream.cli.console import complain

if TYPE_CHECKING:
    from beamstream.cli.acquisition import Acquisition
    from beamstream.config import Config
    from beamstream.references import Kind, Reference, ReferenceHeader, ReferenceStore


def with_motor(one: "Config", config: "Config", motor: str | None) -> "Config":
    """Return the configuration of one detector with a motor of the whole one beside it; None adds nothing."""
    from beamstream.config import MotorConfig
    from beamstream.errors import ConfigurationError

    if motor is None:
        return one
    if not isinstance(config.devices.get(motor), MotorConfig):
        known = ", ".join(n for n, d in config.devices.items() if isinstance(d, MotorConfig)) or "none"
        raise ConfigurationError(f"flats: motor {motor} asked for, which is not configured; configured are {known}")
    return one.model_copy(update={"devices": {**one.devices, motor: config.devices[motor]}})


def take(
    config: "Config",
    store: "ReferenceStore",
    kind: "Kind",
    detector: str,
    num: int,
    motor: str | None,
    position: float | None,
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
        status, error = _run(acquisition, _plan(acquisition, kind, detector, num, motor, position))
        made = [h for h in store.list(kind, detector) if acquisition.uids and h.run == acquisition.uids[-1]]
    if acquisition.interrupted:
        raise typer.Exit(128 + acquisition.interrupted)
    if status != "success" or not made:
        complain(error or f"{detector}: the run made no {kind}")
        raise typer.Exit(1)
    return made[0]


def _plan(
    acquisition: "Acquisition", kind: str, detector: str, num: int, motor: str | None, position: float | None
) -> Any:
    from plans import references

    device = acquisition.devices[detector]
    if kind == "dark":
        return references.darks([device], num)
    if motor is None:
        return references.flats([device], num)
    moved = acquisition.devices[motor]
    try:
        moved.wait_for_connection(timeout=10)
    except TimeoutError as error:
        from beamstream.errors import NotConnected

        raise NotConnected(f"{motor}: {moved.prefix} did not answer within 10 s; is its IOC running?") from error
    return references.flats([device], num, motor=moved, out=position)


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
    layout.prepare()
    journal = Journal(layout.journal)
    try:
        return keep_as_run(reference, store, journal, scan_id=ScanIds(layout.directory / "scan_id")({}))
    finally:
        journal.close()
