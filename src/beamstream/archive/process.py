"""Run the archive as a child process that ends with its parent."""

import argparse
import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from beamstream.archive.address import published_address
from beamstream.archive.layout import Layout
from beamstream.children import python_module
from beamstream.errors import ArchiveError, ConfigurationError
from beamstream.log_size import keep_small
from beamstream.logs import log_as_service, write_error
from beamstream.network.address import Address
from beamstream.network.proof import proved_connection
from beamstream.network.tls import Certificate, certificate, http_connection
from beamstream.private import as_around


@contextmanager
def running_server(
    directory: str | os.PathLike[str],
    *,
    recordings: Sequence[str | os.PathLike[str]] = (),
    host: str = "127.0.0.1",
    port: int = 0,
    anonymous: bool = False,
    feed: bool = True,
    allowed_hosts: Sequence[str] = (),
    tls: Certificate | None = None,
    group: str = "",
    timeout: float = 60.0,
) -> Iterator[Address]:
    """Serve an archive from a child process while the block runs; its log is ``<directory>/server.log``.

    The child ends with the block, and also when this process is killed.

    Parameters
    ----------
    directory, recordings, host, port, anonymous, feed, group
        See `ArchiveServer`.
    timeout : float
        Until the first answer, s.

    Raises
    ------
    ArchiveError
        The server ended, or did not answer in time; quotes its last words.
    """
    layout = Layout(Path(directory))
    layout.prepare(group)
    command = python_module("beamstream.archive.process", str(layout.directory))
    command += ["--host", host, "--port", str(port), "--group", group, *(["--anonymous"] if anonymous else [])]
    command += [*([] if feed else ["--no-feed"]), *(f"--recordings={Path(p).absolute()}" for p in recordings)]
    command += [f"--allowed-host={name}" for name in allowed_hosts]
    command += [] if tls is None else ["--tls-cert", str(tls.cert), "--tls-key", str(tls.key)]
    output = layout.directory / "server.log"
    with open(output, "ab", opener=as_around) as file:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, stderr=file, start_new_session=True)
    try:
        yield _wait(child, layout, timeout, output)
    finally:
        _end(child)


def is_up(url: str, timeout: float = 1.0, certificate: str = "") -> bool:
    """Return whether an archive answers at a URL; needs no key."""
    return ask(Address(url, 0, certificate=certificate), "/healthz", None, timeout) == 200


def ask(server: Address, path: str, key: str | None, timeout: float) -> int | None:
    """Return the status of one GET, or None if nothing answers; needs no tiled.

    Parameters
    ----------
    server : Address
        With its secret, it has to prove itself first; without, it was named by whoever gave the key too.
    path : str
    key : str or None
    timeout : float
        s.
    """
    at = urlsplit(server.url)
    connection = None
    try:
        if server.secret:
            connection = proved_connection(server, timeout)
        else:
            connection = http_connection(server.url, timeout, server.certificate)
        connection.request("GET", at.path + path, headers={"Authorization": f"Apikey {key}"} if key else {})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        if connection is not None:
            connection.close()


def _wait(child: subprocess.Popen[bytes], layout: Layout, timeout: float, output: Path) -> Address:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise ArchiveError(_last_words(output, child.returncode))
        try:
            address = published_address(layout)
        except ArchiveError:
            pass
        else:
            if address.pid == child.pid and is_up(address.url, certificate=address.certificate):
                return address
        time.sleep(0.02)
    raise ArchiveError(f"archive: {layout.directory} does not answer after {timeout} s; see {output}")


def _last_words(output: Path, code: int) -> str:
    lines = output.read_text(errors="replace").strip().splitlines() or ["nothing"]
    if lines[-1].startswith("archive:"):
        return lines[-1]
    return f"archive: the server ended with {code} and said: {lines[-1]}; see {output}"


def _end(child: subprocess.Popen[bytes], timeout: float = 15.0) -> None:
    assert child.stdin is not None
    child.stdin.close()
    child.terminate()
    try:
        child.wait(timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _end_with_parent() -> None:
    while os.read(0, 4096):  # until the parent closes its end, or dies
        pass
    os.kill(os.getpid(), 15)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one archive in the foreground; the child's side of `running_server`."""
    parser = argparse.ArgumentParser(prog="python -m beamstream.archive.process")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--anonymous", action="store_true")
    parser.add_argument("--group", default="")
    parser.add_argument("--no-feed", dest="feed", action="store_false")
    parser.add_argument("--recordings", type=Path, action="append", default=[])
    parser.add_argument("--allowed-host", dest="allowed_hosts", action="append", default=[])
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    options = vars(parser.parse_args(arguments))
    log_as_service()
    keep_small()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    from beamstream.archive.server import ArchiveServer

    try:
        tls = certificate(options.pop("tls_cert"), options.pop("tls_key"))
        ArchiveServer(options.pop("directory"), tls=tls, **options).serve()
    except (ArchiveError, ConfigurationError) as error:
        write_error(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
