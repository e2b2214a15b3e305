"""Find the viewer that runs, or start one that outlives whoever started it."""

import contextlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from beamstream.children import PYTHON, python_module
from beamstream.errors import BeamstreamError
from beamstream.locks import open_locked, unlock
from beamstream.own_files import open_regular
from beamstream.viewers.napari.address import address_file, alive, read_address
from beamstream.viewers.napari.line import Line

_HELLO = 8.0  # s for an answer of one that is there
_STARTS = 90.0  # s; the first start on a machine compiles and looks for plug-ins
_LOOK = 0.05  # s
_LAST_WORDS = 800  # bytes
# its parent ends at once: nobody's child, nobody's to end
_DETACH = (
    "import os, subprocess, sys; log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND);"
    "print(subprocess.Popen(sys.argv[2:], stdout=log, stderr=log, start_new_session=True).pid)"
)


def show(options: Any) -> None:
    """Show a source in the viewer that runs, or in a new one; returns when it is there.

    Parameters
    ----------
    options : object
        ``source`` or ``sources``: texts that `beamstream.watching.streams.spec_of_uri` takes, or `StreamSpec`.

    Raises
    ------
    BeamstreamError
        There can be no viewer here, or it does not answer; the text says why.
    """
    from beamstream.watching.streams import StreamSpec, spec_of_uri

    given = getattr(options, "sources", None) or [options.source]
    specs = [one if isinstance(one, StreamSpec) else spec_of_uri(one) for one in given]
    with find_or_start() as line:
        for spec in specs:
            line.ask("watch", name=spec.name, about=dict(spec.about))


def find_or_start(*, start: bool = True, timeout: float = _STARTS) -> Line:
    """Return a line to the viewer, to be closed by who asked for it.

    Parameters
    ----------
    start : bool
        Whether to start one where none runs.
    timeout : float
        For the start of a new one, s.

    Raises
    ------
    BeamstreamError
        There is none, or it does not answer; one that is there and hangs is left alone.
    """
    path = address_file()
    if (line := find(path)) is not None:
        return line
    if not start:
        raise BeamstreamError("viewer: none runs; start it with: beamstream view --napari")
    _refuse_where_it_cannot_be()
    with _alone(path, timeout):
        return find(path) or _start(path, timeout)


def find(path: Path | None = None) -> Line | None:
    """Return a line to the viewer that runs, None if there is none.

    Raises
    ------
    BeamstreamError
        It does not answer.
    """
    address = read_address(path or address_file())
    if address is None:
        return None
    line = Line(address)
    try:
        line.ask("hello", timeout=_HELLO)
    except TimeoutError:
        line.close()
        raise BeamstreamError(f"viewer: napari (pid {address.pid}) does not answer; close it, then try again") from None
    return line


def close(timeout: float = 10.0) -> bool:
    """Close the viewer that runs; return whether there was one.

    Raises
    ------
    BeamstreamError
        It does not answer, or does not end.
    """
    path = address_file()
    line = find(path)
    if line is None:
        return False
    with line:
        line.ask("close", timeout=timeout)
    deadline = time.monotonic() + timeout
    while read_address(path) == line.address:
        if time.monotonic() > deadline:
            raise BeamstreamError(f"viewer: napari (pid {line.address.pid}) was asked to close and is still there")
        time.sleep(_LOOK)
    return True


def _refuse_where_it_cannot_be() -> None:
    if importlib.util.find_spec("napari") is None:
        raise BeamstreamError("viewer: napari asked for, which is not installed: pip install beamstream[napari]")
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform == "darwin"):
        raise BeamstreamError("viewer: napari needs a display, there is none here; the live page needs only a browser")


@contextlib.contextmanager
def _alone(path: Path, timeout: float) -> Iterator[None]:
    """Keep others from starting one at the same time."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout
    while True:
        try:
            lock = open_locked(path.with_suffix(".lock"))
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise BeamstreamError("viewer: somebody else starts one, and does not get done") from None
            time.sleep(_LOOK)
    try:
        yield
    finally:
        unlock(lock)


def _start(path: Path, timeout: float) -> Line:
    """Start a viewer and wait until it answers."""
    log = path.with_suffix(".log")
    os.close(open_regular(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    detached = subprocess.run(
        [*PYTHON, "-c", _DETACH, str(log), *python_module("beamstream.viewers.napari")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "BEAMSTREAM_NAPARI": str(path)},
        check=True,
    )
    pid, deadline = int(detached.stdout), time.monotonic() + timeout
    while time.monotonic() < deadline and alive(pid):
        if (line := find(path)) is not None:
            return line
        time.sleep(_LOOK)
    said = " ".join(log.read_bytes()[-_LAST_WORDS:].decode(errors="replace").split()) or "nothing"
    ended = f"did not answer within {timeout:.0f} s" if alive(pid) else "ended at once"
    raise BeamstreamError(f"viewer: napari was started, it {ended} and said: {said}")
