"""Asking an archive over HTTP, without the seconds that importing a tiled client takes."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beamstream.archive.documents import COPY_PLAN
from beamstream.errors import ArchiveError

if TYPE_CHECKING:
    import httpx

    from beamstream.archive.catalog import RunSummary
    from beamstream.config import Config

_TIMEOUT = 30.0  # s


def chosen_archive(asked: Path | str | None, config: "Config | None" = None) -> Path:
    """Return the archive directory that counts: the one asked for, else the configuration's."""
    if asked is not None:
        return Path(asked).expanduser().absolute()
    from beamstream.config import load

    return (config or load()).archive.directory


class Archive:
    """An archive that is being served.

    Parameters
    ----------
    where : Path or str
        Its directory on this machine, or ``http://host:port``.
    key : str, optional
        Without it: ``BEAMSTREAM_API_KEY``, then the key file of a directory if it can be read, then none.

    Raises
    ------
    ArchiveError
        Nobody serves it.
    """

    def __init__(self, where: Path | str, key: str | None = None) -> None:
        import httpx

        from beamstream.archive.address import server_and_key
        from beamstream.archive.layout import Layout
        from beamstream.network.address import KEY_VARIABLE, warn_unencrypted
        from beamstream.network.proved_http import ProvedTransport

        self.key_file: Path | None = None
        transport = None
        if str(where).startswith(("http://", "https://")):
            self.url = str(where).rstrip("/").removesuffix("/api/v1")
            key = key or os.environ.get(KEY_VARIABLE)
            warn_unencrypted(self.url, key)
        else:
            layout = Layout(Path(where))
            server, key = server_and_key(layout, key)
            self.url = server.url
            transport = ProvedTransport(layout.address)
            if os.access(layout.key, os.R_OK):
                self.key_file = layout.key
        self._key_given = key is not None
        headers = {"Authorization": f"Apikey {key}"} if key else {}
        self._http = httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=_TIMEOUT, transport=transport)

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def api(self) -> str:
        """The address that paths of the API follow."""
        return f"{self.url}/api/v1"

    def get(self, path: str, **params: Any) -> "httpx.Response":
        """Return an answer.

        Raises
        ------
        ArchiveError
            It is not there, the key is refused, or nothing answers.
        """
        import httpx

        try:
            answer = self._http.get(path, params=params)
        except httpx.HTTPError as error:
            raise ArchiveError(f"archive: {self.url} does not answer ({error}); start `beamstream serve`") from None
        if answer.status_code in (401, 403):
            given = "the key given is wrong" if self._key_given else "no key was given"
            raise ArchiveError(
                f"archive: {self.url} refuses to be read: {given}; set BEAMSTREAM_API_KEY or read <archive>/api_key"
            )
        if answer.is_error:
            raise ArchiveError(f"archive: {path} asked for, {answer.status_code} answered: {_detail(answer)}")
        return answer

    def search(self, filters: dict[str, Any] | None = None, *, limit: int, offset: int = 0) -> list[dict[str, Any]]:
        """Return the nodes of runs, newest first.

        Parameters
        ----------
        filters : dict
            As tiled names them, ``{"filter[eq][condition][key]": "start.scan_id", …}``.
        """
        page = {"page[limit]": limit, "page[offset]": offset, "sort": "-start.time"}
        nodes: list[dict[str, Any]] = []
        while len(nodes) < limit:  # the server has its own idea of the longest page
            found = self.get("/search/", **(page | (filters or {}) | {"page[offset]": offset + len(nodes)})).json()[
                "data"
            ]
            nodes += found
            if not found:
                break
        return nodes[:limit]

    def find(self, run: str) -> dict[str, Any]:
        """Return the node of a run.

        Parameters
        ----------
        run : str
            Its uid, the beginning of it, a scan id (the newest of that number), or ``-1`` for the newest; uploads
            that came in do not count as that.

        Raises
        ------
        ArchiveError
            There is none, or there are several.
        """
        if run.startswith("-") and run[1:].isdigit() and int(run) < 0:
            nodes = self.search(not_equal("start.plan_name", COPY_PLAN), limit=1, offset=-int(run) - 1)  # pyright: ignore[reportArgumentType]
        elif run.isdigit() and len(run) < 8 and (nodes := self.search(equal("start.scan_id", int(run)), limit=1)):  # pyright: ignore[reportArgumentType]
            pass
        else:
            nodes = self.search(_begins("start.uid", run), limit=2)  # pyright: ignore[reportArgumentType]
        if len(nodes) == 2:
            raise ArchiveError(f"archive: run {run} asked for, several uids begin like that; write more of it")
        if not nodes:
            raise ArchiveError(f"archive: run {run} asked for, there is none; see `beamstream runs list`")
        return nodes[0]


def summary(node: dict[str, Any]) -> "RunSummary":
    """Return the summary of a run's node."""
    from beamstream.archive.catalog import run_summary

    return run_summary(node["attributes"]["metadata"])


def equal(key: str, value: Any) -> dict[str, str]:
    """Return the filter for metadata that equals a value."""
    return {"filter[eq][condition][key]": key, "filter[eq][condition][value]": json.dumps(value)}


def not_equal(key: str, value: Any) -> dict[str, str]:
    """Return the filter for metadata that does not equal a value."""
    return {"filter[noteq][condition][key]": key, "filter[noteq][condition][value]": json.dumps(value)}


def at_least(key: str, value: float) -> dict[str, str]:
    """Return the filter for metadata that is at least a number."""
    prefix = "filter[comparison][condition]"
    return {f"{prefix}[operator]": "ge", f"{prefix}[key]": key, f"{prefix}[value]": json.dumps(value)}


def _begins(key: str, text: str) -> dict[str, str]:
    if not text.replace("-", "").isalnum():
        raise ArchiveError(f"archive: run {text!r} asked for; a run is a uid, its beginning, a scan id, or -1")
    return {"filter[like][condition][key]": key, "filter[like][condition][pattern]": json.dumps(f"{text}%")}


def _detail(answer: "httpx.Response") -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
