"""What stands beside the page: the archive's server and its uploads, asked without waiting for them long."""

import http.client
import json
import os
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from beamstream.locks import is_locked
from beamstream.network.tls import http_connection

_PATIENCE = 1.0  # s that an answer may take
_MOST = 4 * 2**20  # bytes of an answer
KEY_VARIABLE = "BEAMSTREAM_API_KEY"


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
        url = self._url or _said(self._directory)[0]
        alive = bool(url) and self._get(url, "/healthz", "")[0] == 200
        words = f"served at {url}" if alive else f"{url} does not answer" if url else "nobody serves it"
        if not alive:
            words += "; runs wait in the journal, `beamstream serve` files them" if waiting else "; `beamstream serve`"
        elif self._get(url, "/api/v1/metadata/", "")[0] == 401:
            words += f"; links need its key in this browser: give it once to {url}/uploads"
        return {"url": url if alive else "", "words": words, "tone": "good" if alive else "care", "waiting": waiting}

    def uploads(self, url: str) -> dict[str, Any] | None:
        """Return ``number``, ``backlog`` (frames and readings), ``words``, ``tone``, ``url``; None without uploads."""
        if not (self._directory / "uploads").is_dir():
            return None
        status, answer = self._get(url, "/uploads/status", _key(self._directory)) if url else (None, None)
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

    def _get(self, url: str, path: str, key: str) -> tuple[int | None, Any]:
        """Return status and JSON of one answer; None for each that is not there."""
        served, certificate = _said(self._directory)
        connection = None
        try:
            connection = http_connection(url, _PATIENCE, certificate if url == served else "")
            connection.request(
                "GET", urlsplit(url).path + path, headers={"Authorization": f"Apikey {key}"} if key else {}
            )
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read(_MOST))
        except (OSError, ValueError, http.client.HTTPException):
            return None, None
        finally:
            if connection is not None:
                connection.close()


def _uploads(words: str, url: str) -> dict[str, Any]:
    return {"number": None, "backlog": None, "words": words, "tone": "care", "url": f"{url}/uploads" if url else ""}


def _said(archive: Path) -> tuple[str, str]:
    """Return where the server of an archive wrote that it listens, and its certificate; "" for what there is not."""
    if not is_locked(archive / "server.lock"):
        return "", ""
    try:
        address = json.loads((archive / "server.json").read_text())
        return str(address["url"]), str(address.get("certificate", ""))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return "", ""


def _key(directory: Path) -> str:
    """Return the key to read with, "" if there is none that others cannot read as well."""
    if os.environ.get(KEY_VARIABLE):
        return os.environ[KEY_VARIABLE]
    path = directory / "api_key"
    try:
        return "" if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) else path.read_text().strip()
    except OSError:
        return ""
