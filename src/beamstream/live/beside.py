"""What stands beside the page: the archive's server and its uploads, asked without waiting for them long."""

import http.client
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from beamstream.locks import is_locked
from beamstream.network.address import KEY_VARIABLE, Address
from beamstream.network.proof import proved_connection
from beamstream.network.tls import http_connection
from beamstream.private import read_private

_PATIENCE = 1.0  # s that an answer may take
_MOST = 4 * 2**20  # bytes of an answer


class ArchiveServer:
    """Ask the server of an archive how it is; a server that is gone, or wants a key, is words.

    Parameters
    ----------
    directory : Path
        The archive.
    url : str
        Where it is served; ``""``: as its directory says.
    """

    def __init__(self, directory: Path, url: str = "") -> None:
        self._directory, self._url = directory, url.rstrip("/")

    def document(self, waiting: int = 0) -> dict[str, Any]:
        """Return ``url`` (``""`` if nobody serves it), ``words``, ``tone`` (good, care), ``waiting``.

        Parameters
        ----------
        waiting : int
            Runs that are not filed.
        """
        published = _published(self._directory)
        url = self._url or (published.url.rstrip("/") if published is not None else "")
        alive = bool(url) and _get(url, "/healthz", self._directory)[0] == 200
        words = f"served at {url}" if alive else f"{url} does not answer" if url else "nobody serves it"
        if not alive:
            words += "; runs wait in the journal, `beamstream serve` files them" if waiting else "; `beamstream serve`"
        elif _get(url, "/api/v1/metadata/", self._directory)[0] == 401:
            words += f"; links need its key in this browser: give it once to {url}/uploads"
        return {"url": url if alive else "", "words": words, "tone": "good" if alive else "care", "waiting": waiting}

    def uploads(self, url: str) -> dict[str, Any] | None:
        """Return ``number``, ``backlog`` (frames and readings), ``words``, ``tone``, ``url``; None without uploads."""
        if not (self._directory / "uploads").is_dir():
            return None
        status, answer = _get(url, "/uploads/status", self._directory, with_key=True) if url else (None, None)
        if status in (401, 403):
            return _uploads("the archive wants its key to tell how far uploads are", url)
        if not isinstance(answer, dict) or not isinstance(answer.get("uploads"), list):
            return _uploads("nobody tells how far uploads are", url)
        found = answer["uploads"]
        open_ = [upload for upload in found if upload.get("phase") != "done"]
        ill = [upload for upload in open_ if upload.get("phase") in ("failed", "refused", "offline")]
        backlog = sum(upload.get("backlog") or 0 for upload in open_)
        words = ill[0].get("words") or ill[0]["phase"] if ill else f"{len(open_)} under way" if open_ else "all done"
        tone = "bad" if any(u["phase"] != "offline" for u in ill) else "care" if ill else "good"
        return {"number": len(found), "backlog": backlog, "words": words, "tone": tone, "url": f"{url}/uploads"}


def _uploads(words: str, url: str) -> dict[str, Any]:
    return {"number": None, "backlog": None, "words": words, "tone": "care", "url": f"{url}/uploads" if url else ""}


def _published(archive: Path) -> Address | None:
    """Return where the server of an archive wrote that it listens; None if there is none, or it is gone."""
    if not is_locked(archive / "server.lock"):
        return None
    try:
        return Address.read(archive / "server.json")
    except OSError:
        return None


def _key(directory: Path) -> str:
    """Return the key to read with, "" if there is none that others cannot read as well."""
    if os.environ.get(KEY_VARIABLE):
        return os.environ[KEY_VARIABLE]
    try:
        return read_private(directory / "api_key").decode("utf-8-sig", errors="replace").strip()
    except OSError:
        return ""


def _get(url: str, path: str, archive: Path, *, with_key: bool = False) -> tuple[int | None, Any]:
    """Return status and JSON of one answer; None for each that is not there.

    The key is shown if who answers proves to be the archive's server.
    """
    address = _published(archive)
    ours = address is not None and address.url.rstrip("/") == url
    connection, headers = None, {}
    try:
        if address is not None and ours and with_key:
            connection = proved_connection(address, _PATIENCE)
            headers = {"Authorization": f"Apikey {key}"} if (key := _key(archive)) else {}
        else:
            connection = http_connection(url, _PATIENCE, address.certificate if address is not None and ours else "")
        connection.request("GET", urlsplit(url).path + path, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read(_MOST))
    except (OSError, ValueError, http.client.HTTPException):
        return None, None
    finally:
        if connection is not None:
            connection.close()
