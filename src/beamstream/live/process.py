"""The process that serves the live page of one ring's spectra, as the one sees it who started it."""

from collections.abc import Sequence

from beamstream.live.server_process import ServerProcess
from beamstream.live.settings import Settings


class LiveServer(ServerProcess):
    """Show the spectra of a ring in browsers, live; ``with LiveServer("spectra-9798") as page: print(page.url)``.

    The server is a process of its own: however many look on, whoever receives and records does not notice. It
    follows the ring by its name, which may come later, end and come again, and ends when this process is gone.

    Parameters
    ----------
    ring : str
        Name of the ring; frames are (n_beams, n_channels), or one axis of channels.
    owner : int, optional
        Id of the process whose ring it has to be; any by default.
    host : str
        Beyond loopback only with a `key`.
    port : int
        0 takes a free one.
    frequency : sequence of float, optional
        Of each channel, MHz.
    band : (float, float), optional
        In its place, where the number of channels is not known yet: of channel 0, and from one to the next, MHz.
    title : str
        Heading of the page.
    decibel : bool
        Whether pages begin with a logarithmic scale, until somebody chooses; False for values that have a sign.
    rows : int
        Spectra to keep.
    key : str
        What readers have to know, at least 16 characters; never in logs nor in `url`.
    tls_cert, tls_key : str
        PEM files; without them it speaks plain HTTP.
    timeout : float
        Until it must listen, s.

    Raises
    ------
    ConfigurationError
        The whole network is to read without a key, or a number is out of range.
    """

    def __init__(
        self,
        ring: str,
        *,
        owner: int | None = None,
        host: str = "127.0.0.1",
        port: int = 9527,
        frequency: Sequence[float] | None = None,
        band: tuple[float, float] | None = None,
        title: str = "Spectra",
        decibel: bool = True,
        rows: int = 1200,
        key: str = "",
        tls_cert: str = "",
        tls_key: str = "",
        timeout: float = 20.0,
    ) -> None:
        axis = None if frequency is None else [float(f) for f in frequency]
        settings = Settings(ring, owner, host, port, axis, band, title, decibel, rows, key, tls_cert, tls_key)
        super().__init__("beamstream.live", settings, timeout, ("--web-port", "--web-host"))
