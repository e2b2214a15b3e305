"""The live page of an instrument: all its streams, images and spectra, served by one process of its own.

To look at it by hand, or to drive a browser at it: ``python tests/live/hub_rig.py --fps 60 --shape 1024 1024`` makes a
ring with a moving pattern and prints the address; in a test::

    with HubRig(fps=30) as rig:              # tests/live/hub_rig.py: a ring, a process that writes it, a LivePage
        page.goto(rig.page.url + "streams/camera/")

What pages and server say to each other on `/streams/NAME/ws`:

Server to page, text, one JSON object a message:

``{"is": "scene", "stream", "epoch", "rows", "cols", "dtype", "color_mode", "pixel_size", "pixel_units", "full_scale"}``
    Before the first frame, and before the first frame of another geometry or of another writer.
``{"is": "status", "state", "words", "rate", "shown_rate", "delay", "lost", "skipped", "ring", "run", "exposure",
"correction", "recording", "disk_free", "clients", "may_control", "limited_by"}``
    Once a second and where something changed.
``{"is": "notes", "index", "unique_id", "cross", "rois", "lines", "skipped"}``
    In place of a frame, where that is drawn already and only the crosshair or the regions have changed.
``{"is": "answer", "to": id, "ok": bool, "words"}``
    To what a page asked to be done, and ``"to": null`` to what the server did not understand.

Server to page, binary: a frame, see `beamstream.live.image_wire`. Nothing comes before the page has sent its ``view``;
the next frame comes after the page has acknowledged the last one with ``{"ack": serial}``. A frame without the flag
*refined* is followed by a better one of the same index as soon as the page is paused, or no other frame comes.

Page to server, text: ``{"view": {"row", "col", "rows", "cols", "width", "height"}}`` (a region in pixels of the frame,
and the window for it in pixels of the screen) · ``{"ack": serial, "drawing": seconds}`` (how long it took
to draw, which says nothing about the link; may be missing) · ``{"rate": fps}`` · ``{"correct": {"flat", "dark",
"pipeline"}}`` · ``{"cross": [row, col] | null}`` · ``{"rois": [{"id", "shape": "rectangle" | "ellipse", "row", "col",
"rows", "cols"} | {"id", "shape": "line", "row", "col", "row2", "col2"}]}`` · ``{"pause": bool}`` ·
``{"do": "capture", "id", "kind": "flat" | "dark", "frames": n}`` · ``{"do": "record", "id", "directory", "prefix",
"format"}`` · ``{"do": "stop", "id"}``. What is done takes the session that a browser gets from ``POST /unlock`` or
from a ticket, as long as the key lives; a page that unlocks has to open its websocket anew.
"""

import secrets

from beamstream.live.hub_settings import HubSettings
from beamstream.live.server_process import ServerProcess
from beamstream.network.tickets import new_ticket


class LivePage(ServerProcess):
    """Show the streams of an instrument in browsers; ``with LivePage(HubSettings(...)) as page: print(page.url)``.

    The server is a process of its own: however many look on, whoever acquires does not notice. It ends when this
    process is gone.

    Parameters
    ----------
    settings : HubSettings
    timeout : float
        Until it must listen, s.
    """

    def __init__(self, settings: HubSettings, timeout: float = 20.0) -> None:
        super().__init__("beamstream.live.hub", settings, timeout, ("--live-port", "the host of [live]"))
        self._key = settings.key

    def ticket(self) -> str:
        """Return an address that opens the page and, once and within 60 s, gives its browser control.

        Without a key it is that of the page, which nobody can control.
        """
        return f"{self.url}?ticket={new_ticket(self._key, self.port)}" if self._key else self.url


def new_key() -> str:
    """Return a key that nobody can guess."""
    return secrets.token_urlsafe(24)
