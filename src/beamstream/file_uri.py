"""The URI of a file, as documents have it, and back: one way for everybody who writes or reads one."""

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urlsplit

# What a URI needs for itself, what urlsplit drops, and bytes that are no text. Blanks and letters of other alphabets
# stay: tiled 0.2.20 does not decode a URI, and its stock server would not find a file whose URI has more escapes.
_ESCAPED = re.compile(r"[%#?\x00-\x1f\x7f\udc80-\udcff]")


def uri_of(path: str | os.PathLike[str]) -> str:
    """Return the URI of a file or directory: ``file://localhost/data/sample %233/cam.h5``.

    Parameters
    ----------
    path : path-like
        Made absolute; whatever a filesystem allows, names that are no UTF-8 included.
    """
    text = Path(path).absolute().as_posix()
    return "file://localhost" + _ESCAPED.sub(lambda match: quote(os.fsencode(match[0])), text)


def path_of(uri: str) -> Path:
    """Return the path that a URI of `uri_of` stands for; a ``file:`` URI that others made is read as well."""
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(uri).path)))
