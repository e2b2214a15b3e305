"""`beamstream view`: streams live, in a browser, in a window or in napari; without a session."""

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from beamstream.cli.console import print_json_line
from beamstream.errors import ConfigurationError

if TYPE_CHECKING:
    from beamstream.config import Config
    from beamstream.instrument.page import KeptPage, Streams
    from beamstream.watching.streams import StreamSpec

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


def view(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE]…", help="`pva://PV`, `zmq://HOST:PORT`, `video:FILM`, `webcam:0`, or a name."),
    ] = None,
    qt: Annotated[bool, typer.Option("--qt", help="In a window of its own; wants the extra `qt`.")] = False,
    napari: Annotated[bool, typer.Option("--napari", help="In napari; wants the extra `napari`.")] = False,
    pv: Annotated[str, typer.Option(metavar="PV", help="The same as the source `pva://PV`.")] = "",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Of the page, if none is there; 0 takes a free one.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address of the page; 0.0.0.0 for the whole network.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Whether to open one.")] = True,
    max_fps: Annotated[float, typer.Option(min=0, help="With --qt: most frames drawn a second; 0: all.")] = 0.0,
    display_bin: Annotated[int, typer.Option(min=0, help="With --qt: pixels drawn as one; 0: as they fit.")] = 0,
    proc_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Pipeline, in place of the configuration's.")
    ] = None,
    no_plugins: Annotated[bool, typer.Option("--no-plugins", help="Without a pipeline.")] = False,
    log_level: Annotated[LogLevel, typer.Option(case_sensitive=False)] = "INFO",
    log_file: Annotated[Path | None, typer.Option(metavar="FILE", help="In place of standard error.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON when the page is there.")] = False,
) -> None:
    """Show streams live: those of the configuration, or others that need none; Ctrl-C ends it.

    Frames are fetched for the eye only; where a session or `beamstream record` acquires them, those are shown, and
    it does not notice. A source that is silent, gone or wrong is waited for, in words. Examples:

    `beamstream view`

    `beamstream view camera`

    `beamstream view pva://13SIM1:Pva1:Image --qt`

    `beamstream view zmq://127.0.0.1:9798 --port 0 --no-browser`
    """
    from beamstream.config import apply_environment, load

    if qt and napari:
        raise typer.BadParameter("--qt and --napari given; choose one")
    config = _with_pipeline(load(), proc_config, no_plugins)
    apply_environment(config)
    _log(log_level, log_file)
    specs = [spec_of(text, config) for text in [*(sources or []), *([f"pva://{pv}"] if pv else [])]]
    if qt:
        options = _window_options(specs, config, max_fps, display_bin, no_plugins, log_level, log_file)
        from beamstream.viewers.qt.program import main

        raise typer.Exit(main(options))
    if napari:
        _in_napari(specs, config)
        return
    streams = _streams(specs, config, own=proc_config is not None or no_plugins)
    _in_browser(specs, config, {"streams": streams, "host": host, "port": port}, browser, as_json)


def spec_of(text: str, config: "Config") -> "StreamSpec":
    """Return what a person means by a source: a device of the configuration, or what `spec_of_uri` takes.

    Raises
    ------
    ConfigurationError
        It is nothing of these.
    """
    from beamstream.instrument.page import streams_of
    from beamstream.watching.streams import StreamSpec, rings, spec_of_uri

    known = {str(stream["name"]): stream for stream in streams_of(config)}
    if text in known:
        return StreamSpec(text, known[text]["about"])
    if ":" not in text and not text.replace("-", "").replace("_", "").isalnum():  # no name of a ring
        if not Path(text).is_file():
            raise ConfigurationError(f"view: {text} asked for, there is no such film here; write the path of one")
        return spec_of_uri(f"video:{text}")
    spec = spec_of_uri(text)
    if not spec.about and spec.name not in rings():
        there = ", ".join([*known, *(sorted(rings().keys() - known.keys()))]) or "none"
        raise ConfigurationError(
            f"view: {text} asked for, which is no device and no ring that somebody writes (these are: {there}); "
            "write one of them, or pva://PREFIX:Pva1:Image, zmq://HOST:PORT, video:film.mkv, webcam:0"
        )
    return spec


def _with_pipeline(config: "Config", file: Path | None, without: bool) -> "Config":
    """Return the configuration with another pipeline for the eye, or with none."""
    if file is None and not without:
        return config
    from beamstream.config.callbacks import PipelineConfig

    pipeline = None if without or file is None else PipelineConfig(file=file.expanduser().absolute())
    return config.model_copy(update={"callbacks": config.callbacks.model_copy(update={"pipeline": pipeline})})


def _log(level: LogLevel, file: Path | None) -> None:
    import logging

    from beamstream.logs import log_as_command

    log_as_command(level, *([logging.FileHandler(file)] if file is not None else []))


def _window_options(
    specs: "list[StreamSpec]",
    config: "Config",
    max_fps: float,
    display_bin: int,
    no_plugins: bool,
    log_level: str,
    log_file: Path | None,
) -> Any:
    if len(specs) > 1:
        raise typer.BadParameter(f"--qt shows one source, {len(specs)} given")
    from beamstream.viewers.qt.options import Options

    spec = specs[0] if specs else None
    pipeline = config.callbacks.pipeline
    return Options(
        source=spec.name if spec else "",
        about=spec.about if spec else {},
        max_fps=max_fps,
        display_bin=display_bin,
        pipeline=str(pipeline.file) if pipeline is not None else "",
        no_plugins=no_plugins,
        log_level=log_level,
        log_file=str(log_file or ""),
        recordings=config.recording.directory / "live",
        references=config.recording.directory / "references",
    )


def _in_napari(specs: "list[StreamSpec]", config: "Config") -> None:
    from types import SimpleNamespace

    from beamstream.instrument.page import streams_of
    from beamstream.viewers.napari.starting import show
    from beamstream.watching.streams import StreamSpec

    if not specs:
        specs = [StreamSpec(stream["name"], stream["about"]) for stream in streams_of(config) if stream["about"]]
    if not specs:
        raise ConfigurationError("view: no source given and no detector configured; name one, like pva://PV")
    show(SimpleNamespace(sources=specs))


def _streams(specs: "list[StreamSpec]", config: "Config", *, own: bool) -> "Streams | None":
    """Return what a page of its own shows; None where everybody's will do, whose streams are the configuration's."""
    from beamstream.instrument.page import streams_of

    known = streams_of(config)
    if not specs and not known:
        raise ConfigurationError("view: no source given and no detector configured; name one, like pva://PV")
    names = {stream["name"] for stream in known}
    others = {spec.name: spec.to_dict() for spec in specs if spec.name not in names}
    if not others and not own:
        return None
    return [*(known if own or any(spec.name in names for spec in specs) else []), *others.values()]


def _in_browser(
    specs: "list[StreamSpec]", config: "Config", options: dict[str, Any], browser: bool, as_json: bool
) -> None:
    """Open the page that is there, or serve one until Ctrl-C."""
    from beamstream.cli import ending
    from beamstream.instrument.watch import page_somewhere

    page = page_somewhere(config, **options)
    try:
        if page.address is None:
            raise ConfigurationError(page.words)
        _announce(page, config, specs[0].name if len(specs) == 1 else "", browser, as_json)
        if page.ours:
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
    finally:
        ending.over()
        page.close()


def _announce(page: "KeptPage", config: "Config", name: str, browser: bool, as_json: bool) -> None:
    from beamstream.instrument.watch import show_page

    address = page.address
    assert address is not None
    if as_json:
        line = {"ready": True, "url": address.of(name), "pid": address.pid, "ours": page.ours}
        print_json_line({**line, "key_file": str(page.key_file)})
        return
    show_page(config, address, name, browser=browser)
    if page.ours:
        from beamstream.cli.console import out

        out().print("Ctrl-C ends it.")
