"""Browsers that know a key of the archive: they get a session for it, which only reads, and never the key."""

from fastapi import HTTPException, Request
from starlette.requests import HTTPConnection

from beamstream.network.keys import READ, Keys
from beamstream.network.peers import peer_of
from beamstream.network.sessions import Sessions


class Browsers:
    """Open sessions for browsers.

    Parameters
    ----------
    keys : Keys
    sessions : Sessions
    """

    def __init__(self, keys: Keys, sessions: Sessions) -> None:
        self._keys, self._sessions = keys, sessions

    def scopes(self, asked: HTTPConnection) -> frozenset[str] | None:
        """Return what the session of a request may; None if it has none."""
        cookies = asked.headers.get("cookie", "")
        return self._sessions.check(cookies, peer_of(asked.scope)) if self._sessions.name in cookies else None

    def session(self, asked: HTTPConnection, text: str) -> str | None:
        """Return the ``Set-Cookie`` of a session that reads, for who shows a key that may; None for another one."""
        known = self._keys.identify(text)
        if known is None or READ not in known.scopes:
            return None
        return self._sessions.open(known, {READ}, secure=asked.url.scheme == "https", peer=peer_of(asked.scope))

    def take_out_of_address(self, request: Request) -> None:
        """Send a browser that has a key in its address to the same page without it, with a session."""
        text = request.query_params.get("api_key")
        cookie = None if text is None else self.session(request, text)
        if cookie is None:
            return
        rest = request.url.remove_query_params("api_key")
        page = rest.path.rpartition("/")[2]
        where = f"{page if page and ':' not in page else f'./{page}'}{'?' if rest.query else ''}{rest.query}"
        raise HTTPException(303, "without the key in the address", {"Location": where, "Set-Cookie": cookie})
