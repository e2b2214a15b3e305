"""Sockets that listen, at addresses and names of this machine, and their URLs."""

import socket

import pytest

from beamstream.network.listening import listen, url_of

REACHED = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "::1": "[::1]", "0.0.0.0": "127.0.0.1", "::": "[::1]"}


@pytest.mark.parametrize(("host", "reached"), REACHED.items())
def test_a_socket_listens_at_its_host_and_is_reached_by_its_url(host, reached):
    with listen(host, 0) as listening:
        url = url_of(listening)
        port = listening.getsockname()[1]
        assert url == f"http://{reached}:{port}"
        assert url_of(listening, "a certificate") == f"https://{reached}:{port}"
        socket.create_connection((reached.strip("[]"), port), 10).close()


def test_a_port_is_taken_once_and_one_that_cannot_be_is_refused():
    with listen("127.0.0.1", 0) as listening:
        for port in (listening.getsockname()[1], 65536, 70_000, -1):
            with pytest.raises(OSError, match=r"in use|ports are 0 to 65535"):
                listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["", "192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_is_none_of_this_machine_is_refused(host):
    with pytest.raises(OSError):
        listen(host, 0)
