"""Tickets: each gives one browser a session with control, once and within a minute."""

import hashlib
import hmac
import html
import secrets
import time
from pathlib import Path

from beamstream.private import write_private

LIFETIME = 60_000
"""Of a ticket, ms."""
_BEGAN = int(time.time() * 1000)
_PAGE = """<!doctype html>
<meta charset="utf-8"><title>beamstream</title>
<form method="post" action="{url}enter">
<input type="hidden" name="ticket" value="{ticket}"><input type="hidden" name="stream" value="{stream}">
<button>Open the live page</button></form>
<script>document.forms[0].submit()</script>
"""


def new_ticket(key: str, port: int = 0) -> str:
    """Return a ticket for the server that has this key.

    Parameters
    ----------
    key : str
    port : int
        Where that server listens: it is of no use at another one; 0: at any.
    """
    body = f"{secrets.token_urlsafe(12)}.{port}.{int(time.time() * 1000) + LIFETIME}"
    return f"{body}.{_sign(key, body)}"


class Tickets:
    """Accept tickets, each once.

    Parameters
    ----------
    key : str
        ``""``: no ticket is valid.
    port : int
        Where this server listens.
    """

    def __init__(self, key: str, port: int) -> None:
        self._key, self._port = key, port
        self._used: dict[str, int] = {}

    def take(self, ticket: str) -> bool:
        """Return whether a ticket is valid; it is not, afterwards."""
        body, _, signature = ticket.rpartition(".")
        expected = _sign(self._key, body)
        if not self._key or not hmac.compare_digest(signature.encode(errors="replace"), expected.encode()):
            return False
        port, end = map(int, body.rsplit(".", 2)[1:])
        now = time.time() * 1000
        self._used = {used: until for used, until in self._used.items() if until > now}
        if end < now or end - LIFETIME < _BEGAN or port not in (0, self._port) or body in self._used:
            return False  # one from before this server may have been used at the one before it
        self._used[body] = end
        return True


def ticket_page(path: Path, url: str, ticket: str, stream: str = "") -> str:
    """Write a page for its owner's browser that posts a ticket, and return its address.

    All users can read the command line of a browser, which may take long to start. So it has the name of a file that
    no other user may read, and no ticket.

    Parameters
    ----------
    path : Path
        Replaced if it is there.
    url : str
        Of the server, ``http://host:port/``.
    ticket, stream : str

    Raises
    ------
    OSError
        It cannot be written.
    """
    text = _PAGE.format(url=html.escape(url), ticket=html.escape(ticket), stream=html.escape(stream))
    write_private(path, text)
    return path.as_uri()


def _sign(key: str, body: str) -> str:
    text = f"ticket {body}".encode(errors="replace")
    return hmac.new(key.encode(), text, hashlib.sha256).hexdigest()[:32]
