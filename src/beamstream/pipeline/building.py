"""Make a processor of what a pipeline's file says about it, or say in its line why that is not possible."""

import functools
import inspect
import re
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beamstream.errors import BeamstreamError
from beamstream.pipeline import plugins
from beamstream.pipeline.document import Document
from beamstream.pipeline.entries import Entry, nearest
from beamstream.pipeline.finding import Found, Wrong, find
from beamstream.pipeline.processor import Processor, place_of
from beamstream.pipeline.watching import Watched


def build(entry: Entry, document: Document, processors_dir: str, watched: Watched) -> Processor | None:
    """Return the processor that an entry asks for; None, and complaints in the document, when it cannot be made.

    `watched` is told of every file that the processor stands on, or would stand on if it were there.
    """
    base, found = document.file.parent, None
    try:
        found = find(entry, base, processors_dir, watched)
        _check_options(entry, found.made, document)
        options = _from_base(entry.options, getattr(found.made, "PATHS", ()), base, watched)
        op = _made(entry, found, options)
    except Wrong as error:
        document.complain((*entry.where, *error.keys), f"{entry.name}: {error}")
        plugins.forget(found.private if found else "")
        return None
    processor = Processor(op, entry.name, found.origin | {"parameters": options})
    weakref.finalize(processor, plugins.forget, found.private).atexit = False
    return processor


def _check_options(entry: Entry, made: Any, document: Document) -> None:
    """Complain of each option that the class or function does not take or that it needs and does not get."""
    complaints = list(_wrong_options(made, entry.options).items())
    key = entry.schema.options_key
    for option, words in complaints[:-1]:
        document.complain((*entry.where, key, option), f"{entry.name}: {words}")
    if complaints:
        raise Wrong(complaints[-1][1], key, complaints[-1][0])


def _wrong_options(made: Any, options: Mapping[str, Any]) -> dict[str, str]:
    try:
        parameters = list(inspect.signature(made).parameters.values())
    except (TypeError, ValueError):  # written in C: calling it will tell
        return {}
    if not isinstance(made, type):
        parameters = [p for p in parameters[1:] if p.name != "meta"]  # the first is the image
    named = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    wrong = {}
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        advice = {name: nearest(name, named) if named else "it has no options, delete it" for name in options}
        wrong = {name: f"{name} is not an option; {advice[name]}" for name in options if name not in named}
    missing = [p.name for p in named.values() if p.default is p.empty and p.name not in options]
    return wrong | {name: f"option {name} is missing; add it" for name in missing}


def _from_base(options: dict[str, Any], paths: tuple[str, ...], base: Path, watched: Watched) -> dict[str, Any]:
    """Return the options with the files among them as paths that start at the directory of the pipeline's file."""
    files = {name: base / options[name] for name in paths if isinstance(options.get(name), str)}
    for file in files.values():
        watched.see(file)
    return options | files


def _made(entry: Entry, found: Found, options: dict[str, Any]) -> object:
    if not isinstance(found.made, type):
        return functools.partial(found.made, **options)
    try:
        op = found.made(**options)
    except (Exception, SystemExit) as error:
        text = str(error)
        option = next((name for name in options if re.search(rf"\b{re.escape(name)}\b", text)), "")
        if not isinstance(error, BeamstreamError):
            text = f"{type(error).__name__}: {error} ({place_of(error, found.file)}); correct the options"
        raise Wrong(text, entry.schema.options_key, option) from error
    try:
        inspect.signature(op.apply).bind(None, {})
    except TypeError as error:
        words = f"apply is called with (img, meta), which does not fit: {error}; change its parameters"
        raise Wrong(words, "class") from error
    except ValueError:  # written in C
        pass
    return op
