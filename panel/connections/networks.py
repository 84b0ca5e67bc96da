"""IP addresses and the networks that the log is read by."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from panel.connections.folding import NET_4, NET_6, address_and_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def parse_ip(text: str) -> Address:
    """Return the address that a text says; an IPv4 address within IPv6 (RFC 4291, 2.5.5.2) is the IPv4 one.

    Raises:
        ValueError: if it is none, or bears the zone of one machine (RFC 4007).
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.scope_id:
            raise ValueError("An address with a zone means nothing on another machine.")
        return address.ipv4_mapped or address
    return address


def parse_network(text: str) -> Network:
    """Return the network that a text says; `192.0.2.7/24` is the one that this address is in.

    Raises:
        ValueError: if it is none.
    """
    if "%" in text:
        raise ValueError("A network has no zone.")
    return ip_network(text, strict=False)


def net_prefix(version: int) -> int:
    """Return the length of the networks in `Connection.remote_net`, in bits: about what one customer has."""
    return NET_4 if version == 4 else NET_6


def net_of(address: Address) -> str:
    """Return what `Connection.remote_net` holds for an address: its /24, or /48 of IPv6."""
    return address_and_network(str(address))[1]
