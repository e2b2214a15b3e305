"""Where an archive lay before and where its recordings were moved to: what documents name is found where it is now.

Documents keep the paths that they were written with. An archive that was moved or copied reads its own files, never
those of the one that it was copied from.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

from beamstream.file_uri import path_of, uri_of
from beamstream.former_places import former_places
from beamstream.private import as_around

FILE = "places.json"
RECORDINGS = "beamstream_recordings"
"""Key of the start document that names the files of the detectors; in events of one detector ``<name>_recorded_to``."""
_RECORDED_TO = "_recorded_to"


@dataclass(frozen=True)
class Places:
    """Know the places of one archive; kept in ``<archive>/places.json``.

    Parameters
    ----------
    directory : Path
        Where it is.
    former : sequence of Path
        Where it lay before.
    moves : sequence of (Path, Path)
        Directories of recordings and where they were moved to, the oldest first; what is in the archive itself is
        relative to it.
    is_written : bool
        Whether all this is written down.
    """

    directory: Path
    former: Sequence[Path] = ()
    moves: Sequence[tuple[Path, Path]] = ()
    is_written: bool = False

    @classmethod
    def of(cls, directory: Path) -> Self:
        """Return what an archive has written down; of one that has not, what its catalogue and journals name."""
        directory = directory.absolute()
        try:
            known = json.loads((directory / FILE).read_bytes())
            lay_in = [Path(place) for place in known["lay_in"]]
            moves = [(Path(source), Path(target)) for source, target in known["moved"]]
        except (OSError, ValueError, KeyError, TypeError):
            return cls(directory, former_places(directory))
        return cls(directory, [place for place in lay_in if place != directory], moves, directory in lay_in)

    @classmethod
    def of_journal(cls, journal: Path) -> Self:
        """Return those of the archive whose journal a file is in; none for a journal elsewhere."""
        directory = journal.parent if journal.parent.name == "journal" else journal.parent.parent
        return cls.of(directory.parent) if directory.name == "journal" else cls(directory)

    def write(self) -> None:
        """Replace what the archive has written down.

        Raises
        ------
        OSError
            The system refuses it.
        """
        lay_in = [str(place) for place in (*self.former, self.directory)]
        moved = [[str(source), str(target)] for source, target in self.moves]
        file = self.directory / FILE
        hidden = file.with_name(f".{FILE}.{uuid4().hex}")
        try:
            with open(hidden, "w", opener=as_around) as opened:
                json.dump({"lay_in": lay_in, "moved": moved}, opened, indent=1)
                opened.flush()
                os.fsync(opened.fileno())
            hidden.replace(file)
        finally:
            hidden.unlink(missing_ok=True)

    def home(self, path: Path) -> Path:
        """Return where a path of the archive's own is since the archive lies here."""
        if path.is_relative_to(self.directory):
            return path
        for place in sorted(self.former, key=lambda place: len(place.parts), reverse=True):
            if path.is_relative_to(place):
                return self.directory / path.relative_to(place)
        return path

    def path(self, path: Path) -> Path:
        """Return where a file or directory is now."""
        path = self.home(path)
        for source, target in self.moves:
            if path.is_relative_to(self.directory / source):
                moved = self.directory / target / path.relative_to(self.directory / source)
                path = moved if moved.exists() else path
        return path

    def uri(self, uri: str) -> str:
        """Return the URI of a file where it is now; of what did not move the same text."""
        if urlsplit(uri).scheme != "file":
            return uri
        path = path_of(uri)
        now = self.path(path)
        return uri if now == path else uri_of(now)

    def document(self, name: str, doc: dict[str, Any]) -> dict[str, Any]:
        """Return a document of a run with the files that it names where they are now."""
        if not (self.former or self.moves):
            return doc
        if name == "stream_resource":
            return {**doc, "uri": self.uri(doc["uri"])}
        if name == "start" and RECORDINGS in doc:
            return {**doc, RECORDINGS: [self._recording(recording) for recording in doc[RECORDINGS]]}
        if name == "event" and any(key.endswith(_RECORDED_TO) for key in doc["data"]):
            return {**doc, "data": {key: self._reading(key, value) for key, value in doc["data"].items()}}
        return doc

    def _recording(self, recording: Mapping[str, Any]) -> dict[str, Any]:
        return {**recording, "uri": self.uri(recording["uri"])}

    def _reading(self, key: str, value: Any) -> Any:
        return json.dumps(self._recording(json.loads(value))) if key.endswith(_RECORDED_TO) and value else value
