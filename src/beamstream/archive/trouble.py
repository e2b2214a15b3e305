"""Notice within seconds that a tiled server is in trouble, rather than after the 45 s that its client tries."""

from typing import Any

from beamstream.errors import ArchiveError

_PASSING = (408, 425, 429)  # what proxies say; 500 and above is the server itself: a full disk, a locked database
_TRIES = 3  # requests answered like that, one after another: about two seconds


class ServerInTrouble(ArchiveError):
    """The server answers requests with errors of its own: its disk is full, its database locked."""


def is_trouble(status: int) -> bool:
    """Return whether an HTTP status says that the server is in trouble, which passes, and not what it was asked."""
    return status >= 500 or status in _PASSING


class TroubleHook:
    """Raise `ServerInTrouble` out of a tiled client whose requests are answered with `is_trouble`.

    tiled 0.2 repeats such requests ten times, for 45 s, and holds up whoever waits behind one; its limits hold for the
    whole process. `ServerInTrouble` is none of the errors that it repeats.
    """

    def __init__(self) -> None:
        self._count = 0

    def attach(self, client: Any) -> None:
        """Watch the answers that a tiled client gets."""
        http_client = getattr(client.context, "http_client", None)
        if http_client is not None:
            hooks = http_client.event_hooks
            http_client.event_hooks = {**hooks, "response": [*hooks.get("response", ()), self]}

    def __call__(self, response: Any) -> None:
        """Look at an answer; for httpx."""
        self._count = self._count + 1 if is_trouble(response.status_code) else 0
        if self._count >= _TRIES:
            self._count = 0
            raise ServerInTrouble(
                f"archive: {response.request.method} {response.request.url.path} is answered {response.status_code} "
                f"{response.reason_phrase}; is its disk full? the log of `beamstream serve` says more"
            )
