"""The address or domain that a public page is asked about. Whether such a mailbox exists is looked at nowhere here.

Nobody may find out by these pages which addresses exist: what they answer depends on the domain alone, and what they
ask of the database too.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailbackend.addresses import AddressError, normalise_domain, parse_address
from panel.addresses.inherited import PopPolicy, what_counts
from panel.addresses.mail_servers import protocols_of_domain
from panel.addresses.models import Domain
from panel.addresses.selectors import domains_in_state
from panel.core.models import Installation


@dataclass(frozen=True)
class Asked:
    """What a public page is asked about.

    Attributes:
        address: in full, as it is stored; empty where a domain alone was asked about.
        domain_name: its domain, in ASCII (RFC 5890).
        domain: the hosted domain of that name, or None.
    """

    address: str
    domain_name: str
    domain: Domain | None

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that may be told of; IMAP first."""
        return protocols_of_domain(self.domain)

    @property
    def pop(self) -> PopPolicy:
        """What becomes of what a POP program deletes, for mailboxes that say nothing themselves."""
        return what_counts(self.domain or Installation.objects.first()).pop


def read_address(text: str) -> Asked | None:
    """Return what a page is asked about by an address, or None if it is none (RFC 5321, section 4.1.2)."""
    try:
        address = parse_address(text)
    except AddressError:
        return None
    return Asked(str(address), address.domain, _hosted(address.domain))


def read_domain(text: str) -> Asked | None:
    """Return what a page is asked about by a domain, or None if it is none."""
    try:
        name = normalise_domain(text)
    except AddressError:
        return None
    return Asked("", name, _hosted(name))


def _hosted(name: str) -> Domain | None:
    found = Domain.objects.filter(name=name).select_related("customer")
    return domains_in_state(found, Domain.State.ACTIVE).first()
