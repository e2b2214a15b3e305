"""The process that takes uploads: it answers on one port, and ends with its standard input."""

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import uvicorn

from beamstream.archive.address import Address, listen, url_of
from beamstream.archive.layout import Layout, make_key
from beamstream.errors import BeamstreamError, IngestError
from beamstream.ingest.app import Service, make_app
from beamstream.ingest.catalogue import Catalogue
from beamstream.ingest.journal import ResumableJournal
from beamstream.ingest.readings import Readings
from beamstream.ingest.streams import Streams
from beamstream.ingest.tokens import Tokens
from beamstream.ingest.uploads import Uploads
from beamstream.locks import open_locked, unlock
from beamstream.log_size import LARGEST as LARGEST_LOG
from beamstream.log_size import keep_small
from beamstream.logs import log_as_service, write_error

log = logging.getLogger(__name__)

AT_ONCE = 16
LARGEST = 1 << 30  # bytes
_THREADS = 24  # most of them wait for the disk


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals alone, and says when it answers."""

    def __init__(self, app: Any, ready: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="warning",
                access_log=False,  # addresses of uploads are secrets
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=3,
            )
        )
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Any:
        """Do nothing: `main` decides what a signal means."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="ingest")
        asyncio.get_running_loop().set_default_executor(threads)  # its own has six on a machine with two cores
        await super().startup(sockets=sockets)
        self._ready()


def serve(layout: Layout, host: str, port: int, key_file: Path) -> None:
    """Take uploads until SIGTERM, SIGINT or the end of standard input.

    Raises
    ------
    BeamstreamError
        The port is in use, another process takes uploads of this archive, the key may have been read by others.
    """
    for directory in (layout.directory, layout.streams):
        directory.mkdir(parents=True, exist_ok=True)
    key = make_key(key_file)
    lock = _claim(layout)
    catalogue = Catalogue(layout.ingest / "catalogue.db")
    journal = ResumableJournal(layout.journal)
    try:
        with listen(host, port) as listening:
            streams, readings = Streams(layout.streams, catalogue, journal), Readings(catalogue, journal)
            tokens = Tokens(key)
            streams.resume()
            readings.resume()
            uploads = Uploads(layout.ingest / "incoming", streams, tokens, largest=LARGEST, at_once=AT_ONCE)
            app = make_app(Service(catalogue, streams, readings, tokens, uploads), key)
            url = url_of(listening)
            server = Server(app, lambda: _say_ready(layout, url, key_file))
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: setattr(server, "should_exit", True))
            server.run(sockets=[listening])
    finally:
        layout.ingest_address.unlink(missing_ok=True)
        journal.close()
        catalogue.close()
        unlock(lock)


def _say_ready(layout: Layout, url: str, key_file: Path) -> None:
    Address(url, os.getpid()).write(layout.ingest_address)
    line = {"url": url, "key_file": str(key_file), "directory": str(layout.ingest), "pid": os.getpid()}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _claim(layout: Layout) -> int:
    """Return the descriptor that keeps others from taking uploads into this archive until it is closed."""
    try:
        return open_locked(layout.ingest / "lock")
    except BlockingIOError:
        raise IngestError(
            f"ingest: uploads into {layout.directory} are taken by another process already; use it or end it first"
        ) from None


def _end_with_parent() -> None:
    while os.read(0, 4096):  # until the parent closes its end, or dies
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = RotatingFileHandler(path, maxBytes=LARGEST_LOG, backupCount=1, delay=True)
    words = logging.StreamHandler()
    words.setLevel(logging.WARNING)
    log_as_service(logging.WARNING, file, words)
    keep_small()


def main(arguments: Sequence[str] | None = None) -> int:
    """Take uploads into one archive in the foreground; the child's side of `IngestProcess`."""
    parser = argparse.ArgumentParser(prog="python -m beamstream.ingest")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key-file", type=Path)
    options = parser.parse_args(arguments)
    layout = Layout(options.directory)
    try:
        _log_to(layout.ingest / "ingest.log")
        threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
        serve(layout, options.host, options.port, options.key_file or layout.ingest_key)
    except BeamstreamError as error:
        write_error(error)
        return 1
    except OSError as error:
        write_error(f"ingest: {error.filename or layout.directory}: {error.strerror}")
        return 1
    except sqlite3.Error as error:
        write_error(f"ingest: {layout.ingest / 'catalogue.db'}: {error}; look at that file and its disk")
        return 1
    return 0
