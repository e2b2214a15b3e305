"""EPICS on the loopback interface only: ports of its own, invisible to every other EPICS on the network."""

import random
import socket

_RANDOM = random.SystemRandom()
_NOT_THE_KERNELS = 10_000, 32_000  # Linux has 32768 and upwards unless told otherwise
_ADDRESSES = {
    "EPICS_PVA_ADDR_LIST": "127.0.0.1",
    "EPICS_PVA_AUTO_ADDR_LIST": "NO",
    "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_CA_ADDR_LIST": "127.0.0.1",
    "EPICS_CA_AUTO_ADDR_LIST": "NO",
    "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
    "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
}


def free_port() -> int:
    """Return a TCP and UDP port on 127.0.0.1 that nobody listens on at the moment.

    It is none of those that the kernel gives to sockets that ask for any: to one with SO_REUSEADDR, as all of EPICS
    are, it gives a UDP port that is taken, too, and whoever was bound last gets the searches of all others.
    """
    while True:
        port = _RANDOM.randrange(*_NOT_THE_KERNELS)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def loopback_environment() -> dict[str, str]:
    """Return EPICS variables for servers and clients that meet on loopback and nowhere else.

    They must be in ``os.environ`` before pvaccess or caproto is imported; child processes inherit them.
    """
    broadcast, pva, ca, repeater = (str(free_port()) for _ in range(4))
    return _ADDRESSES | {
        "EPICS_PVA_BROADCAST_PORT": broadcast,
        "EPICS_PVAS_BROADCAST_PORT": broadcast,
        "EPICS_PVA_SERVER_PORT": pva,
        "EPICS_PVAS_SERVER_PORT": pva,
        "EPICS_CA_SERVER_PORT": ca,
        "EPICS_CAS_SERVER_PORT": ca,
        "EPICS_CA_REPEATER_PORT": repeater,
        "OPHYD_CONTROL_LAYER": "caproto",
    }
