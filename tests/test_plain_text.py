"""What comes from outside is text: on a console, in a log, in an error, whatever is in it."""

import io
import json
import logging
import sys
import unicodedata

import pytest
from rich.live import Live
from rich.table import Table
from rich.text import Text

from beamstream.errors import BeamstreamError, ConfigurationError
from beamstream.plain_text import Report, plain, plain_block, plain_lines
from beamstream.terminal import Terminal

CONTROLS = [
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *"\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\U000e0041",
    "\udcff",
]
STEERING = "".join(c for c in CONTROLS if c != "\t")
HOSTILE = f"[/x][bold]:smile:{STEERING}\x1b]52;c;aGk=\x07\nbeamstream: a line that is not ours"


def test_every_character_that_is_not_seen_is_written_out_and_others_stay():
    for char in map(chr, range(sys.maxunicode + 1)):
        seen = char == "\t" or unicodedata.category(char) == "Zs" or char.isprintable()
        assert (plain(char) == char) == seen, hex(ord(char))
    assert plain(HOSTILE).isprintable()
    assert plain("a\tb é λ 光 \u00a0 \\n") == "a\tb é λ 光 \u00a0 \\n"
    assert plain("\x1b[2J\n\x9b\u202e") == r"\x1b[2J\n\x9b\u202e"


def test_lines_stay_lines_where_they_may_and_none_but_the_first_begins_at_the_margin():
    assert plain_lines("a\nbeamstream: b\r\nc") == "a\n  beamstream: b\\r\n  c"
    assert plain_block("a\nb\x1b") == "a\nb\\x1b"


def printed(*what: object, **options: object) -> str:
    terminal = Terminal(file=io.StringIO(), force_terminal=True, color_system=None, width=400)
    for one in what:
        terminal.print(one, **options)
    text = terminal.file.getvalue()
    assert isinstance(terminal.file, io.StringIO)
    return text


def as_cell(text: object) -> Table:
    table = Table(text if isinstance(text, str) else "x", title="title")
    table.add_row(text)  # pyright: ignore[reportArgumentType]
    return table


@pytest.mark.parametrize(
    "made",
    [
        str,
        lambda text: Text(text, "red"),
        lambda text: Text("a ").append(text, "bold").append(" b"),
        as_cell,
        lambda text: as_cell(Text(text)),
        lambda text: Table("x", title=text),
        lambda text: {"key": text, text: [text]},
    ],
)
def test_a_console_shows_hostile_text_as_text_in_one_line(made):
    shown = printed(made(HOSTILE), soft_wrap=True)
    assert all(c.isprintable() or c == "\n" for c in shown), repr(shown)
    assert not any(line.startswith("beamstream: ") for line in shown.splitlines())
    assert "[/x][bold]:smile:" in shown


def test_what_changes_on_a_terminal_is_plain_too():
    file = io.StringIO()
    terminal = Terminal(file=file, force_terminal=True, color_system=None, width=400)
    with Live(Text(HOSTILE), console=terminal, auto_refresh=False) as live:
        live.update(as_cell(HOSTILE), refresh=True)
    assert "]52;" in file.getvalue()
    assert "\x1b]52" not in file.getvalue()
    assert "\x07" not in file.getvalue()


def test_colours_of_ours_stay():
    terminal = Terminal(file=io.StringIO(), force_terminal=True, color_system="standard", width=80)
    terminal.print(Text.assemble(("good", "green"), " \x1b[31m"))
    terminal.print("bad", style="red")
    assert isinstance(terminal.file, io.StringIO)
    assert terminal.file.getvalue() == "\x1b[32mgood\x1b[0m \\x1b[31m\n\x1b[31mbad\x1b[0m\n"


def test_an_error_is_one_line_and_a_report_has_its_rows_of_which_only_the_first_is_at_the_margin():
    terminal = Terminal(file=io.StringIO(), width=400)
    terminal.print_error(BeamstreamError("cam: \x1b]0;x\x07\nbeamstream: done"))
    terminal.print_error(ConfigurationError(Report.of(["a:1: \nb", "a:2: c"])))
    terminal.print_error("d\ne")
    assert isinstance(terminal.file, io.StringIO)
    assert terminal.file.getvalue() == (
        "beamstream: cam: \\x1b]0;x\\x07\\nbeamstream: done\nbeamstream: a:1: \\nb\n  a:2: c\nbeamstream: d\\ne\n"
    )


def test_an_error_of_ours_is_plain_wherever_it_is_shown():
    assert str(BeamstreamError(f"cam: {HOSTILE}")).isprintable()


def test_json_for_scripts_is_ascii_without_control_characters_and_reads_back_the_same(capsys):
    from beamstream.cli.console import print_json, print_json_line

    text = HOSTILE.replace("\udcff", "")
    for write in (print_json, print_json_line):
        write({"a": text, text: 1})
        shown = capsys.readouterr().out
        assert shown.isascii()
        assert all(c.isprintable() or c == "\n" for c in shown)
        assert json.loads(shown) == {"a": text, text: 1}


def test_a_warning_of_a_session_that_set_no_logging_up_is_plain(monkeypatch):
    from beamstream.logs import plain_warnings

    plain_warnings()
    record = logging.LogRecord("x", logging.WARNING, "", 0, "%s", (HOSTILE,), None)
    assert logging.lastResort is not None
    assert logging.lastResort.format(record).isprintable()
