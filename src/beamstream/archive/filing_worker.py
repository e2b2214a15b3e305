"""A process that files one run, with which a feeder's process ended before: so the archive does not end again."""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from beamstream.children import end_with_parent, last_words, python_module
from beamstream.logs import write_error

REFUSED, UNAVAILABLE = 1, 3
"""Exit status: the run is refused, the last line of standard error has the reason; the server is not available."""
_MEMORY = 4 << 30  # bytes
_LAST_WORDS = 2000  # bytes


class FilingWorker:
    """Start, follow and end the process.

    Parameters
    ----------
    path : Path
        The run's journal.
    client : tiled client
        The root of the catalogue; the process connects to the same server.
    """

    def __init__(self, path: Path, client: Any) -> None:
        self.path = path
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, a pipe would fill up
        command = python_module("beamstream.archive.filing_worker")
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=self._errors, process_group=0)
        assert self._process.stdin is not None
        served_by: Path | None = getattr(client.context, "address_file", None)
        url = str(client.context.api_uri).rstrip("/").removesuffix("/api/v1")
        where = url if served_by is None else str(served_by.parent)
        first = {"journal": str(path), "where": where, "key": client.context.api_key}
        try:
            self._process.stdin.write(json.dumps(first).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # `status` returns how it ended
            pass

    @property
    def status(self) -> int | None:
        """Return its exit status, negative of a signal that ended it; None while it works."""
        return self._process.poll()

    @property
    def error_output(self) -> str:
        """Return the end of what it wrote to standard error."""
        return last_words(self._errors, _LAST_WORDS)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._errors.close()


def main() -> int:
    """File one run; the process's side of `FilingWorker`."""
    first = json.loads(sys.stdin.buffer.readline())
    end_with_parent(lambda: os._exit(UNAVAILABLE))
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    Path("/proc/self/oom_score_adj").write_text("1000")  # in place of the archive, if memory is short
    import httpx

    from beamstream.archive.catalog import connect
    from beamstream.archive.filing import Filing
    from beamstream.archive.trouble import ServerInTrouble, TroubleHook, is_trouble

    try:
        client = connect(first["where"], key=first["key"])
        TroubleHook().attach(client)
        filing = Filing(Path(first["journal"]), client)
        while not filing.is_filed and filing.step():
            pass
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        return _ended(UNAVAILABLE if status in (401, 403) or is_trouble(status) else REFUSED, error)
    except (httpx.HTTPError, ServerInTrouble, OSError) as error:
        return _ended(UNAVAILABLE, error)
    except Exception as error:
        return _ended(REFUSED, error)
    return 0 if filing.is_filed else UNAVAILABLE


def _ended(status: int, error: Exception) -> int:
    write_error(f"{type(error).__name__}: {error}")
    return status


if __name__ == "__main__":
    sys.exit(main())
