"""`beamstream publish`: averaged spectra over ZeroMQ, as the data recorder publishes them."""

import contextlib
import math
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from beamstream.cli.console import err, out, print_json, progress, table
from beamstream.cli.ending import asked_first
from beamstream.cli.publish_files import open_file
from beamstream.cli.publish_inputs import Gulp, Input, OtherPublisher, Samples, Timing, simulated

if TYPE_CHECKING:
    from beamstream.sinks.spectra_publisher import SpectraPublisher

app = typer.Typer(no_args_is_help=True, help="Publish what others may listen to.", rich_markup_mode="markdown")

_SIM = "sim"
_ZMQ = "zmq://"
_SAMPLES, _SHAPE = 250, (1, 3072, 4)  # the recorder's gulp
_LOOK = 0.1  # s


@app.callback()
def publish() -> None:
    """Publish what others may listen to."""


@app.command()
def spectra(
    source: Annotated[
        str, typer.Option("--from", metavar="sim|FILE|zmq://HOST:PORT", help="The Sun, .npy, raw binary, a publisher.")
    ] = _SIM,
    bind: Annotated[str, typer.Option(help="Where to listen; port 0 is any that is free.")] = "tcp://127.0.0.1:9798",
    interval: Annotated[float, typer.Option(min=1e-6, help="From one message to the next, s.")] = 0.25,
    clock: Annotated[
        Literal["data", "wall"], typer.Option(help="Whose seconds these are: the samples', or ours.")
    ] = "data",
    pace: Annotated[Literal["real", "fast"], typer.Option(help="As the samples were taken, or at once.")] = "real",
    shape: Annotated[
        str | None,
        typer.Option(metavar="[TIMESx]BEAMSxCHANNELSxPOLS", help="Of a gulp; 250x1x3072x4, or what a .npy file holds."),
    ] = None,
    dtype: Annotated[str, typer.Option(help="Of raw binary.")] = "float32",
    gulp_seconds: Annotated[float, typer.Option(min=1e-6, help="How long a gulp is.")] = 1024 * 24 * 8192 / 196e6,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of the first sample, ISO 8601, UTC; otherwise now.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0, help="Publish so many seconds of data.")] = math.inf,
    repeat: Annotated[bool, typer.Option("--repeat", help="Begin a file again at its end.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Begin when somebody has subscribed.")] = False,
    sequence: Annotated[bool, typer.Option(help="Number the messages; the recorder does not.")] = True,
    queue: Annotated[int, typer.Option(min=1, help="Messages kept for a slow subscriber; then it loses some.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the simulated Sun.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Average time samples and publish the mean every --interval seconds, until they end or Ctrl-C.

    What remains at the end is published as a shorter average. Exit status 130 when Ctrl-C cut a file short. Examples:

    `beamstream publish spectra --from sim`

    `beamstream publish spectra --from gulps.npy --wait --pace fast --json`

    `beamstream publish spectra --from beam.raw --shape 250x1x3072x4 --repeat`

    `beamstream publish spectra --from zmq://127.0.0.1:9798 --bind tcp://127.0.0.1:9799 --interval 10`
    """
    if source.removeprefix(_ZMQ) == bind.removeprefix("tcp://"):
        raise typer.BadParameter(f"{source} given, which is where we publish; choose another port", param_hint="--bind")
    times, sample = _shape(shape)
    step = gulp_seconds / times
    most = max(1, math.ceil(min(interval / step, times)))  # more would make several messages leave at once
    timing = Timing(_time(start), step, most, seconds)
    began = time.monotonic()
    with (
        _signal_asked() as asked,
        contextlib.closing(_input(source, sample, dtype, timing, repeat, seed)) as given,
        _publisher(bind, interval=interval, clock=clock, sequence=sequence, queue=queue) as publisher,
    ):
        err().print(f"beamstream: publishes at {publisher.address}")
        while wait and not asked() and not publisher.wait(_LOOK):
            pass
        _publish(given, publisher, pace == "real", asked)
    result = _result(source, publisher, given, time.monotonic() - began, asked())
    if as_json:
        print_json(result)
    else:
        _show(result)
    if given.length is not None and asked():
        raise typer.Exit(128 + asked())


def _publish(given: Input, publisher: "SpectraPublisher", real: bool, asked: Callable[[], int]) -> None:
    """Publish all that there is, at the pace at which it came about or at once."""
    with progress(given.length, "samples") as bar:
        for gulp in _paced(given.gulps(asked), real, asked):
            if publisher.time_tag is None:
                publisher.time_tag = gulp.time_tag
            publisher.add(gulp.values, gulp.start, gulp.step)
            counters = publisher.counters
            bar.at(counters.samples + counters.waiting)


def _paced(gulps: Iterator[Gulp], real: bool, asked: Callable[[], int]) -> Iterator[Gulp]:
    """Yield gulps, those of known length not before they would be complete."""
    began, first = time.monotonic(), None
    for gulp in gulps:
        first = gulp.start if first is None else first
        if real and gulp.step is not None:
            due = began + gulp.start - first + gulp.seconds
            while (left := due - time.monotonic()) > 0 and not asked():
                time.sleep(min(left, _LOOK))
        if asked():
            return
        yield gulp


@contextlib.contextmanager
def _signal_asked() -> Iterator[Callable[[], int]]:
    """Yield what tells the signal that asked to end, 0 before: an exception could come in the middle of a message."""
    seen = [0]

    def end(number: int, _frame: FrameType | None) -> None:
        if asked_first(number):
            seen[0] = number

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: seen[0]
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _publisher(bind: str, **options: Any) -> "SpectraPublisher":
    from beamstream.sinks.spectra_publisher import SpectraPublisher

    try:
        return SpectraPublisher(bind, **options)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _input(
    source: str, sample: tuple[int, int, int] | None, dtype: str, timing: Timing, repeat: bool, seed: int
) -> Input:
    if source == _SIM:
        return simulated(sample or _SHAPE, seed, timing)
    if source.startswith(_ZMQ):
        from beamstream.sources.spectra import SpectraSource

        return OtherPublisher(SpectraSource(source.replace(_ZMQ, "tcp://"), name="publish"), timing.seconds)
    values = open_file(Path(source), sample, dtype)
    return Samples(lambda first, number: values[first : first + number], len(values), timing, repeat)


def _shape(text: str | None) -> tuple[int, tuple[int, int, int] | None]:
    """Return how many samples a gulp has, and the shape of one if that was said."""
    if text is None:
        return _SAMPLES, None
    if not re.fullmatch(r"([1-9]\d*x){2,3}[1-9]\d*", text):
        raise typer.BadParameter(f"{text!r} given; write 250x1x3072x4, or 1x3072x4", param_hint="--shape")
    *times, beams, channels, pols = map(int, text.split("x"))
    return (times or [_SAMPLES])[0], (beams, channels, pols)


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} given; write 2025-08-18T17:18:34.794256", param_hint="--start") from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _result(source: str, publisher: "SpectraPublisher", given: Input, seconds: float, ended_by: int) -> dict[str, Any]:
    counters = asdict(publisher.counters)
    del counters["waiting"], counters["subscribers"]  # nothing and nobody, it is closed
    ended = signal.Signals(ended_by).name if ended_by else "end of data"
    return {
        "address": publisher.address,
        "from": source,
        **counters,
        "missing": given.missing,
        "malformed": given.refused,
        "seconds": round(seconds, 3),
        "ended": ended,
    }


def _show(result: dict[str, Any]) -> None:
    columns = ("published", "samples", "short", "unheard", "missing", "malformed", "seconds")
    made = table(*columns, right=columns)
    made.add_row(*(str(result[column]) for column in columns))
    out().print(made)
    if result["overflows"]:
        words = f"a subscriber was too slow {result['overflows']} times and has lost messages; its sequence tells which"
        err().print(f"beamstream: {words}", style="yellow")
