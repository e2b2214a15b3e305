"""Records of a log: one line each, without keys and without control characters.

A server logs text and failures that its clients cause. So a record has one line, also with an exception; and what
repeats is written five times a minute and then counted.
"""

import logging
import os
import re
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from beamstream.plain_text import plain, plain_lines

FORMAT = "%(asctime)s %(levelname)s %(message)s"
KEY_IN_TEXT = re.compile(
    r"(\bapi_?key=|[?&](?:key|ticket|token)=|\b(?:Apikey|Bearer) |\bx-api-key['\"]?[:,=] ?b?['\"]?)[^\s&\"']+",
    re.IGNORECASE,
)

_DEBUG = "BEAMSTREAM_DEBUG"
_LONGEST = 4000  # characters of a line
_UNCOUNTED = 5  # records of one kind in a minute
_TIMES = "times"  # what `Repeated` adds to a record for `PlainFormatter`
_BEGIN = 80  # characters of a record that make its kind
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]+")
_MINUTE = 60.0  # s
_KINDS = 256


class HideKey(logging.Filter):
    """Take API keys out of every text that a logger writes."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, without the key."""
        text = record.getMessage()
        hidden = _without_key(text)
        if hidden != text:
            record.msg, record.args = hidden, ()
        return True


class PlainFormatter(logging.Formatter):
    """Format a record as plain text without keys.

    Parameters
    ----------
    form : str
        See `logging.Formatter`.
    traces : bool
        Whether an exception has its traceback; otherwise, but with ``BEAMSTREAM_DEBUG``, it is named in the line.
    """

    def __init__(self, form: str = FORMAT, *, traces: bool = True) -> None:
        super().__init__(form)
        self._traces = traces or bool(os.environ.get(_DEBUG))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, logging's
        """Return the line of a record."""
        line = super().formatMessage(record)
        if not self._traces and record.exc_info and record.exc_info[1] is not None:
            line = f"{line.rstrip()}: {_named(record.exc_info[1])}"
        return _shortened(plain(_without_key(line))) + vars(record).get(_TIMES, "")

    def formatException(self, ei: Any) -> str:  # noqa: N802, logging's
        """Return the traceback, indented; nothing without `traces`."""
        return f"  {plain_lines(_without_key(super().formatException(ei)))}" if self._traces else ""

    def formatStack(self, stack_info: str) -> str:  # noqa: N802, logging's
        """Return the stack, as an exception's."""
        return f"  {plain_lines(stack_info)}" if self._traces else ""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record, without the traceback that another formatter kept in it."""
        record.exc_text = None
        try:
            return super().format(record).rstrip("\n")
        finally:
            record.exc_text = None


class Repeated(logging.Filter):
    """Pass five records of a kind in a minute, then the 10th, the 100th, …, with their number.

    Of one kind are records of one logger that begin with the same text, apart from numbers and arguments, and have one
    type of exception. INFO is written each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[tuple[str, ...], _Kind] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether it is written."""
        if record.levelno < logging.WARNING:
            return True
        number, seconds = self._count(record)
        if number > _UNCOUNTED and not _is_power_of_ten(number):
            return False
        vars(record)[_TIMES] = f" (the {number}th like it in {seconds:.0f} s)" if number > _UNCOUNTED else ""
        return True

    def _count(self, record: logging.LogRecord) -> tuple[int, float]:
        """Return how many of the kind there were, with this one, and since when (s)."""
        error = record.exc_info[0] if record.exc_info else None
        key = (record.name, _NUMBER.sub("#", str(record.msg)[:_BEGIN]), error.__name__ if error else "")
        now = time.monotonic()
        with self._lock:
            if key not in self._kinds and len(self._kinds) >= _KINDS:
                self._kinds = {key: kind for key, kind in self._kinds.items() if now - kind.since < _MINUTE}
                key = key if len(self._kinds) < _KINDS else (record.name,)
            kind = self._kinds.get(key)
            if kind is None or now - kind.since > _MINUTE:
                kind = self._kinds[key] = _Kind(now)
            kind.number += 1
            return kind.number, now - kind.since


@dataclass(slots=True)
class _Kind:
    since: float
    number: int = 0


def log_as_service(level: int = logging.WARNING, *handlers: logging.Handler) -> None:
    """Log as a server does: to standard error, or to handlers; beamstream's records from INFO on."""
    for handler in handlers or (handlers := (logging.StreamHandler(),)):
        handler.setFormatter(PlainFormatter(traces=False))
        handler.addFilter(Repeated())
    logging.basicConfig(level=level, handlers=handlers, force=True)
    logging.captureWarnings(True)
    logging.getLogger("beamstream").setLevel(logging.INFO)


def log_as_command(level: int | str, *handlers: logging.Handler, form: str = FORMAT) -> None:
    """Log as a command does that a user started: with tracebacks."""
    for handler in handlers or (handlers := (logging.StreamHandler(),)):
        handler.setFormatter(PlainFormatter(form))
    logging.basicConfig(level=level, handlers=handlers)


def write_error(message: object) -> None:
    """Write to standard error why a program ends."""
    sys.stderr.write(f"{plain_lines(message)}\n")


def plain_warnings() -> None:
    """Write warnings as plain text also where logging is not configured: those of a session, and Python's own."""
    logging.captureWarnings(True)
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(PlainFormatter("%(message)s"))


def _named(error: BaseException) -> str:
    """Return what an exception is, and where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = ""
    if trace is not None:
        code = trace.tb_frame.f_code
        place = f" ({os.path.basename(code.co_filename)}:{trace.tb_lineno} {code.co_name})"  # noqa: PTH119
    return f"{type(error).__name__}: {error}{place}"


def _without_key(text: str) -> str:
    return KEY_IN_TEXT.sub(r"\1…", text)


def _shortened(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} … ({len(line)} characters)"


def _is_power_of_ten(number: int) -> bool:
    return str(number).strip("0") == "1" and number >= 10
