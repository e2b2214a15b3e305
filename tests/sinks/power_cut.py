"""What a disk has after a power cut: the writes of a process, replayed up to the last sync of each file.

``python power_cut.py DIRECTORY SHAPE SECONDS`` is the process: a run with a journal, that nobody ends.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from event_model import compose_run

from beamstream.callbacks.journal import Journal
from beamstream.frames import Geometry
from beamstream.sinks.contract import made_frames
from beamstream.sinks.documents import SinkDocuments
from beamstream.sinks.hdf5 import Hdf5Sink

CALLS = "write,pwrite64,pwritev,pwritev2,ftruncate,fallocate,fsync,fdatasync,rename"
PAGE = 4096
_CALL = re.compile(r"^(\d+) +(\w+)\((?:\d+<([^>]*)>)?(.*)$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_BYTES = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_RESULT = re.compile(r"\) += (-?\d+)")


@dataclass
class File:
    """One file: what the process sees, what the disk has, and what is on its way."""

    seen: bytearray = field(default_factory=bytearray)
    safe: bytes = b""
    synced: bool = False
    pending: list[tuple[int, bytes]] = field(default_factory=list)  # (offset, bytes); none of them: only a new size

    def write(self, offset: int, data: bytes) -> None:
        """Take what a system call wrote; an offset of -1 is the end."""
        offset = len(self.seen) if offset < 0 else offset
        self.pending.append((offset, data))
        apply(self.seen, offset, data)

    def sync(self, count: int) -> None:
        """Have the first `count` pending writes on the disk."""
        disk = bytearray(self.safe)
        for offset, data in self.pending[:count]:
            apply(disk, offset, data)
        self.safe, self.pending, self.synced = bytes(disk), self.pending[count:], True

    def after_cut(self, chance: random.Random | None) -> bytes:
        """Return what the disk has; with `chance`, also some pages of later writes, as the kernel pleased."""
        disk = bytearray(self.safe)
        for offset, data in self.pending if chance is not None else ():
            for start in range(-(offset % PAGE), max(len(data), 1), PAGE):
                if chance is not None and chance.random() < 0.5:
                    piece = data[max(start, 0) : start + PAGE]
                    apply(disk, offset + max(start, 0), piece)
        return bytes(disk)


def apply(disk: bytearray, offset: int, data: bytes) -> None:
    """Put bytes into an image, which grows where it has to."""
    if len(disk) < offset + len(data):
        disk.extend(bytes(offset + len(data) - len(disk)))
    disk[offset : offset + len(data)] = data


def traced(directory: Path, shape: tuple[int, ...], seconds: float) -> dict[Path, File]:
    """Let the process record until it kills itself; return its files."""
    log = directory / "strace.log"
    process = [sys.executable, __file__, str(directory), json.dumps(shape), str(seconds)]
    strace = ["strace", "-f", "-y", "-xx", "-s", str(1 << 22), "--seccomp-bpf", "-e", f"trace={CALLS}", "-o", str(log)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*strace, *process], env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return replay(log, directory)


def replay(log: Path, directory: Path) -> dict[Path, File]:
    """Read what strace wrote down of the files below a directory."""
    files: dict[Path, File] = {}
    syncs: dict[str, tuple[File, int]] = {}
    for thread, call, path, text, begun, ended in calls(log):
        if call == "rename":
            old, new = (Path(_text(name[0])) for name in _BYTES.finditer(text))
            if old in files:
                files[new] = files.pop(old)
            continue
        where = Path(path)
        if not where.is_relative_to(directory) or where == log or where.is_dir():
            continue
        file = files.setdefault(where, File())
        if begun and call in ("fsync", "fdatasync"):
            syncs[thread] = file, len(file.pending)
        result = _RESULT.search(text)
        if not ended or result is None or int(result[1]) < 0:
            continue
        if call in ("fsync", "fdatasync"):
            synced, count = syncs.pop(thread)
            synced.sync(count)
        elif call == "ftruncate":
            size = int(text.split(",")[1].split(")")[0])
            assert size >= len(file.seen), "files only grow"
            file.write(size, b"")
        elif call == "fallocate":
            offset, length = (int(number) for number in text[: result.start()].split(",")[-2:])
            if "KEEP_SIZE" in text:  # room that is held, no content
                continue
            file.write(max(len(file.seen), offset + length), b"")
        else:
            data = b"".join(_bytes(piece[1]) for piece in _BYTES.finditer(text))
            last = 2 if call == "pwritev2" else 1  # flags come behind the offset
            offset = -1 if call == "write" else int(text[: result.start()].split(",")[-last])
            file.write(offset, data[: int(result[1])])
    return files


def calls(log: Path) -> Iterator[tuple[str, str, str, str, bool, bool]]:
    """Yield (thread, call, path, text, begins, ends) in their order; a call that another interrupts comes twice."""
    open_calls: dict[str, tuple[str, str]] = {}
    for line in log.read_text().splitlines():
        if found := _RESUMED.match(line):
            thread, call, rest = found.groups()
            path, text = open_calls.pop(thread)
            yield thread, call, path, text + rest, False, True
        elif found := _CALL.match(line):
            thread, call, path, text = found.groups()
            path = _text(path or "")
            if text.endswith("<unfinished ...>"):
                text = text.removesuffix("<unfinished ...>")
                open_calls[thread] = path, text
                yield thread, call, path, text, True, False
            else:
                yield thread, call, path, text, True, True


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.strip('"').replace("\\x", ""))


def _text(text: str) -> str:
    return _bytes(text).decode() if text.strip('"').startswith("\\x") else text


def cut(files: dict[Path, File], chance: random.Random | None = None) -> None:
    """Leave on the disk what a power cut would; what was never synced may not even have a name."""
    for path, file in files.items():
        path.unlink(missing_ok=True)
        if file.synced:
            path.write_bytes(file.after_cut(chance))


def record(directory: Path, shape: tuple[int, ...], seconds: float) -> None:
    """Record 400 frames a second, with documents as they come, and end without a word."""
    geometry = Geometry(shape, "<u2")
    run = compose_run(metadata={"plan_name": "cut", "scan_id": 1})
    journal = Journal(directory / "journal")
    journal("start", run.start_doc)
    sink = Hdf5Sink(directory / "cam.h5", geometry, name="cam").__enter__()
    documents = SinkDocuments(sink, "cam", start=run.start_doc)
    bundle = run.compose_descriptor(name="primary", data_keys=documents.data_keys("made up"))
    journal("descriptor", bundle.descriptor_doc)
    began = time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        kept = sink.write(made_frames(geometry, sink.kept, sink.kept + 8))
        if kept % 80 == 0:
            for name, doc in documents.up_to(kept, bundle.descriptor_doc):
                journal(name, doc)
        time.sleep(max(0.0, kept / 400 - now))
    (directory / "counts.json").write_text(json.dumps([sink.safe, sink.kept, documents.announced]))
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    record(Path(sys.argv[1]), tuple(json.loads(sys.argv[2])), float(sys.argv[3]))
