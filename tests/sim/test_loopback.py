"""Ports of simulations are nobody else's."""

from pathlib import Path

from beamstream.sim.loopback import free_port


def test_a_free_port_is_none_that_the_kernel_gives_to_others():
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not any(first <= free_port() <= last for _ in range(200))
