"""The log of a service: one line a record, counted when it repeats, no key, and a bound that holds for all."""

import io
import logging
import os
import subprocess
import sys

import pytest

from beamstream.log_size import cut_in_half
from beamstream.logs import PlainFormatter, Repeated


@pytest.fixture
def log():
    """A logger as a service has one, and what it wrote."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlainFormatter("%(levelname)s %(message)s", traces=False))
    handler.addFilter(Repeated())
    logger = logging.Logger("service")
    logger.addHandler(handler)
    return logger, lambda: stream.getvalue().splitlines()


def failing(text: str) -> None:
    raise ValueError(text)


def test_a_record_is_one_line_whatever_is_in_it_and_an_exception_is_named_with_its_place(log):
    logger, lines = log
    try:
        failing("\x1b]0;x\x07\n2026-01-01 INFO forged")
    except ValueError:
        logger.exception("request %s failed\n", "/a\nINFO forged\x9b")
    (line,) = lines()
    assert line.startswith(r"ERROR request /a\nINFO forged\x9b failed: ValueError: \x1b]0;x\x07\n2026-01-01 INFO")
    assert "(test_logs.py:" in line
    assert line.isprintable()


def test_a_command_keeps_tracebacks_each_line_plain_and_indented():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlainFormatter("%(message)s"))
    logger = logging.Logger("command")
    logger.addHandler(handler)
    try:
        failing("a\x1b\nforged")
    except ValueError:
        logger.exception("it failed")
    first, *more = stream.getvalue().splitlines()
    assert first == "it failed"
    assert "  Traceback (most recent call last):" in more
    assert all(line.startswith("  ") and line.isprintable() for line in more)


def test_the_same_words_are_written_five_times_and_then_counted(log):
    logger, lines = log
    for number in range(1000):
        logger.warning("request %s from %d refused", f"/{number}", number)
        logger.info("run %d", number)
        logger.error(f"Task-{number} failed: name='Task-{number}'")
    written = lines()
    assert sum(line.startswith("INFO") for line in written) == 1000
    warned = [line for line in written if line.startswith("WARNING")]
    assert len(warned) == 8
    assert warned[-1].startswith("WARNING request /999 from 999 refused (the 1000th like it in ")
    assert sum(line.startswith("ERROR") for line in written) == 8


def test_a_flood_of_words_that_all_differ_is_bounded_too(log):
    logger, lines = log
    for number in range(10_000):
        logger.warning("x" * (number % 77) + chr(0x4E00 + number) + "".join(chr(97 + int(d)) for d in str(number)))
    assert len(lines()) < 2000


@pytest.mark.parametrize(
    "text",
    [
        "GET /api/v1/?api_key=SECRET&x=1",
        "Authorization: Apikey SECRET",
        "authorization: bearer SECRET",
        "GET /?ticket=SECRET",
        "/status?a=1&key=SECRET",
        "(b'x-api-key', b'SECRET')",
        "X-API-KEY: SECRET",
    ],
)
def test_no_key_is_in_a_log_not_even_in_an_exception(log, text):
    logger, lines = log
    logger.warning("%s", text)
    try:
        failing(text)
    except ValueError:
        logger.exception("failed")
    assert not any("SECRET" in line for line in lines())


def test_a_line_has_a_longest(log):
    logger, lines = log
    logger.warning("%s", "x" * 1_000_000)
    (line,) = lines()
    assert len(line) < 5000
    assert line.endswith("(1000008 characters)")


def test_a_log_that_has_grown_keeps_its_newest_half_from_a_whole_line_on(tmp_path):
    with (tmp_path / "server.log").open("ab") as file:
        for number in range(1000):
            file.write(b"line %d\n" % number)
        file.flush()
        assert not cut_in_half(file.fileno(), 10_000)
        assert cut_in_half(file.fileno(), 5000)
        file.write(b"and on\n")
        file.flush()
        size = os.fstat(file.fileno()).st_size
        assert 2000 < size <= 2600
        with open(f"/proc/self/fd/{file.fileno()}", "rb") as reading:  # noqa: PTH123
            kept = reading.read().splitlines()
    assert kept[-2:] == [b"line 999", b"and on"]
    assert all(line.startswith(b"line ") for line in kept[:-1])


FLOOD = """
import os, subprocess, sys
from beamstream.log_size import keep_small
keep_small(2, 200_000)
line = b"x" * 999 + b"\\n"
for _ in range(3000):
    os.write(2, line)
subprocess.run([sys.executable, "-c", "import os\\nfor _ in range(1000): os.write(2, b'y' * 999 + b'\\\\n')"])
print("written", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("mode", ["ab", "w+b"])
def test_what_libraries_and_children_write_past_logging_stays_below_the_bound(tmp_path, wait_for, mode):
    path = tmp_path / "server.log"
    with (
        path.open(mode) as log,
        subprocess.Popen(
            [sys.executable, "-c", FLOOD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        ) as child,
    ):
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == b"written\n"
        # between cutting and writing what is kept the file is empty
        wait_for(lambda: 1000 < path.stat().st_size <= 200_000, timeout=30, what="the log to be cut")
        wait_for(lambda: path.read_bytes().endswith(b"y\n"), timeout=30, what="its newest lines")
        child.stdin.close()
