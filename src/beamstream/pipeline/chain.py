"""Pipeline: one image through a chain of processors, which fail one by one and not all together."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray

from beamstream.errors import PipelineError, ProcessorFailed
from beamstream.ops.base import Meta
from beamstream.pipeline.files import PipelineFile
from beamstream.pipeline.processor import Processor, ProcessorStatistics, name_of


class Pipeline:
    """Send images through ops, functions and plug-ins, one after the other; a Pipeline is an op itself.

    `apply` and `apply_or_pass` are called from one thread; `statistics` from any.

    Parameters
    ----------
    ops : Iterable
        Ops, or functions of an image, or of an image and its meta.
    names : Sequence of str, optional
        What errors and statistics call them; without, after their classes.

    Raises
    ------
    PipelineError
        One of `ops` is none, or names do not fit.
    """

    def __init__(self, ops: Iterable[object], names: Sequence[str] | None = None) -> None:
        ops = list(ops)
        names = _numbered([name_of(op) for op in ops]) if names is None else list(names)
        if len(names) != len(ops) or len(set(names)) != len(names):
            words = f"pipeline: names {', '.join(names)} for {len(ops)} processors"
            raise PipelineError(f"{words}; give each a name of its own")
        self._own = [Processor(op, name) for op, name in zip(ops, names, strict=True)]
        self._file: PipelineFile | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, reload: bool = True) -> Self:
        """Make the pipeline that a JSON file describes, in either of Pystream's schemas.

        Parameters
        ----------
        path : path
            Relative paths in it start at its directory.
        reload : bool
            Follow changes of the file and of the plug-ins: at most twice a second, between two frames. A version
            that is wrong is not used, see `reload_error`. Switch it off where all frames have to be made alike.

        Raises
        ------
        PipelineError
            Something is wrong with the file or a plug-in; all of it is in the text, ``FILE:LINE: …`` each.
        """
        made = cls([])
        made._file = PipelineFile(Path(path), reload)
        return made

    def apply(self, image: NDArray[Any], meta: Meta | None = None) -> NDArray[Any]:
        """Return the image that all processors made.

        Parameters
        ----------
        image : ndarray
            Is not changed. The result may be a view of it, or of memory that the next call reuses.
        meta : Mapping, optional
            See `beamstream.ops.base.meta_of`. Processors get a copy, shared by all for this frame.

        Raises
        ------
        ProcessorFailed
            One of them made none; the later ones did not see this frame. The next frame may be fine.
        """
        meta = dict(meta or {})
        for processor in self._processors():
            image = processor.apply(image, meta)
        return image

    def apply_or_pass(
        self, image: NDArray[Any], meta: Meta | None = None
    ) -> tuple[NDArray[Any], list[ProcessorFailed]]:
        """Return the image that those processors made that could, and the errors of the others.

        A processor that fails passes on what it got. For viewers, which rather show something.
        """
        meta, errors = dict(meta or {}), []
        for processor in self._processors():
            try:
                image = processor.apply(image, meta)
            except ProcessorFailed as error:
                errors.append(error)
        return image, errors

    def __getitem__(self, name: str) -> Any:
        """Return the op or function of this name, as it is now: ``pipeline["statistics"].latest``.

        Raises
        ------
        KeyError
            No processor is called so.
        """
        return {processor.name: processor.op for processor in self._now()}[name]

    def statistics(self) -> list[ProcessorStatistics]:
        """Return what each processor did so far, in their order; one that was made anew begins at 0."""
        return [processor.statistics() for processor in self._now()]

    def describe(self) -> dict[str, Any]:
        """Return the processors and their parameters, as they are now, in values that JSON can carry."""
        file = {} if self._file is None else {"file": str(self._file.file)}
        return {**file, "processors": [processor.describe() for processor in self._now()]}

    @property
    def reload_error(self) -> str | None:
        """Why the newest version of the file is not in use; None when it is."""
        return None if self._file is None else self._file.error

    def _processors(self) -> list[Processor]:
        """Return the processors for a new frame."""
        return self._own if self._file is None else self._file.processors()

    def _now(self) -> list[Processor]:
        return self._own if self._file is None else self._file.reading.processors


def _numbered(names: list[str]) -> list[str]:
    """Return the names, those that come again with a number."""
    return [name if names.count(name) == 1 else f"{name} {names[: i + 1].count(name)}" for i, name in enumerate(names)]
