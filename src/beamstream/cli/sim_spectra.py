"""`beamstream sim spectra`: a spectrometer that is not there, over real ZeroMQ."""

import signal
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beamstream.cli import ending
from beamstream.cli.console import err, out, print_json_line

if TYPE_CHECKING:
    from beamstream.sim.spectra_faults import SpectraFaults
    from beamstream.sim.spectrometer import Spectrometer, SpectrometerSpec

_LINGER = 5.0  # s for subscribers to fetch the last messages


def spectra(
    rate: Annotated[float, typer.Option(min=0, help="Spectra per second; 0: as fast as it goes.")] = 4.0,
    shape: Annotated[str, typer.Option(help="Beams x channels x polarisations.")] = "1x3072x4",
    bind: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to publish.")] = "tcp://127.0.0.1:9798",
    seed: Annotated[int, typer.Option(min=0, help="Another one, another Sun.")] = 0,
    num: Annotated[int | None, typer.Option(min=1, help="End after so many; otherwise Ctrl-C.")] = None,
    gulps: Annotated[
        bool, typer.Option("--gulps", help="The recorder's cadence: two 0.15 s apart, silence until the next 1.03 s.")
    ] = False,
    interval: Annotated[
        float | None,
        typer.Option(min=1e-6, help="Seconds that last_block_time advances each time; otherwise those of the rate."),
    ] = None,
    sequence: Annotated[
        bool, typer.Option("--sequence/--no-sequence", help="Number the headers; the data recorder does not.")
    ] = True,
    wait: Annotated[int, typer.Option(min=0, metavar="N", help="Begin when N subscribers are there.")] = 0,
    high_water: Annotated[int, typer.Option(min=1, help="Spectra that wait for one slow subscriber.")] = 1000,
    lossless: Annotated[bool, typer.Option("--lossless", help="Wait for slow subscribers, drop nothing.")] = False,
    fault: Annotated[
        list[str] | None, typer.Option("--fault", metavar="NAME=VALUE", help="What goes wrong; repeat it. See below.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON at the start, one at the end.")] = False,
) -> None:
    """Run a simulated solar spectrometer: averaged spectra as OVRO-LWA's data recorder publishes them.

    Faults, counted in spectra: skip_every=N, skip_random=P, skip_ids=3,4,5, repeat_every=N, nan_every=N,
    malformed_at=N, malformed_count=N, malformed=json|parts|topic|dtype|shape|size|binary, wrong_size_at=N,
    silent_after=N, silent_seconds=S, restart_at=N, restart_jump=S. Examples:

    `beamstream sim spectra`

    `beamstream sim spectra --gulps --no-sequence`, as the real one

    `beamstream sim spectra --rate 1000 --fault skip_every=100 --fault silent_after=5000 --fault silent_seconds=3`

    `beamstream sim spectra --rate 0 --num 100000 --wait 1 --lossless`, to measure a receiver
    """
    from beamstream.sim.spectrometer import Spectrometer, SpectrometerSpec

    spec = SpectrometerSpec(
        rate=rate,
        shape=_shape(shape),
        address=_address(bind),
        seed=seed,
        sequence=sequence,
        gulps=gulps,
        number=num or 0,
        interval=interval,
        subscribers=wait,
        high_water=high_water,
        lossless=lossless,
    )
    with Spectrometer(spec, faults_from(fault or [])) as spectrometer:
        _end_by_signals(spectrometer)
        _begun(spec, spectrometer.address, as_json)
        spectrometer.run()
        spectrometer.close(0.0 if spectrometer.stopping else _LINGER)
        _ended(spectrometer.counters(), as_json)


def faults_from(pairs: list[str]) -> "SpectraFaults":
    """Return the faults that ``NAME=VALUE`` say.

    Raises
    ------
    typer.BadParameter
        There is no such fault, or no such value.
    """
    from beamstream.sim.spectra_faults import SpectraFaults

    known = {f.name: _reader(f.type) for f in fields(SpectraFaults)}
    said: dict[str, Any] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in known or not text:
            raise typer.BadParameter(f"{pair!r} given; write NAME=VALUE, NAME from {', '.join(known)}")
        try:
            said[name] = known[name](text)
        except ValueError:
            raise typer.BadParameter(f"{pair!r} given; a number is wanted", param_hint="--fault") from None
    try:
        return SpectraFaults(**said)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fault") from None


def _reader(kind: object) -> Callable[[str], Any]:
    if kind is float:
        return float
    if kind == frozenset[int]:
        return lambda text: frozenset(int(number) for number in text.split(","))
    return int if kind is int or kind == int | None else str


def _shape(text: str) -> tuple[int, int, int]:
    from beamstream.sim.solar import check

    try:
        beams, channels, polarizations = (int(part) for part in text.lower().split("x"))
        check((beams, channels, polarizations))
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} given; write beams x channels x polarisations, like 1x3072x4 ({error})", param_hint="--shape"
        ) from None
    return beams, channels, polarizations


def _address(text: str) -> str:
    scheme, found, place = text.rpartition("://")
    return f"tcp://{place}" if not found or scheme == "zmq" else text


def _end_by_signals(spectrometer: "Spectrometer") -> None:
    def end(number: int, _frame: object) -> None:
        if ending.asked_first(number):
            spectrometer.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def _begun(spec: "SpectrometerSpec", address: str, as_json: bool) -> None:
    uri = address.replace("tcp://", "zmq://", 1)
    if as_json:
        _say({"ready": True, "address": address, "uri": uri, "cadence": spec.cadence})
        return
    pace = "in gulps of two" if spec.gulps else f"{spec.rate:g} a second" if spec.rate else "as fast as it goes"
    console = out()
    console.print(f"spectra  {uri}  ({address} for other programs)")
    console.print(f"         {'x'.join(map(str, spec.shape))} float32, {pace}")
    console.print("In another terminal:")
    console.print(f"  beamstream record {uri} --num 100")
    console.print("Ctrl-C ends it.")


def _ended(counters: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _say(counters)
        return
    late = f", {counters['late']} late (at most by {counters['behind']:.3g} s)" if counters["late"] else ""
    err().print(f"beamstream: the simulation has ended: {counters['sent']} sent, {counters['rate']:.4g} a second{late}")


def _say(doc: dict[str, Any]) -> None:
    print_json_line(doc)
