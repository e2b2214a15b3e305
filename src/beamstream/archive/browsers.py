"""Browsers that show a key of the archive: they get a session for it, which only reads, and never the key."""

from fastapi import HTTPException, Request

from beamstream.network.keys import Keys
from beamstream.network.rules import READ
from beamstream.network.sessions import Sessions


class Browsers:
    """Open sessions that read for browsers that show a key.

    Parameters
    ----------
    keys : Keys
    sessions : Sessions
    """

    def __init__(self, keys: Keys, sessions: Sessions) -> None:
        self._keys, self._sessions = keys, sessions

    def session_for_key(self, request: Request) -> str:
        """Return the ``Set-Cookie`` for the key that a request shows in its header.

        Raises
        ------
        HTTPException
            401: the key is unknown; 403: it may not read.
        """
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        shown = text.strip() if scheme.lower() == "apikey" else request.headers.get("x-api-key", "")
        if self._keys.identify(shown) is None:
            raise HTTPException(401, "this is not the key of the archive", {"WWW-Authenticate": "Apikey"})
        cookie = self.session(request, shown)
        if cookie is None:
            raise HTTPException(403, "this key may not read; ask for one with `beamstream key create --scope read`")
        return cookie

    def session(self, request: Request, text: str) -> str | None:
        """Return the ``Set-Cookie`` of a session that reads, for a key that may read; None for any other text."""
        known = self._keys.identify(text)
        if known is None or READ not in known.scopes:
            return None
        return self._sessions.begin(known, {READ}, request.scope)

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
