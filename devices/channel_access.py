"""Channel Access whose answers arrive: the client asks from a port that stays its own."""

import socket
import sys


def keep_search_port() -> None:
    """Keep others from being given the port where this process waits for answers to its searches.

    caproto sets SO_REUSEADDR on it, and so does every client of pvAccess. Among such sockets Linux gives a port out
    twice (``udp_lib_lport_inuse``), and the answers of servers to whoever was bound last: records are never found
    then, although they are there, until the process is started anew. Does nothing where ophyd uses another Channel
    Access.
    """
    if "ophyd._caproto_shim" not in sys.modules:
        return
    from caproto.threading.pyepics_compat import PV

    searcher = PV.default_context().broadcaster  # ophyd made it when it was imported
    port = None if searcher is None else searcher.udp_sock
    if port is None:  # closed again
        return
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        port.setsockopt(socket.SOL_SOCKET, option, 0)
