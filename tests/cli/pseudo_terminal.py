"""Commands in a terminal of their own, and every byte that they write there."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_commands import COMMAND, environment

_OURS = re.compile(rb"\x1b\[(?:\d+(?:;\d+)*m|\?25[lh]|\?2004[lh]|\?1[lh]|\?7[lh]|\?12l|[0-9]*[ABCDGJK]|6n)|\x1b[>=]")
_TITLE = re.compile(rb"\x1b\]0;IPython: [\w/.-]*\x07|\x1b\[2[23];0t")  # IPython's: where it was started
_BLINKING = (b"\x1b[5;7m", b"\x1b[5m")  # what rich could write, and we never do


@dataclass(frozen=True)
class Shown:
    """What came out of a terminal."""

    raw: bytes
    status: int

    @property
    def text(self) -> str:
        """All but the codes of rich and IPython; fails where it is no UTF-8, as C1 alone is."""
        return _OURS.sub(b"", _TITLE.sub(b"", self.raw)).decode()

    @property
    def dense(self) -> str:
        """The text without white space and the lines of tables."""
        return re.sub(r"[\s│]", "", self.text)

    def is_plain(self, *, repeats: bool = True) -> None:
        """Check that nothing but rich's own codes is in it, and that what was hostile was shown, written out."""
        assert not any(code in self.raw for code in _BLINKING), self.raw
        wrong = {c for c in self.text if not (c.isprintable() or c in "\r\n\t")}
        assert not wrong, (wrong, self.text)
        lines = re.split("[\r\n]", self.text)
        assert not any(line.strip().startswith("beamstream: forged") for line in lines), self.text
        assert "Traceback" not in self.text, self.text
        if repeats:
            assert re.search(r"\\(x1b|u001b)\]52", self.dense), self.text


def in_a_terminal(tmp: Path, *arguments: object, keys: bytes = b"", timeout: float = 90.0, **env: str) -> Shown:
    """Run a command in a terminal of its own, and return every byte that it wrote there."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 2000, 0, 0))
    more = {"TERM": "xterm-256color", "BEAMSTREAM_DEBUG": "", **env}
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=tmp,
        env=environment(tmp, more),
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    raw, deadline = b"", time.monotonic() + timeout
    try:
        if keys:
            os.write(ours, keys)
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1.0)[0]:
                continue
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the command has closed it
                break
            if not piece:
                break
            raw += piece
        else:
            pytest.fail(f"{arguments}: not at an end after {timeout} s: {raw!r}")
        return Shown(raw, process.wait(10))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)
