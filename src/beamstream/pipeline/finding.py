"""Find the class or function that an entry means: in a plug-in's file, among the known ones, or installed."""

import hashlib
import importlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from beamstream.errors import PipelineError, UntrustedFile
from beamstream.pipeline import known, plugins
from beamstream.pipeline.entries import FUNCTIONS, Entry, nearest
from beamstream.pipeline.processor import place_of
from beamstream.pipeline.watching import Watched
from beamstream.trust import check_trusted

log = logging.getLogger(__name__)


class Wrong(PipelineError):
    """One thing is wrong with an entry, at a key of it."""

    def __init__(self, message: str, *keys: str) -> None:
        super().__init__(message)
        self.keys = keys


@dataclass(frozen=True)
class Found:
    """A class or function, and where it comes from.

    Parameters
    ----------
    origin : dict
        For people, in values that JSON can carry.
    file : str
        Of a plug-in.
    private : str
        The name under which a plug-in was imported.
    """

    made: Any
    origin: dict[str, Any]
    file: str = ""
    private: str = ""


def find(entry: Entry, base: Path, processors_dir: str, watched: Watched) -> Found:
    """Return what an entry means.

    A module is looked for below `base` and the directory above, and in `processors_dir` below either; then among
    the known processors, then among what is installed. `watched` is told of each file that was looked for.

    Raises
    ------
    Wrong
        There is none, or it cannot be imported.
    """
    if not entry.module:
        return _by_name(entry)
    roots = [base / processors_dir, base.parent / processors_dir]
    if entry.schema is not FUNCTIONS:
        roots = [base, roots[0], base.parent, roots[1]]
    if place := plugins.place(entry.module, roots, watched):
        return _from_file(entry, *place, watched)
    if not entry.class_name and (found := _known(entry.module)):
        return found
    if module := _installed(entry.module):
        return Found(_member(entry, module), {"op": entry.class_name or "process", "module": entry.module})
    if entry.class_name and (found := _known(entry.class_name)):
        log.info("%s: there is no module %s; ours is used, %s", entry.name, entry.module, found.made.__qualname__)
        return found
    raise Wrong(_not_there(entry, roots), "module")


def _by_name(entry: Entry) -> Found:
    name = entry.class_name or entry.name
    if found := _known(name):
        return found
    words = f"module is missing, and {name} is not known without; add it, or name a known processor"
    raise Wrong(f"{words}: {nearest(name, known.known())}", "class" if entry.class_name else "name")


def _known(name: str) -> Found | None:
    one = known.find(name)
    if one is None:
        return None
    try:
        return Found(one.load(), {"op": one.name, "module": one.reference.partition(":")[0]})
    except (Exception, SystemExit) as error:
        words = f"{one.reference} of {one.package} cannot be loaded: {type(error).__name__}: {error}"
        raise Wrong(f"{words}; correct or reinstall {one.package}", "module") from error


def _installed(module: str) -> ModuleType | None:
    """Return an installed module; None when there is none of this name."""
    if module.endswith(".py") or not all(part.isidentifier() for part in module.split(".")):
        return None  # the path of a file
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            return None
        raise Wrong(f"module {module} cannot be imported: {error}; install {error.name}", "module") from error
    except (Exception, SystemExit) as error:
        words = f"module {module} cannot be imported: {type(error).__name__}: {error}"
        raise Wrong(f"{words}; correct or reinstall it", "module") from error


def _from_file(entry: Entry, root: Path, file: Path, watched: Watched) -> Found:
    whole = root / file
    try:
        check_trusted(whole, "plug-in")
        digest = hashlib.sha256(whole.read_bytes()).hexdigest()
        module = plugins.load(root, file, watched)
    except UntrustedFile as error:
        raise Wrong(str(error), "module") from error
    except (Exception, SystemExit) as error:
        where = "" if isinstance(error, SyntaxError) else place_of(error, str(whole))  # its text has the line
        words = f"{whole} cannot be imported: {type(error).__name__}: {error}" + (f" ({where})" if where else "")
        raise Wrong(f"{words}; {plugins.advice(error, whole.parent)}", "module") from error
    try:
        made = _member(entry, module)
    except Wrong:
        plugins.forget(module.__name__)
        raise
    origin = {"op": entry.class_name or "process", "module": entry.module, "file": str(whole), "sha256": digest}
    return Found(made, origin, str(whole), module.__name__)


def _member(entry: Entry, module: ModuleType) -> Any:
    """Return the class or the function ``process`` of a module."""
    classes = _classes(module)
    if entry.schema is FUNCTIONS:
        if callable(process := getattr(module, "process", None)):
            return process
        words = f"module {entry.module} has no function process(img, meta=None, **params); add it"
        if classes:
            words += f', or write it with "class": "{classes[0]}" below "processors"'
        raise Wrong(words, "module")
    if not entry.class_name:
        raise Wrong(f"class is missing; add one of {', '.join(classes) or f'module {entry.module}'}", "module")
    made = getattr(module, entry.class_name, None)
    if not isinstance(made, type):
        raise Wrong(
            f"module {entry.module} has no class {entry.class_name}; {_other(entry.class_name, classes)}", "class"
        )
    if not callable(getattr(made, "apply", None)):
        raise Wrong(f"class {entry.class_name} has no method apply(img, meta); add it", "class")
    return made


def _classes(module: ModuleType) -> list[str]:
    return [
        name for name, one in vars(module).items() if isinstance(one, type) and callable(getattr(one, "apply", None))
    ]


def _other(name: str, classes: Sequence[str]) -> str:
    return nearest(name, classes) if classes else "add it, with a method apply(img, meta)"


def _not_there(entry: Entry, roots: Sequence[Path]) -> str:
    words = f"there is no module {entry.module} in {', '.join(map(str, roots))}, nor is it installed"
    ours = nearest(entry.class_name or entry.module, known.known())
    return f"{words}; put it there, or use a known processor: {ours}"
