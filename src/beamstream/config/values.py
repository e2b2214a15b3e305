"""What a single value of the configuration may be: types that check it and say what to write instead."""

import builtins
import keyword
from pathlib import Path
from sys import float_info
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationInfo

from beamstream.config.toml_advice import SINGLE_QUOTES
from beamstream.path_names import control_fault

# what the session, IPython and the plans already call something: a device of that name would hide it
RESERVED = frozenset(
    {"RE", "cat", "db", "config", "archive", "beamstream", "devices", "plans", "record", "count", "scan"}
    | {"callbacks", "references", "darks", "flats", "monitor", "instrument", "growth", "Step", "watch"}
    | {"bp", "bps", "bpp", "np", "get_ipython", "In", "Out"}
)


def from_the_file(path: Path, info: ValidationInfo) -> Path:
    """Make a path absolute: from the directory of the file that it stands in, or else the working directory."""
    if fault := control_fault(path):
        raise ValueError(f"{fault}; {SINGLE_QUOTES if info.context else 'choose another path'}")
    base = info.context["file"].parent if info.context else Path.cwd()
    try:
        return (base / path.expanduser()).resolve()
    except RuntimeError as error:  # ~nobody
        raise ValueError(str(error)) from None


def _words(value: object) -> object:
    return value.split() if isinstance(value, str) else value


def _one_word(pv: str) -> str:
    if pv.split() != [pv]:
        raise ValueError("a PV is one word; write its name without blanks")
    return pv


def _number_or_record(said: object) -> float | str | None:
    if said is None:  # a default
        return None
    if isinstance(said, str):
        return _one_word(said)
    if isinstance(said, bool) or not isinstance(said, (int, float)) or not abs(said) <= float_info.max:
        raise ValueError("write a number, or the name of the record that holds it")
    return float(said)


def _tcp(address: str) -> str:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    if not address.startswith("tcp://") or not host or address.split() != [address]:
        raise ValueError("an address reads tcp://HOST:PORT, like tcp://127.0.0.1:9798")
    if not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError(f"the port {port!r} is none; use a number from 1 to 65535, like tcp://127.0.0.1:9798")
    return address


def _ends_in_colon(prefix: str) -> str:
    if not prefix.endswith(":"):
        raise ValueError(f"a PV prefix ends in a colon; write {prefix + ':'!r}")
    return prefix


def _free_name(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise ValueError("a device is a Python variable in the session; use letters, digits and _, as in cam_1")
    if name in RESERVED or hasattr(builtins, name):
        raise ValueError("the session has something else of this name; choose another")
    return name


def _file_name(name: str) -> str:
    from beamstream.sinks.file_names import safe_name

    return safe_name(name, "prefix")


def _both_ways(size: Any) -> tuple[float, float]:
    both = size if isinstance(size, list | tuple) else [size, size]
    plain = all(isinstance(n, int | float) and not isinstance(n, bool) and 0 < n <= float_info.max for n in both)
    if len(both) != 2 or not plain:
        raise ValueError("a pixel's size is a number above 0, or two, [rows, columns]; its unit goes into pixel_units")
    return float(both[0]), float(both[1])


def _mebibytes_or_auto(said: object) -> int | Literal["auto"]:
    if said == "auto":
        return "auto"
    if not isinstance(said, int) or isinstance(said, bool) or said < 1:
        raise ValueError('write a whole number of MiB, 1 or more, or "auto"')
    return said


# a number, or the EPICS record that holds it
Setting = Annotated[float | str | None, PlainValidator(_number_or_record)]
Directory = Annotated[Path, AfterValidator(from_the_file)]
PV = Annotated[str, AfterValidator(_one_word)]
Endpoint = Annotated[str, AfterValidator(_tcp)]
Prefix = Annotated[PV, AfterValidator(_ends_in_colon)]
Whole = Annotated[int, Field(strict=True)]  # TOML has types: `port = true` is a mistake, not 1
Switch = Annotated[bool, Field(strict=True)]
Seconds = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
PixelSize = Annotated[tuple[float, float], PlainValidator(_both_ways)]
Addresses = Annotated[tuple[str, ...], BeforeValidator(_words)]
DeviceName = Annotated[str, AfterValidator(_free_name)]
FileName = Annotated[str, AfterValidator(_file_name)]
OnLoss = Literal["mark", "fail"]
RingMemory = Annotated[int | Literal["auto"], PlainValidator(_mebibytes_or_auto)]
