"""What of the attributes of frames has no place in a format: lines of JSON, in a file beside it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from beamstream.frames import Frame
from beamstream.sinks.attribute_columns import COLOR_MODE, AttributePacker, attribute_columns
from beamstream.sinks.hdf5_layout import Column

SUFFIX = ".attributes.jsonl"


class AttributeLines:
    """Keep the attributes of the frames of one run that a format has no place for, in ``<path>.attributes.jsonl``.

    The lines are those of `beamstream.sinks.attribute_columns.AttributePacker`. The file is made when there is the
    first one; one that exists is never touched.

    Parameters
    ----------
    path : Path
        Of what the frames are written to.
    attributes : Mapping, optional
        Of a first frame; without them, nothing is kept.
    name : str
        The detector's, for the log.
    elsewhere : sequence of Column
        What the format keeps already.
    kinds : str
        Of which of numpy's kinds the format has columns: of ``"bifS"``; of none, it has `own` elsewhere.

    Attributes
    ----------
    columns : tuple of Column
        What the format is to keep; `append` returns their values.
    own : dict
        Those of `attributes` that are kept nowhere else.
    """

    def __init__(
        self,
        path: Path,
        attributes: Mapping[str, Any] | None,
        name: str,
        elsewhere: Sequence[Column] = (),
        kinds: str = "bifS",
    ) -> None:
        self.path = path.with_name(f"{path.name}{SUFFIX}")
        self.columns: tuple[Column, ...] = ()
        self._packer: AttributePacker | None = None
        self._fd = -1
        kept = {column.source for column in elsewhere} | {COLOR_MODE}
        self.own = {key: value for key, value in (attributes or {}).items() if key not in kept}
        if attributes is not None:
            self.columns = attribute_columns(self.own, [column.name for column in elsewhere], kinds)
            self._packer = AttributePacker(self.own, self.columns, name, kept, is_known=not kinds)

    def append(self, frames: Sequence[Frame], first: int) -> dict[str, NDArray[Any]]:
        """Write the lines of some frames, the first of them row `first`; return the values of the columns by name.

        Raises
        ------
        OSError
            The system refuses it.
        """
        if self._packer is None:
            return {}
        packed = self._packer.pack(frames, first)
        if packed.changes:
            self._write(packed.changes)
        return {column.name: array for column, array in zip(self.columns, packed.arrays, strict=True)}

    def _write(self, lines: bytes) -> None:
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o666)
        rest = memoryview(lines)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def files(self) -> tuple[Path, ...]:
        """Return the file, once there is one."""
        return (self.path,) if self._fd >= 0 else ()

    def close(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
