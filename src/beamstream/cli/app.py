"""main: the commands, the options that all of them have, and how each of them may end."""

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from beamstream.cli import (
    bench,
    demo,
    doctor,
    ending,
    export,
    growth_rate,
    key,
    moved,
    pipeline,
    publish,
    record,
    recover,
    references,
    runs,
    serve,
    session,
    sim,
    spectra,
    uploads,
    version,
    view,
)
from beamstream.cli.console import INTERRUPTED, complain, err
from beamstream.errors import BeamstreamError
from beamstream.logs import plain_warnings, write_error
from beamstream.path_names import control_fault
from beamstream.plain_text import plain
from beamstream.trust import check_working_directory

_DEBUG = "BEAMSTREAM_DEBUG"
_FREE_TEXT = frozenset(("--md", "--note", "--name"))
_EPILOG = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 frames were lost and marked (record), 130 Ctrl-C."


class Commands(TyperGroup):
    """The commands; a message about how one was called may repeat the name of a file, or what is in it."""

    def make_context(self, info_name: str | None, args: list[str], *arguments: Any, **options: Any) -> Any:
        """Return what a command is run with."""
        with _plain_messages():
            _check_paths(args)
            return super().make_context(info_name, args, *arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _plain_messages():
            return super().invoke(ctx)


def _check_paths(arguments: Sequence[str]) -> None:
    """Refuse control characters in all that is no free text: in paths, PVs, names and URLs they are a slip."""
    for before, argument in pairwise(("", *arguments)):
        fault = control_fault(argument)
        if fault and not {before, argument.partition("=")[0]} & _FREE_TEXT:
            raise typer.BadParameter(f"{argument!r} given, {fault}; write it without, in a shell in single quotes")


@contextmanager
def _plain_messages() -> Iterator[None]:
    try:
        yield
    except typer.TyperException as error:
        error.message = plain(error.message)
        raise


app = typer.Typer(
    name="beamstream",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)
for command in (
    demo.demo,
    record.record,
    spectra.spectra,
    references.darks,
    references.flats,
    recover.recover,
    serve.serve,
    view.view,
    session.session,
    doctor.doctor,
    bench.bench,
):
    app.command()(command)
for of_a_run in (export.export, growth_rate.growth_rate, uploads.upload):
    app.command(context_settings={"ignore_unknown_options": True})(of_a_run)  # their RUN may be -1
app.command()(uploads.uploads)
app.add_typer(runs.app, name="runs")
app.add_typer(moved.app, name="archive")
app.add_typer(pipeline.app, name="pipeline")
app.add_typer(key.app, name="key")
app.add_typer(publish.app, name="publish")
app.add_typer(sim.app, name="sim")


@app.callback(invoke_without_command=True)
def beamstream(
    context: typer.Context,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Configuration; otherwise BEAMSTREAM_CONFIG, ./beamstream.toml, or the profile's."
        ),
    ] = None,
    tls_ca: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="PEM: authorities to believe over TLS, as SSL_CERT_FILE does."),
    ] = None,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --version: the versions of the whole stack.")] = False,
    debug: Annotated[bool, typer.Option("--debug", hidden=True, help="Show where an error came from.")] = False,
) -> None:
    """Record detectors that stream, account for every frame, serve what was recorded.

    Begin with `beamstream demo`, then `beamstream doctor`.
    """
    if debug:
        os.environ[_DEBUG] = "1"
    if config is not None:
        from beamstream.config import VARIABLE

        os.environ[VARIABLE] = os.path.abspath(config)  # noqa: PTH100, children start elsewhere
    if tls_ca is not None:
        if not os.access(tls_ca, os.R_OK):
            raise typer.BadParameter(f"--tls-ca {tls_ca} given, it cannot be read; name a PEM file")
        os.environ["SSL_CERT_FILE"] = os.path.abspath(tls_ca)  # noqa: PTH100, OpenSSL and children read it there
    if show_version:
        version.show(as_json)
        raise typer.Exit
    if as_json:
        raise typer.BadParameter("--json before a command goes with --version only; write it behind the command")
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
    check_working_directory()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status.

    An error of ours is one red line on standard error and status 1; so is one that is not ours, with its type,
    because a scientist at a beamline can use a sentence and not a traceback. ``beamstream --debug`` shows both.
    """
    ending.install()
    plain_warnings()
    try:
        app(args=None if arguments is None else list(arguments), prog_name="beamstream")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if status == INTERRUPTED:
            err().print("beamstream: ended by Ctrl-C", style="yellow")
        return status
    except BeamstreamError as error:
        _explain(error)
    except BrokenPipeError:  # whoever read us has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _explain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except Exception as error:
        _explain(f"{type(error).__name__}: {error} (beamstream --debug … shows where)")
    finally:
        ending.over()
    return 1


def _explain(message: object) -> None:
    if os.environ.get(_DEBUG):
        write_error(traceback.format_exc())
    complain(message)
