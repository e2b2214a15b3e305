"""The key of a service that takes uploads: from a file that nobody else can read, or from the environment."""

import os
from pathlib import Path

from beamstream.edited_text import ADVICE, NotUtf8, text_of
from beamstream.errors import UploadError
from beamstream.private import NotPrivate, read_private

KEY_VARIABLE = "BEAMSTREAM_UPLOAD_KEY"


def read_key(key_file: str | os.PathLike[str] | None) -> str:
    """Return the key: what the file holds, if one is named, else what the environment has.

    It is read anew at each call, so that a mended file counts at once. A file goes before the environment: it was
    named for one service, and another one's key is not to be sent there.

    Parameters
    ----------
    key_file : path-like, optional
        With mode 600.

    Raises
    ------
    UploadError
        There is none, or others can read it; never quotes it.
    """
    if key_file is not None:
        return _from_file(Path(key_file))
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        raise UploadError(
            f"upload: no key for the service; put it into the environment variable {KEY_VARIABLE}, "
            "or into a file with mode 600 that key_file names"
        )
    return _checked(key, f"the environment variable {KEY_VARIABLE}")


def _from_file(path: Path) -> str:
    try:
        key = text_of(read_private(path)).strip()
    except NotPrivate as error:
        raise UploadError(f"upload: the key {error}; chmod 600 it if you trust them, otherwise get a new one") from None
    except OSError as error:
        raise UploadError(f"upload: the key {path} cannot be read: {error.strerror}; correct key_file") from error
    except NotUtf8 as error:
        raise UploadError(f"upload: the key {path} is {error}; {ADVICE}, or correct key_file") from None
    return _checked(key, f"the file {path}")


def _checked(key: str, where: str) -> str:
    """Return what can stand in an HTTP header."""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise UploadError(f"upload: {where} holds no key: one word of letters, digits and punctuation was expected")
    return key
