"""What is looked for in the log, as the address of a page says it: everything that comes in is doubted here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _

from mailbackend.addresses import AddressError, normalise_domain, parse_address
from panel.accounts.models import Customer, User
from panel.addresses.models import Domain
from panel.connections.folding import clean_address
from panel.connections.models import Connection
from panel.connections.networks import Address, Network, net_prefix, parse_ip, parse_network

#: Characters of what is typed that count; more is no address and no name.
_LONGEST = 254
#: The largest number that both databases take.
_LARGEST = 2**63 - 1

#: The names of all filters, as they stand in the address of a page.
NAMES = (
    "address", "ip", "domain", "customer", "protocol", "outcome", "reason", "device", "open", "since", "until",
)  # fmt: skip


@dataclass(frozen=True)
class Filters:
    """What is looked for; empty values look for everything.

    Attributes:
        address: exactly this one, as it was tried, in lower case.
        ip: exactly this one, as it is stored.
        network: where it came from, if that is more than one address.
        domains: numbers: a name may have been several, one after the other. None is any.
        customer: its number.
        protocol, outcome, reason: codes of Connection.
        device: which kind of password it was: Connection.credential.
        device_pk: the number of a device password.
        open_now: whether only sessions that go on.
        since, until: days, both included, in the panel's time zone.
        typed: what was asked for, as typed, by name: for the fields of the page.
        problems: sentences: what cannot be looked for, and why. Nothing is found then.
    """

    address: str = ""
    ip: str = ""
    network: Network | None = None
    domains: tuple[int, ...] | None = None
    customer: int | None = None
    protocol: str = ""
    outcome: str = ""
    reason: str = ""
    device: str = ""
    device_pk: int | None = None
    open_now: bool = False
    since: date | None = None
    until: date | None = None
    typed: Mapping[str, str] = field(default_factory=dict, compare=False)
    problems: tuple[str, ...] = field(default=(), compare=False)

    @property
    def is_empty(self) -> bool:
        """Whether everything is looked for."""
        return self == Filters() and not self.problems

    @property
    def begins_at(self) -> datetime | None:
        """When the period begins, or None."""
        return _midnight(self.since) if self.since else None

    @property
    def ends_at(self) -> datetime | None:
        """Until when it goes, itself not included, or None."""
        return _midnight(self.until + timedelta(days=1)) if self.until else None


def read_filters(query: Mapping[str, str], person: User) -> Filters:
    """Return what a page's address asks for.

    Args:
        query: names of NAMES and what was typed.
        person: who asks: only the host chooses among customers.
    """
    reader = _Reader({name: _text(query.get(name, "")) for name in NAMES}, person)
    return reader.read()


class _Reader:
    """Reads one query, and notes what is wrong with it."""

    def __init__(self, typed: dict[str, str], person: User) -> None:
        if not person.sees_all:
            typed.pop("customer")
        self.typed = {name: text for name, text in typed.items() if text}
        self.problems: list[str] = []

    def read(self) -> Filters:
        """Return all of it."""
        ip, network = self._from()
        since, until = self._day("since"), self._day("until")
        device = self.typed.get("device", "")
        number = int(device) if device.isascii() and device.isdigit() and len(device) < 19 else None
        if since and until and since > until:
            self.problems.append(_("The period ends before it begins."))
        return Filters(
            address=self._address(),
            ip=ip,
            network=network,
            domains=self._domains(),
            customer=self._customer(),
            protocol=self._choice("protocol", Connection.Protocol.values),
            outcome=self._choice("outcome", Connection.Outcome.values),
            reason=self._choice("reason", [*Connection.Refusal.values, *Connection.End.values]),
            device=device if number is None else "",
            device_pk=number,
            open_now="open" in self.typed,
            since=since,
            until=until,
            typed=self.typed,
            problems=tuple(self.problems),
        )

    def _address(self) -> str:
        """Whatever was tried can be looked for; what is an address is looked for as it is stored."""
        text = self.typed.get("address", "")
        try:
            return str(parse_address(text))
        except AddressError:
            return clean_address(text)

    def _from(self) -> tuple[str, Network | None]:
        text = self.typed.get("ip", "")
        if not text:
            return "", None
        try:
            network = parse_network(text) if "/" in text else None
            address = parse_ip(text) if network is None else None
        except ValueError:
            words = {"text": text[:60], "example": "192.0.2.7", "network": "192.0.2.0/24"}
            self.problems.append(
                _(
                    "“%(text)s” is no IP address. Write one such as %(example)s, "
                    "or a network such as %(network)s."
                )
                % words
            )
            return "", None
        if network is not None and network.num_addresses == 1:
            return str(network.network_address), None
        return str(address or ""), network

    def _domains(self) -> tuple[int, ...] | None:
        text = self.typed.get("domain", "")
        if not text:
            return None
        try:
            name = normalise_domain(text)
        except AddressError:
            self.problems.append(_("“%(text)s” is no domain.") % {"text": text[:60]})
            return None
        return tuple(Domain.objects.filter(name=name).order_by("-pk").values_list("pk", flat=True)[:10])

    def _customer(self) -> int | None:
        text = self.typed.get("customer", "")
        if not text:
            return None
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
        if number is None or number > _LARGEST or not Customer.objects.filter(pk=number).exists():
            self.problems.append(_("There is no such customer."))
            return None
        return number

    def _choice(self, name: str, values: list[str]) -> str:
        text = self.typed.get(name, "")
        if text and text not in values:
            self.problems.append(_("“%(text)s” is not one of the choices.") % {"text": text[:60]})
            return ""
        return text

    def _day(self, name: str) -> date | None:
        text = self.typed.get(name, "")
        if not text:
            return None
        try:
            day = parse_date(text)
        except ValueError:
            day = None
        # The ends of the calendar have no day beside them, in no time zone.
        if day is None or not 1900 <= day.year <= 9000:
            self.problems.append(
                _("“%(text)s” is no day. Write it like %(example)s.")
                % {"text": text[:60], "example": timezone.localdate().isoformat()}
            )
            return None
        return day


def common_beginning(network: Network) -> str:
    """Return what all addresses of a network begin with as they are stored; an empty text if nothing is known of it.

    Only of IPv4: of IPv6, whole groups of zeros may be left out.
    """
    octets = network.prefixlen // 8
    if network.version == 6 or not octets:
        return ""
    return "".join(f"{octet}." for octet in str(network.network_address).split(".")[: min(octets, 3)])


@lru_cache(maxsize=20_000)
def within(network: Network, address: str) -> bool:
    """Say whether a stored address is in a network; what is no address is in none."""
    try:
        found: Address = parse_ip(address)
    except ValueError:
        return False
    return found.version == network.version and found in network


def is_one_net(network: Network) -> bool:
    """Say whether a network is exactly one of those in `Connection.remote_net`."""
    return network.prefixlen == net_prefix(network.version)


def _text(text: str) -> str:
    """Return what of a typed text can be looked for: no NUL, which PostgreSQL refuses, and no lone surrogate."""
    plain = text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return plain.strip()[:_LONGEST]


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
