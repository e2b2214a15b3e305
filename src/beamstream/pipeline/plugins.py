"""Import a plug-in's files under a private name: no change of sys.path, no clash with what is installed.

A plug-in lies below a directory, the root, as a module does below a directory of sys.path. It is imported as a member
of a package of its own that nobody else sees, so relative imports work, and two plug-ins never share a module. The
source is always compiled anew: Python's cache of bytecode takes an edit within the same second for no edit.
"""

import importlib
import importlib.machinery
import itertools
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import CodeType, ModuleType

from beamstream.pipeline.watching import Watched
from beamstream.trust import check_trusted

_PREFIX = "beamstream_plugin_"
_numbers = itertools.count(1)
_watched: dict[str, Watched] = {}
"""By private package: who wants to know which files it was made of."""


def place(module: str, roots: Iterable[Path], watched: Watched) -> tuple[Path, Path] | None:
    """Return root and file (relative to it) of a module in the first root that has it; None when none has it.

    ``a.b`` lies in ``a/b.py`` or ``a/b/__init__.py``; ``x/b.py`` is a path, and its directory the root.
    """
    for root in roots:
        if module.endswith(".py"):
            if watched.see(root / module):
                return (root / module).parent, Path(Path(module).name)
            continue
        if not all(parts := module.split(".")):
            continue  # a dot too many
        for file in (Path(*parts[:-1], f"{parts[-1]}.py"), Path(*parts, "__init__.py")):
            if watched.see(root / file):
                return root, file
    return None


def load(root: Path, file: Path, watched: Watched) -> ModuleType:
    """Import a file below a root; what it imports relatively is imported with it.

    Parameters
    ----------
    root : Path
        Where the outermost package lies; relative imports reach up to here.
    file : Path
        Relative to `root`.
    watched : Watched
        Is told of each file of the plug-in, before it is read.

    Raises
    ------
    Exception
        Whatever the plug-in's code raises; nothing of it stays in sys.modules.
    """
    _install()
    private = f"{_PREFIX}{next(_numbers)}"
    package = ModuleType(private, "A plug-in's own world.")
    package.__path__ = [str(root)]
    sys.modules[private] = package
    _watched[private] = watched
    inner = file.parent if file.name == "__init__.py" else file.with_suffix("")
    try:
        return importlib.import_module(".".join((private, *inner.parts)))
    except BaseException:
        forget(private)
        raise


def forget(name: str) -> None:
    """Take a plug-in's modules out of sys.modules; `name` is the name of any of them."""
    private = name.partition(".")[0]
    if private.startswith(_PREFIX):
        _watched.pop(private, None)
        for known in [n for n in sys.modules if n == private or n.startswith(private + ".")]:
            del sys.modules[known]


def advice(error: BaseException, root: Path) -> str:
    """Return what to do about a plug-in that cannot be imported."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        if any((root / one).exists() for one in (top, f"{top}.py")):
            return f"{top} lies beside it: import it relatively, from .{error.name} import …"
        return f"install {top}"
    return "correct the file"


class _Source(importlib.machinery.SourceFileLoader):
    """Compile from the source each time, and say which file that was."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        if watched := _watched.get(fullname.partition(".")[0]):
            watched.see(Path(path))
        return self.source_to_code(self.get_data(path), path)


class _Finder(MetaPathFinder):
    """Find the members of private packages, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(_PREFIX):
            return None
        for directory in path or ():
            finder = importlib.machinery.FileFinder(  # a new one each time: it remembers directories
                directory,
                (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
                (_Source, importlib.machinery.SOURCE_SUFFIXES),
            )
            if spec := finder.find_spec(fullname):
                if spec.has_location and spec.origin:
                    check_trusted(spec.origin, "plug-in")
                return spec
        return None


def _install() -> None:
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
