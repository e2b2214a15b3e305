"""Browsers that know a key of the archive: they get a session for it, which only reads, and never the key."""

from typing import TYPE_CHECKING

from fastapi import HTTPException, Request

from beamstream.network.keys import Keys
from beamstream.network.peers import peer_of
from beamstream.network.rules import READ
from beamstream.network.sessions import Sessions

if TYPE_CHECKING:
    from starlette.types import Scope


class Browsers:
    """Open sessions for browsers.

    Parameters
    ----------
    keys : Keys
    sessions : Sessions
    """

    def __init__(self, keys: Keys, sessions: Sessions) -> None:
        self._keys, self._sessions = keys, sessions

    def scopes(self, cookies: str, scope: "Scope") -> frozenset[str] | None:
        """Return what the session in a ``Cookie`` header may; None if there is none."""
        return self._sessions.check(cookies, peer_of(scope)) if self._sessions.name in cookies else None

    def session_for_key(self, asked: Request) -> str:
        """Return the ``Set-Cookie`` for the key that a request shows in its header.

        Raises
        ------
        HTTPException
            401: it is none; 403: it may not read.
        """
        scheme, _, text = asked.headers.get("authorization", "").partition(" ")
        shown = text.strip() if scheme.lower() == "apikey" else asked.headers.get("x-api-key", "")
        if self._keys.identify(shown) is None:
            raise HTTPException(401, "this is not the key of the archive", {"WWW-Authenticate": "Apikey"})
        cookie = self.session(asked, shown)
        if cookie is None:
            raise HTTPException(403, "this key may not read; ask for one with `beamstream key create --scope read`")
        return cookie

    def session(self, asked: Request, text: str) -> str | None:
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
