"""Names and addresses of hosts."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches what listens on `host`; a name other than localhost counts as no."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
