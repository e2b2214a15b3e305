"""Find beamstream.toml, read it, check it."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from beamstream.config.complaints import complaint, report, secrets
from beamstream.config.model import Config
from beamstream.config.toml_advice import advice
from beamstream.edited_text import ADVICE, NotUtf8, text_of
from beamstream.errors import ConfigurationError
from beamstream.trust import check_trusted

VARIABLE = "BEAMSTREAM_CONFIG"
FILE_NAME = "beamstream.toml"
_MOST = 1 << 20  # bytes
_LONG_KEY = re.compile(r"""(?:[\w"'-]{1,60}\.){32}""")


def find() -> Path | None:
    """Return the configuration file that counts here; None when there is none.

    The order: ``BEAMSTREAM_CONFIG``, ``beamstream.toml`` in the working directory,
    ``profile/beamstream.toml`` of the checkout that this module lies in.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    here = Path.cwd() / FILE_NAME
    checkout = Path(__file__).resolve().parents[3]
    ours = checkout / "profile" / FILE_NAME
    if here.is_file():
        return here
    return ours if ours.is_file() and (checkout / "pyproject.toml").is_file() else None


def load(path: str | os.PathLike[str] | None = None) -> Config:
    """Read and check the configuration: a file, or the first that `find` knows, or the defaults.

    Relative paths in a file start at the file's directory, those of the defaults at the working directory.

    Raises
    ------
    ConfigurationError
        The file cannot be read, is not TOML, or has keys or values that are wrong; all of them are named.
    UntrustedFile
        Others may have written it, see `beamstream.trust.check_trusted`.
    """
    file = Path(path).expanduser() if path is not None else find()
    if file is None:
        return Config()
    file = file.absolute()
    check_trusted(file, "configuration")
    return parsed(file, _read(file, f" ({VARIABLE} names it)" if path is None and os.environ.get(VARIABLE) else ""))


def parsed(file: Path, data: bytes) -> Config:
    """Return the configuration that a file holds whose bytes these are; see `load`."""
    text = _text(file, data)
    document = _parse(file, text)
    if complaints := list(secrets(document)):
        raise ConfigurationError(report(file, text, complaints))
    sections = {name: {} for name in Config.model_fields}  # the paths among their defaults start at the file too
    try:
        return Config.model_validate(sections | document, context={"file": file})
    except ValidationError as error:
        # a value may be anything, so pydantic's own text, which repeats it, must not follow as the cause
        complaints = [complaint(e) for e in error.errors(include_url=False)]
        raise ConfigurationError(report(file, text, complaints)) from None


def _read(file: Path, origin: str) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_MOST + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"{file}: asked for as configuration{origin}, {reason}; correct the path") from error


def _text(file: Path, data: bytes) -> str:
    if len(data) > _MOST:
        raise ConfigurationError(f"{file}: has more than {_MOST} bytes, so it is no configuration; correct the path")
    try:
        return text_of(data)
    except NotUtf8 as error:
        place = f":{error.line}" if error.line else ""
        raise ConfigurationError(f"{file}{place}: {error}; {ADVICE}") from None


def _parse(file: Path, text: str) -> dict[str, Any]:
    if _LONG_KEY.search(text):  # tomllib takes a time that grows with the square of its parts
        raise ConfigurationError(
            f"{file}: has a key of more than 32 parts, so it is no configuration; correct the file"
        )
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigurationError(f"{file}: nested too deeply to be a configuration; correct the file") from None
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at line (\d+), column (\d+)\)", str(error))
        line = place[1] if place else str(text.count("\n") + 1)
        column = f" in column {place[2]}" if place else " at the end"
        what = re.sub(r" \(at .*\)$", "", str(error))
        wrong = next(iter(text.split("\n")[int(line) - 1 :]), "")
        raise ConfigurationError(f"{file}:{line}: not TOML: {what}{column}; {advice(wrong)}") from None
    except ValueError as error:  # tomllib's, of a number with thousands of digits
        raise ConfigurationError(f"{file}: not TOML that can be read: {error}; correct the file") from None
