"""Configuration: one beamstream.toml, one frozen tree of models, errors that name file, line and key."""

import builtins
import difflib
import keyword
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from beamstream.errors import ConfigurationError

VARIABLE = "BEAMSTREAM_CONFIG"
KEY_VARIABLE = "BEAMSTREAM_API_KEY"
FILE_NAME = "beamstream.toml"
# what the session, IPython and the plans already call something: a device of that name would hide it
RESERVED = frozenset({"RE", "cat", "db", "bp", "bps", "bpp", "np", "config", "archive", "beamstream", "devices"})
RESERVED |= {"plans", "count", "scan", "record", "get_ipython", "In", "Out"}
_SECRET = re.compile(r"api_?key|password|passwd|secret|token|credential", re.IGNORECASE)
_SECRET_ADVICE = (
    "{key} is a secret, and this file is not kept secret; delete it here and put it into the environment "
    f"variable {KEY_VARIABLE}, or into the file api_key with mode 600 in the archive's directory"
)
_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"^\s*\[\[?\s*({_DOTTED})\s*\]")
_KEY = re.compile(rf"^\s*({_DOTTED})\s*=")

Location = tuple[str, ...]


def _from_the_file(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("directory") or Path.cwd()
    try:
        return (base / path.expanduser()).resolve()
    except RuntimeError as error:  # ~nobody
        raise ValueError(str(error)) from None


def _words(value: object) -> object:
    return value.split() if isinstance(value, str) else value


def _one_word(pv: str) -> str:
    if len(pv.split()) != 1 or pv != pv.strip():
        raise ValueError("a PV is one word; write its name without blanks")
    return pv


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


Directory = Annotated[Path, AfterValidator(_from_the_file)]
PV = Annotated[str, AfterValidator(_one_word)]
Whole = Annotated[int, Field(strict=True)]  # TOML has types: `port = true` is a mistake, not 1
Switch = Annotated[bool, Field(strict=True)]
Addresses = Annotated[tuple[str, ...], BeforeValidator(_words)]
DeviceName = Annotated[str, AfterValidator(_free_name)]
OnLoss = Literal["mark", "fail"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Archive(_Section):
    """Say where the archive lives and how it is served.

    Parameters
    ----------
    directory : Path
        Catalogue, event tables, journals. Absolute after loading.
    host : str
        Address that the server listens on.
    port : int
        0: a free port, another one at each start.
    anonymous_read : bool
        Whether readers need no key; on the loopback interface only.
    start : {"process", "no"}
        Whether a session starts the server, as a process of its own, when none runs.
    """

    directory: Directory = Path("data")
    host: str = Field(default="127.0.0.1", min_length=1)  # an empty one would mean every interface
    port: Whole = Field(default=8710, ge=0, le=65535)
    anonymous_read: Switch = False
    start: Literal["process", "no"] = "process"

    @model_validator(mode="after")
    def _beyond_loopback_wants_a_key(self) -> "Archive":
        if self.anonymous_read and not _is_loopback(self.host):
            raise ValueError(
                f"anonymous_read = true with host = {self.host!r} would show every run to the network; "
                'set anonymous_read = false, or host = "127.0.0.1"'
            )
        return self


class Recording(_Section):
    """Say where frames are kept and what happens when some are missing.

    Parameters
    ----------
    directory : Path
        Recorded files; ``recordings`` in the archive's directory when the file names none.
    on_loss : {"mark", "fail"}
        Missing frames are written into the ledger, or fail the run as well.
    ring_memory_mb : int
        Shared memory for the frames of one detector, MiB.
    queue_size : int
        Updates that PVAccess keeps for us while we are busy.
    """

    directory: Directory = Path("data/recordings")
    on_loss: OnLoss = "mark"
    ring_memory_mb: Whole = Field(default=512, ge=1)
    queue_size: Whole = Field(default=50, ge=2)

    @property
    def ring_memory(self) -> int:
        """Shared memory for the frames of one detector, bytes."""
        return self.ring_memory_mb * 2**20


class Epics(_Section):
    """Say how EPICS is spoken; what is None stays as the environment has it.

    Parameters
    ----------
    control_layer : {"caproto", "pyepics"}
        What ophyd speaks Channel Access with.
    ca_addr_list, pva_addr_list : tuple of str, optional
        Where to search; in the file a list, or one string with blanks.
    auto_addr_list : bool, optional
        Whether to search all local networks too, for Channel Access and PVAccess alike.
    """

    control_layer: Literal["caproto", "pyepics"] = "caproto"
    ca_addr_list: Addresses | None = None
    pva_addr_list: Addresses | None = None
    auto_addr_list: Switch | None = None


class PvaDetectorConfig(_Section):
    """Describe a camera that sends NTNDArray images.

    Parameters
    ----------
    pv : str
        The image, ``PREFIX:Pva1:Image``.
    control : str, optional
        Prefix of its areaDetector records, ending in a colon; None for a camera that runs by itself.
    timeout : float
        Longest silence, s: of a connection, or of frames beyond two frame times.
    on_loss : {"mark", "fail"}, optional
        None: as `Recording.on_loss` says.
    """

    kind: Literal["pva_detector"]
    pv: PV
    control: Annotated[PV, AfterValidator(_ends_in_colon)] | None = None
    timeout: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] = 10.0
    on_loss: OnLoss | None = None


class MotorConfig(_Section):
    """Describe an EPICS motor record; `pv` is the record's name."""

    kind: Literal["motor"]
    pv: PV


KINDS: dict[str, type[_Section]] = {"pva_detector": PvaDetectorConfig, "motor": MotorConfig}
DeviceConfig = Annotated[PvaDetectorConfig | MotorConfig, Field(discriminator="kind")]


class Config(_Section):
    """Everything that beamstream.toml says, checked; paths are absolute."""

    archive: Archive = Field(default_factory=Archive)
    recording: Recording = Field(default_factory=Recording)
    epics: Epics = Field(default_factory=Epics)
    devices: dict[DeviceName, DeviceConfig] = Field(default_factory=dict)
    _file: Path | None = PrivateAttr(None)

    @property
    def file(self) -> Path | None:
        """Where this was read from; None for the built-in defaults."""
        return self._file

    @model_validator(mode="after")
    def _recordings_lie_in_the_archive(self) -> "Config":
        if "directory" not in self.recording.model_fields_set:
            where = {"directory": self.archive.directory / "recordings"}
            object.__setattr__(self, "recording", self.recording.model_copy(update=where))
        return self


_SECTIONS: dict[str, type[_Section]] = {"archive": Archive, "recording": Recording, "epics": Epics}


def find() -> Path | None:
    """Return the configuration file that counts here; None when there is none.

    The order: ``BEAMSTREAM_CONFIG``, ``beamstream.toml`` in the working directory,
    ``profile/beamstream.toml`` of the checkout that this module lies in.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    here = Path.cwd() / FILE_NAME
    checkout = Path(__file__).resolve().parents[2]
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
    """
    file = Path(path).expanduser() if path is not None else find()
    if file is None:
        return Config()
    file = file.absolute()
    text = _read(file, f" ({VARIABLE} names it)" if path is None and os.environ.get(VARIABLE) else "")
    document = _parse(file, text)
    lines = dict(_lines(text))
    complaints = [(found, _SECRET_ADVICE.format(key=found[-1])) for found in _secrets(document)]
    if complaints:
        raise ConfigurationError(_report(file, lines, complaints))
    sections = {name: {} for name in Config.model_fields}  # the paths among their defaults start at the file too
    try:
        config = Config.model_validate(sections | document, context={"directory": file.parent})
    except ValidationError as error:
        # a value may be anything, so pydantic's own text, which repeats it, must not follow as the cause
        complaints = [_complaint(e) for e in error.errors(include_url=False)]
        raise ConfigurationError(_report(file, lines, complaints)) from None
    config._file = file
    return config


def apply_environment(config: Config, environ: MutableMapping[str, str] = os.environ) -> dict[str, str]:
    """Put the [epics] section into the environment; return the variables that it decides.

    What the file says wins over the environment, what it leaves out does not touch it. Call it before
    ophyd is imported and before the first channel: ophyd chooses its control layer at import, PVAccess
    and Channel Access read their addresses when the first channel is made.

    Raises
    ------
    ConfigurationError
        ophyd is imported already, with another control layer.
    """
    epics = config.epics
    variables: dict[str, str] = {}
    if epics.auto_addr_list is not None:
        yes_no = "YES" if epics.auto_addr_list else "NO"
        variables |= {"EPICS_CA_AUTO_ADDR_LIST": yes_no, "EPICS_PVA_AUTO_ADDR_LIST": yes_no}
    if epics.ca_addr_list is not None:
        variables["EPICS_CA_ADDR_LIST"] = " ".join(epics.ca_addr_list)
    if epics.pva_addr_list is not None:
        variables["EPICS_PVA_ADDR_LIST"] = " ".join(epics.pva_addr_list)
    where = config.file or "configuration"
    layer = environ.get("OPHYD_CONTROL_LAYER")
    if layer is None or "control_layer" in epics.model_fields_set:
        if "ophyd" in sys.modules and layer != epics.control_layer:
            raise ConfigurationError(
                f"{where}: [epics] control_layer = {epics.control_layer!r} asked for, "
                f"ophyd is imported already, with {layer or 'its default'}; apply the configuration earlier"
            )
        variables["OPHYD_CONTROL_LAYER"] = epics.control_layer
    environ.update(variables)
    return variables


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _read(file: Path, origin: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"{file}: asked for as configuration{origin}, {reason}; correct the path") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8 text") from None


def _parse(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at line (\d+), column (\d+)\)", str(error))
        line = place[1] if place else str(text.count("\n") + 1)
        column = f" in column {place[2]}" if place else " at the end"
        what = re.sub(r" \(at .*\)$", "", str(error))
        raise ConfigurationError(f"{file}:{line}: not TOML: {what}{column}; correct the line") from None


def _lines(text: str) -> Iterator[tuple[Location, int]]:
    """Yield where each table and key stands: path and line number, from 1."""
    table: Location = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _split(header[1])
            yield table, number
        elif key := _KEY.match(line):
            yield table + _split(key[1]), number


def _split(dotted: str) -> Location:
    return tuple(part.strip("\"'") for part in re.findall(_PART, dotted))


def _secrets(table: Mapping[str, Any], above: Location = ()) -> Iterator[Location]:
    for key, value in table.items():
        if _SECRET.search(key) and not isinstance(value, dict):
            yield (*above, key)
        elif isinstance(value, dict):
            yield from _secrets(value, (*above, key))


def _complaint(error: Mapping[str, Any]) -> tuple[Location, str]:
    """Turn one of pydantic's errors into the path in the file and words for the person who wrote it."""
    where, tag = _place(error["loc"])
    key, value = str(where[-1]), error["input"]
    match error["type"]:
        case "extra_forbidden":
            return where, _unknown(where, KINDS[tag] if tag else _SECTIONS.get(where[0], Config))
        case "missing":
            return where, f"{key} is missing; add it"
        case "union_tag_not_found":
            return (*where, "kind"), f"kind is missing; add one of {', '.join(KINDS)}"
        case "union_tag_invalid":
            text = f"kind = {value['kind']!r} is not known; {_nearest(error['ctx']['tag'], KINDS)}"
            return (*where, "kind"), text
        case "literal_error":
            known = re.findall(r"'([^']*)'", error["ctx"]["expected"])
            return where, f"{key} = {value!r} is not known; {_nearest(str(value), known)}"
        case "path_type":
            return where, f"{key} = {value!r}: a path is text in quotes"
        case "model_type" | "dict_type" | "model_attributes_type":
            return where, f"{key} is a value, a section was expected; write [{'.'.join(where)}]"
    text = str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"].lower()
    if isinstance(value, dict):
        return where, f"[{key}] {text}"
    return where, f"{value!r} as a device's name: {text}" if tag == "[key]" else f"{key} = {value!r}: {text}"


def _place(steps: tuple[int | str, ...]) -> tuple[Location, str]:
    """Return the path in the file, and the step that pydantic adds to it: a kind, or "[key]" for a name."""
    where = tuple(step for step in steps if isinstance(step, str))  # a number counts the items of a list
    if where[:1] == ("devices",) and len(where) > 2:
        return where[:2] + where[3:], where[2]
    return where, ""


def _unknown(where: Location, model: type[BaseModel]) -> str:
    key = where[-1]
    for section, owner in _SECTIONS.items():
        if key in owner.model_fields:
            return f"{key} is not known here; it belongs into [{section}]"
    kind = "key" if len(where) > 1 else "section"
    return f"{key} is not a known {kind}; {_nearest(key, model.model_fields)}"


def _nearest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def _report(file: Path, lines: Mapping[Location, int], complaints: Sequence[tuple[Location, str]]) -> str:
    """Write a line for each complaint, in the file's order, with the line where it is or belongs."""
    rows: list[tuple[int, str]] = []
    for where, text in complaints:
        number = next((lines[where[:n]] for n in range(len(where), 0, -1) if where[:n] in lines), 0)
        section = f" [{'.'.join(where[:-1])}]" if len(where) > 1 else ""
        rows.append((number, f"{file}{f':{number}' if number else ''}:{section} {text}"))
    return "\n".join(row for _, row in sorted(rows))
