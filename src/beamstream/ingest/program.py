"""The process that takes uploads: it answers on one port, and ends with its standard input."""

import argparse
import json
import logging
import os
import signal
import sqlite3
import sys
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path

from beamstream.archive.address import listen
from beamstream.archive.layout import Layout, make_key
from beamstream.archive.refused import attempts_of
from beamstream.attempts import Attempts
from beamstream.children import end_with_parent
from beamstream.errors import BeamstreamError, IngestError
from beamstream.ingest.app import LARGEST_SHARD, Service, make_app
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
from beamstream.network.address import Address, new_secret
from beamstream.network.hosts import own_names
from beamstream.network.http_server import HttpServer
from beamstream.network.keys import Keys
from beamstream.network.limits import allow_many_files
from beamstream.network.listening import url_of
from beamstream.network.rules import UPLOAD
from beamstream.network.tls import Certificate, certificate, unencrypted_warning, uvicorn_options
from beamstream.private import make_directories, restrict_umask

log = logging.getLogger(__name__)

AT_ONCE = 16
_THREADS = 24  # most of them wait for the disk


def serve(
    layout: Layout,
    host: str,
    port: int,
    key_file: Path,
    allowed_hosts: Sequence[str] = (),
    tls: Certificate | None = None,
) -> None:
    """Take uploads until SIGTERM, SIGINT or the end of standard input.

    Raises
    ------
    BeamstreamError
        The port is in use, another process takes uploads of this archive, the key may have been read by others.
    """
    make_directories(layout.directory, 0o700)
    make_directories(layout.streams)
    restrict_umask(layout.directory)
    key = make_key(key_file)
    lock = _claim(layout)
    catalogue = Catalogue(layout.ingest / "catalogue.db")
    journal = ResumableJournal(layout.journal)
    try:
        with listen(host, port) as listening:
            streams, readings = Streams(layout.streams, catalogue, journal), Readings(catalogue, journal)
            keys = Keys(layout.directory, {key: (UPLOAD,)})
            tokens = Tokens(key, keys)
            attempts = Attempts(attempts_of(layout.ingest))
            streams.resume(attempts)
            readings.resume(attempts)
            uploads = Uploads(layout.ingest / "incoming", streams, tokens, largest=LARGEST_SHARD, at_once=AT_ONCE)
            service = Service(catalogue, streams, readings, tokens, uploads)
            address = Address(url_of(listening, tls), os.getpid(), new_secret(), "" if tls is None else str(tls.cert))
            app = make_app(service, keys, own_names(host, allowed_hosts), address)
            if warning := unencrypted_warning("ingest", host, address.certificate):
                log.warning("%s", warning)
            allow_many_files()
            server = HttpServer(
                app,
                threads=_THREADS,
                on_start=lambda: _say_ready(layout, address, key_file),
                tls=uvicorn_options(tls),
            )
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: setattr(server, "should_exit", True))
            server.run(sockets=[listening])
    finally:
        layout.ingest_address.unlink(missing_ok=True)
        journal.close()
        catalogue.close()
        unlock(lock)


def _say_ready(layout: Layout, address: Address, key_file: Path) -> None:
    address.write(layout.ingest_address)
    line = {"url": address.url, "key_file": str(key_file), "directory": str(layout.ingest), "pid": address.pid}
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


def _log_to(path: Path) -> None:
    make_directories(path.parent.parent, 0o700)
    make_directories(path.parent)
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
    parser.add_argument("--allowed-host", action="append", default=[])
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    options = parser.parse_args(arguments)
    layout = Layout(options.directory)
    try:
        _log_to(layout.ingest / "ingest.log")
        end_with_parent()
        tls = certificate(options.tls_cert, options.tls_key)
        key_file = options.key_file or layout.ingest_key
        serve(layout, options.host, options.port, key_file, options.allowed_host, tls)
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
