"""Upload one job: ``python -m beamstream.rheed JOBDIR [--key-file PATH]``; status 0 when everything is uploaded."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import IO

from beamstream.errors import UploadError
from beamstream.log_size import keep_small
from beamstream.logs import log_as_service, write_error
from beamstream.rheed.job import JobDirectory
from beamstream.rheed.lock import locked
from beamstream.rheed.worker import Worker


def main() -> int:
    """Upload, until it is done or told to end."""
    parser = argparse.ArgumentParser("python -m beamstream.rheed", description=__doc__)
    parser.add_argument("directory", type=Path, help="of the upload, in uploads/ of the archive")
    parser.add_argument("--key-file", help="a file of mode 600 that holds the key of the service")
    options = parser.parse_args()
    directory = JobDirectory(options.directory.absolute())
    try:
        directory.job  # noqa: B018, raises if it is none
        with locked(directory), directory.log.open("a") as output:
            logging.raiseExceptions = False  # a full disk is no reason to end
            log_as_service(logging.INFO, logging.StreamHandler(output))
            keep_small(output.fileno())
            logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a request, with its URL
            return _upload(Worker(directory, options.key_file, output), output)
    except (UploadError, OSError) as error:
        write_error(error)
        return 1


def _upload(worker: Worker, output: IO[str]) -> int:
    try:
        asyncio.run(_until_told(worker))
    except asyncio.CancelledError:
        words = "upload: ended by a signal; beamstream uploads --resume goes on with it"
    except UploadError as error:
        words = str(error)
    else:
        return 0
    logging.getLogger(__name__).error("%s", words)
    if not os.path.sameopenfile(sys.stderr.fileno(), output.fileno()):
        write_error(words)
    return 1


async def _until_told(worker: Worker) -> None:
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with contextlib.suppress(ValueError):
            asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    await worker.run()


if __name__ == "__main__":
    sys.exit(main())
