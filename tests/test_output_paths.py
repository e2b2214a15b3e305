"""Text reaches terminals and logs in few places, which escape it; code that is added later goes through them too."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = {"src/beamstream/terminal.py", "src/beamstream/logs.py"}
WRITES = {  # nothing but JSON, numbers and words of ours
    "src/beamstream/cli/console.py",
    "src/beamstream/cli/key.py",
    "src/beamstream/ingest/program.py",
    "src/beamstream/sim/beamline.py",
    "src/beamstream/sim/spectra_process.py",
    "src/beamstream/sinks/contract.py",
    "plans/course.py",
}
INSTEAD = {
    "Console": "beamstream.terminal.Terminal",
    "Progress": "a subclass or a console of beamstream.terminal, and TextColumn(markup=False)",
    "basicConfig": "beamstream.logs.log_as_service or log_as_command",
    "Formatter": "beamstream.logs.PlainFormatter",
    "print_exc": "beamstream.logs.write_error",
    "print_exception": "beamstream.logs.write_error",
    "print": "beamstream.cli.console.out().print",
    "from_markup": "rich.text.Text",
    "setToolTip": "beamstream.viewers.qt.parts.give_tip, where the text is not ours",
    "QLabel": "beamstream.viewers.qt.parts.label",
}
ALLOWED = {
    ("Progress", "src/beamstream/cli/console.py"),
    ("Formatter", "src/beamstream/rheed/options.py"),  # string.Formatter
    ("QLabel", "src/beamstream/viewers/qt/parts.py"),
    ("setToolTip", "src/beamstream/viewers/qt/parts.py"),
    ("QLabel", "src/beamstream/viewers/napari/panel.py"),  # plain text by its format
}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Yield file, name and node of every call in our packages."""
    for package in ("src/beamstream", "devices", "plans"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                    yield path.relative_to(ROOT).as_posix(), name, node


def test_consoles_logs_and_labels_are_made_where_text_is_escaped():
    wrong = []
    for file, name, node in calls():
        if name not in INSTEAD or file in PLACES or (name, file) in ALLOWED:
            continue
        if name == "print" and isinstance(node.func, ast.Attribute):  # a console's
            continue
        if name == "setToolTip" and (not node.args or isinstance(node.args[0], ast.Constant | ast.Name)):
            continue  # words of ours
        wrong.append(f"{file}:{node.lineno}: {name}; use {INSTEAD[name]}")
    assert wrong == []


def test_nothing_writes_past_them():
    wrong = []
    for file, name, node in calls():
        if name == "write" and file not in PLACES | WRITES and "sys.std" in ast.unparse(node.func):
            wrong.append(f"{file}:{node.lineno}")
    assert wrong == []


def test_no_console_is_told_to_read_markup():
    wrong = [
        f"{file}:{node.lineno}"
        for file, _, node in calls()
        for keyword in node.keywords
        if keyword.arg == "markup" and getattr(keyword.value, "value", None) is not False
    ]
    assert wrong == []


def test_nothing_escapes_markup_by_hand_which_no_console_reads():
    wrong = [path for path in (ROOT / "src").rglob("*.py") if "rich.markup" in path.read_text()]
    assert wrong == []
