"""Addresses of the Internet Protocol, as text."""

from __future__ import annotations

import ipaddress


def is_ip_address(text: str) -> bool:
    """Say whether a text is an address, IPv4 or IPv6 (RFC 4291, section 2.2)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
